#include "data/formats/gzip.h"
#include "data/formats/idx.h"
#include "tests/fuzz/target.h"
#include "tests/support/sample_bytes.h"

namespace sigma::fuzz {
namespace {

std::vector<std::string> seeds() {
  const std::string file = test::idx({3, 8, 8}, test::some_pixels(192));
  return {test::gzipped(file), test::gzipped(file, 0), test::gzipped(std::string(3000, 'a')),
          test::gzipped("")};
}

void parse(const Bytes& bytes) { parse_idx(gunzip(bytes, "file.gz"), "file", 3); }

}  // namespace

const Target gz = {"gz", seeds, parse};

}  // namespace sigma::fuzz
