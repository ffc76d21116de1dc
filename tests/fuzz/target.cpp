#include "tests/fuzz/target.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <stdexcept>

#include "core/check.h"
#include "core/text.h"

namespace sigma::fuzz {

const std::vector<const Target*>& all_targets() {
  static const std::vector<const Target*> all = {&idx,         &gz,  &cifar,         &image,
                                                 &safetensors, &npy, &configuration, &checkpoint};
  return all;
}

std::string attack(const Target& target, const Bytes& bytes) {
  try {
    target.parse(bytes);
  } catch (const Error& e) {
    const std::string message = e.what();
    if (e.kind() == ErrorKind::internal || message.empty() || !is_printable(message))
      throw std::runtime_error(std::string(target.name) + ": " + message);
    return message;
  }
  return "";
}

MemoryFile::MemoryFile(const Bytes& bytes) : fd_(memfd_create("input", MFD_CLOEXEC)) {
  size_t at = 0;
  while (fd_ >= 0 && at < bytes.size()) {
    const ssize_t wrote = write(fd_, bytes.data() + at, bytes.size() - at);
    if (wrote <= 0) std::abort();
    at += static_cast<size_t>(wrote);
  }
  path_ = "/proc/self/fd/" + std::to_string(fd_);
}
MemoryFile::~MemoryFile() { close(fd_); }

}  // namespace sigma::fuzz
