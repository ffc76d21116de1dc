#include "data/formats/cifar.h"
#include "tests/fuzz/target.h"
#include "tests/support/sample_bytes.h"

namespace sigma::fuzz {
namespace {

// The kind first, so that both are reached.
std::vector<std::string> seeds() { return {"\n" + test::cifar(2), "d" + test::cifar(1, true)}; }

void parse(const Bytes& bytes) {
  if (!bytes.empty()) parse_cifar(Bytes(bytes.begin() + 1, bytes.end()), "file", bytes[0] == 'd');
}

}  // namespace

const Target cifar = {"cifar", seeds, parse};

}  // namespace sigma::fuzz
