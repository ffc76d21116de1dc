#include "core/sha256.h"

#include <sys/types.h>  // which <sha2.h> expects

#include <sha2.h>
#include <cstdint>

namespace sigma {

struct Sha256::State {
  SHA2_CTX context;
};

Sha256::Sha256() : state_(std::make_unique<State>()) { SHA256Init(&state_->context); }
Sha256::~Sha256() = default;

void Sha256::update(const void* data, size_t bytes) {
  SHA256Update(&state_->context, static_cast<const uint8_t*>(data), bytes);
}

std::string Sha256::hex() {
  char text[SHA256_DIGEST_STRING_LENGTH];
  SHA256End(&state_->context, text);
  SHA256Init(&state_->context);
  return text;
}

}  // namespace sigma
