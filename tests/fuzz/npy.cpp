#include "core/npy.h"

#include "tests/fuzz/target.h"

namespace sigma::fuzz {
namespace {

std::string file(const std::string& descr, const std::string& order, const std::string& shape, size_t bytes) {
  std::string header =
      "{'descr': '" + descr + "', 'fortran_order': " + order + ", 'shape': " + shape + ", }\n";
  return std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(header.size()) + '\0' + header +
         std::string(bytes, '\x01');
}

std::vector<std::string> seeds() {
  return {file("<f4", "False", "(2, 3)", 24), file(">f8", "True", "(3, 2)", 48),
          file("|u1", "False", "(5,)", 5),    file("<f2", "False", "()", 2),
          file("<c16", "True", "(1, 2)", 32), file("|b1", "False", "(0,)", 0),
          file("<i2", "False", "(2, 2)", 8)};
}

void parse(const Bytes& bytes) { parse_npy(bytes, "file"); }

}  // namespace

const Target npy = {"npy", seeds, parse};

}  // namespace sigma::fuzz
