// .npy files made byte by byte, and what the reader says of them.
#pragma once

#include <string>

#include "core/npy.h"
#include "tests/support/support.h"

namespace sigma::test::npy {

// A file of version `major` with any header and data. The length of the header may be a lie.
inline std::string file_of(const std::string& header, const std::string& data = "", int major = 1,
                           int64_t length = -1) {
  auto n = static_cast<uint64_t>(length < 0 ? static_cast<int64_t>(header.size()) : length);
  std::string s = "\x93NUMPY" + std::string{static_cast<char>(major), '\0'};
  for (int i = 0; i < (major == 1 ? 2 : 4); ++i) s += static_cast<char>(n >> 8 * i);
  return s + header + data;
}
inline std::string header_of(const std::string& descr, const std::string& shape, bool fortran = false) {
  return fmt::format("{{'descr': '{}', 'fortran_order': {}, 'shape': {}, }}\n", descr,
                     fortran ? "True" : "False", shape);
}

// The message of the error, of kind data and naming the file; "accepted" without one.
inline std::string refusal(const std::string& file) {
  try {
    parse_npy({file.begin(), file.end()}, "some.npy");
  } catch (const Error& e) {
    CHECK(e.kind() == ErrorKind::data);
    CHECK(std::string(e.what()).rfind("some.npy: ", 0) == 0);
    return e.what();
  }
  return "accepted";
}

// What save_npy writes.
inline std::string saved(const Tensor& t) {
  TemporaryFolder folder;
  const std::string path = (folder / "t.npy").string();
  save_npy(path, t);
  Bytes b = read_file(path);
  return {b.begin(), b.end()};
}

}  // namespace sigma::test::npy
