// Nothing malformed is accepted as an .npy file.
#include "tests/support/npy_files.h"

using namespace sigma;
using namespace sigma::test::npy;

namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// A malformed file and a part of what is said of it.
struct Case {
  std::string file, expected;
};

// Files of one header, of the shape of 4-byte elements, of the type of one element.
std::string plain(const std::string& header) { return file_of(header, "1234"); }
std::string shaped(const std::string& shape, const std::string& data = "1234") {
  return file_of(header_of("<f4", shape), data);
}
std::string typed(const std::string& descr, const std::string& data = "12345678") {
  return file_of("{'descr': " + descr + ", 'fortran_order': False, 'shape': (1,), }\n", data);
}

std::vector<Case> beginnings() {
  const std::string good = header_of("<f4", "(1,)");
  return {{"", "at byte 0: expected an .npy file"},
          {"\x93NUMPY", "at byte 0"},
          {"\x93NUMPX" + std::string(20, '\0'), "at byte 0"},
          {"PK\3\4" + std::string(40, '\0'), "at byte 0"},
          {file_of(good, "1234", 4), "at byte 6: version 4.0"},
          {file_of(good, "1234", 0), "version 0.0"},
          {std::string("\x93NUMPY\1\1v\0", 10) + good, "version 1.1"},
          {std::string("\x93NUMPY\2\0\1\0\0", 11), "at byte 8: the file ends"}};
}

std::vector<Case> lengths() {
  const std::string good = header_of("<f4", "(1,)");
  return {{file_of("", "", 1, 0), "ends with a new line"},
          {file_of(good, "1234", 1, 100), "at byte 8: header of 100 bytes, but the file has"},
          {file_of(good, "1234", 1, 65535), "at byte 8: header of 65535 bytes, expected at most 10000"},
          {file_of(good, "1234", 2, 0xffffffff), "header of 4294967295 bytes, expected at most 10000"},
          {file_of(good + std::string(10000, ' ') + "\n", "1234"), "expected at most 10000"},
          {file_of(good, "1234", 1, 20), "ends with a new line"},
          {plain(good.substr(0, good.size() - 1)), "ends with a new line"}};
}

std::vector<Case> headers_that_are_no_dictionary() {
  const std::string good = header_of("<f4", "(1,)");
  return {{plain("\n"), "expected a header that starts with {"},
          {plain("garbage\n"), "at byte 10: expected a header that starts with {"},
          {plain("[]\n"), "starts with {"},
          {plain("{\n"), "expected a quoted text"},
          {plain("{,}\n"), "expected a quoted text"},
          {plain("{'descr'\n"), "expected a colon"},
          {plain("{'descr\n"), "does not end"},
          {plain("{'descr': '<f4'\n"), "expected a comma or }"},
          {plain("{'descr': '<f4' 'shape': (1,)}\n"), "expected a comma or }"},
          {plain("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)\n"), "expected a comma or }"},
          {plain(good + "x\n"), "expected nothing after"},
          {plain(good + std::string("\0x\n", 3)), "expected nothing after"},
          {plain("{**x}\n"), "expected a quoted text"},
          {plain("__import__('os').system('true')\n"), "starts with {"},
          {plain("{'descr': '" + std::string(100, 'x') + "'}\n"), "more than 64 characters"},
          {plain("{'de\\x73cr': '<f4'}\n"), "plain characters"},
          {plain("{'d\xc3\xa9': '<f4'}\n"), "plain characters"},
          {plain("{" + std::string(5000, '(') + "\n"), "expected a quoted text"}};
}

std::vector<Case> keys() {
  return {{plain("{}\n"), "'descr' is missing"},
          {plain("{'descr': '<f4', 'shape': (1,)}\n"), "'fortran_order' is missing"},
          {plain("{'descr': '<f4', 'fortran_order': False}\n"), "'shape' is missing"},
          {plain("{'fortran_order': False, 'shape': (1,)}\n"), "'descr' is missing"},
          {plain("{'descr': '<f4', 'descr': '<f8', 'fortran_order': False, 'shape': (1,)}\n"),
           "'descr' appears twice"},
          {plain("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'shape': (1,)}\n"),
           "'shape' appears twice"},
          {plain("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': 1}\n"), "unknown key 'x'"},
          {plain("{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}\n"), "expected True or False"},
          {plain("{'descr': '<f4', 'fortran_order': 'False', 'shape': (1,)}\n"), "expected True or False"},
          {plain("{'descr': '<f4', 'fortran_order': None, 'shape': (1,)}\n"), "expected True or False"},
          {plain("{'descr': '<f4', 'fortran_order': Falsehood, 'shape': (1,)}\n"), "expected a comma or }"}};
}

std::vector<Case> types() {
  return {{typed("'|O'"), "dtype '|O' stands for Python objects"},
          {typed("'O'"), "dtype 'O' is not one of"},
          {typed("[('a', '<f4'), ('b', '<f4')]"), "structured elements"},
          {typed("('<f4', (2,))"), "structured elements"},
          {typed("'<u8'"), "dtype '<u8' does not fit int64"},
          {typed("'<f16'"), "dtype '<f16' is not one of"},
          {typed("'<c32'"), "is not one of"},
          {typed("'<U2'"), "dtype '<U2' is not one of"},
          {typed("'|S8'"), "is not one of"},
          {typed("'|V8'"), "is not one of"},
          {typed("'<M8[ns]'"), "dtype '<M8[ns]' is not one of"},
          {typed("'=f8'"), "is not one of"},
          {typed("'f8'"), "is not one of"},
          {typed("'|f8'"), "is not one of"},
          {typed("'<f'"), "is not one of"},
          {typed("'<f08'"), "is not one of"},
          {typed("'<f8 '"), "is not one of"},
          {typed("''"), "dtype '' is not one of"},
          {typed("'<'"), "is not one of"},
          {typed("'<f99999999999999999999'"), "is not one of"},
          {typed("1"), "expected a quoted text"},
          {typed("None"), "expected a quoted text"},
          {typed("'|b1'", "\2"), "expected False or True as 0 or 1, got 2"}};
}

std::vector<Case> shapes() {
  return {{shaped("(2,)"), "expected 8 bytes for shape (2) of '<f4', the file has 4"},
          {shaped("(1,)", "12345"), "expected 4 bytes for shape (1) of '<f4', the file has 5"},
          {shaped("(1,)", ""), "the file has 0"},
          {shaped("(0,)"), "expected 0 bytes"},
          {shaped("(-1,)"), "a size is negative"},
          {shaped("(1)"), "a shape of one size is written (n,)"},
          {shaped("[1]"), "expected a shape in parentheses"},
          {shaped("1"), "expected a shape in parentheses"},
          {shaped("(1.0,)"), "expected a comma between sizes"},
          {shaped("(1e0,)"), "expected a comma between sizes"},
          {shaped("(1 1)"), "expected a comma between sizes"},
          {shaped("(,)"), "expected a size"},
          {shaped("(1,,)"), "expected a size"},
          {shaped("(+1,)"), "expected a size"},
          {shaped("(01,)"), "expected a size"},
          {shaped("('1',)"), "expected a size"},
          {shaped("(True,)"), "expected a size"},
          {shaped("((1,),)"), "expected a size"},
          {shaped("(1, 1, 1, 1, 1, 1, 1, 1, 1)"), "more than 8 dimensions"},
          {shaped("(9223372036854775808,)"), "does not fit 64 bits"},
          {shaped("(" + std::string(5000, '9') + ",)"), "does not fit 64 bits"},
          {shaped("(4611686018427387905,)"),
           "the size of shape (4611686018427387905) overflows"},  // x 4 = 4 mod 2^64
          {shaped("(4611686018427387904, 4)"), "the product of the sizes overflows"},
          {shaped("(4294967296, 4294967296)"), "the product of the sizes overflows"},
          {shaped("(9000000000000000000, 2, 0)", ""), "the product of the sizes overflows"},
          {shaped("(0, 9000000000000000000, 2)", ""), "the product of the sizes overflows"},
          {shaped("(1000000000000,)"), "expected 4000000000000 bytes"}};
}

}  // namespace

TEST_CASE("malformed .npy files are refused with the place and the reason", "[npy]") {
  CHECK(refusal(shaped("(1,)")) == "accepted");
  CHECK(refusal(typed("'<f8'")) == "accepted");
  for (const auto& subject :
       {beginnings(), lengths(), headers_that_are_no_dictionary(), keys(), types(), shapes()})
    for (const Case& c : subject) {
      INFO(c.file.substr(0, 200));
      std::string message = refusal(c.file);
      INFO(message);
      CHECK(contains(message, c.expected));
      CHECK(message.size() < 200);
    }
}

TEST_CASE("no .npy file cut short, grown or damaged is worse than refused", "[npy]") {
  const std::string good = saved(test::randn({3, 5}, 8, DType::float64));
  size_t accepted = 0;
  for (size_t size = 0; size < good.size(); ++size) accepted += refusal(good.substr(0, size)) == "accepted";
  CHECK(accepted == 0);
  CHECK(refusal(good + "x") != "accepted");
  int refused = 0;
  for (size_t i = 0; i < 128; ++i)
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ (1 << bit));
      refused += refusal(bad) != "accepted";
    }
  CHECK(refused > 900);  // of 1024; the rest is spaces turned to new lines, < to >, and the like
}
