#include "data/formats/idx.h"

#include "core/check.h"
#include "tests/fuzz/target.h"
#include "tests/support/sample_bytes.h"

namespace sigma::fuzz {
namespace {

std::vector<std::string> seeds() {
  return {test::idx({3, 4, 5}, test::some_pixels(60)), test::idx({7}, test::some_labels(7)),
          test::idx({1, 1, 1}, "x")};
}

void parse(const Bytes& bytes) {
  const int rank = !bytes.empty() && bytes.size() % 2 ? 1 : 3;
  for (int r : {rank, 4 - rank}) try {
      parse_idx(bytes, "file", r);
    } catch (const Error&) {
      if (r != rank) throw;
    }
}

}  // namespace

const Target idx = {"idx", seeds, parse};

}  // namespace sigma::fuzz
