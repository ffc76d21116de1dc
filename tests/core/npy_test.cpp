// .npy files: NumPy's bytes, read and written, and nothing malformed is accepted.
#include "core/npy.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "core/math.h"
#include "tests/support/svd.h"

using namespace sigma;
namespace fs = std::filesystem;

namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::string text_of(const fs::path& path) {
  Bytes b = read_file(path.string());
  return {b.begin(), b.end()};
}

// A file of version `major` with any header and data. The length of the header may be a lie.
std::string file_of(const std::string& header, const std::string& data = "", int major = 1,
                    int64_t length = -1) {
  auto n = static_cast<uint64_t>(length < 0 ? static_cast<int64_t>(header.size()) : length);
  std::string s = "\x93NUMPY" + std::string{static_cast<char>(major), '\0'};
  for (int i = 0; i < (major == 1 ? 2 : 4); ++i) s += static_cast<char>(n >> 8 * i);
  return s + header + data;
}
std::string header_of(const std::string& descr, const std::string& shape, bool fortran = false) {
  return fmt::format("{{'descr': '{}', 'fortran_order': {}, 'shape': {}, }}\n", descr,
                     fortran ? "True" : "False", shape);
}

Tensor parse(const std::string& file) { return parse_npy({file.begin(), file.end()}, "some.npy"); }
Tensor parse(const std::string& descr, const std::string& shape, const std::string& data,
             bool fortran = false) {
  return parse(file_of(header_of(descr, shape, fortran), data));
}

// The message of an error of kind data that names the file.
std::string refusal(const std::string& file) {
  try {
    parse(file);
  } catch (const Error& e) {
    CHECK(e.kind() == ErrorKind::data);
    CHECK(std::string(e.what()).rfind("some.npy: ", 0) == 0);
    return e.what();
  }
  return "accepted";
}

std::string saved(const Tensor& t) {
  test::TemporaryFolder folder;
  save_npy((folder / "t.npy").string(), t);
  return text_of(folder / "t.npy");
}

std::vector<std::pair<std::string, Tensor>> samples() {
  using C = std::complex<float>;
  constexpr float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  return {{"f4", test::randn({3, 4}, 1, DType::float32)},
          {"f8", test::randn({2, 3, 4}, 2, DType::float64)},
          {"c8", test::random_matrix({4, 3}, 3, DType::complex64)},
          {"c16", test::random_matrix({2, 2, 2}, 4, DType::complex128)},
          {"u1", test::random_integers({5, 7}, 0, 255, 5, DType::uint8)},
          {"i8", Tensor::from<int64_t>({std::numeric_limits<int64_t>::min(), -1, 0, 7}, {2, 2})},
          {"scalar", Tensor::scalar(-2.5, DType::float64)},
          {"one", Tensor::from<float>({1, 2, 3}, {3})},
          {"long", Tensor::zeros({1234567}, DType::uint8)},
          {"empty", Tensor::zeros({0, 3})},
          {"empty64", Tensor::zeros({2, 0, 5}, DType::int64)},
          {"eight", test::randn({1, 2, 1, 2, 1, 2, 1, 2}, 6, DType::float32)},
          {"special", Tensor::from<float>({-0.f, inf, -inf, nan, 1e-45f, 3.4e38f}, {2, 3})},
          {"infinite", Tensor::from<C>({{inf, -0.f}, {0, nan}}, {2})}};
}

}  // namespace

TEST_CASE("an .npy file is the one numpy.save writes", "[npy]") {
  auto padded = [](std::string header) {
    header.resize(117, ' ');
    return std::string("\x93NUMPY\1\0v\0", 10) + header + "\n";
  };
  CHECK(saved(Tensor::from<float>({1, 2, 3, 4.5}, {2, 2})) ==
        padded("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }") +
            std::string("\0\0\x80?\0\0\0@\0\0@@\0\0\x90@", 16));
  CHECK(saved(Tensor::scalar(-0.5, DType::float64)) ==
        padded("{'descr': '<f8', 'fortran_order': False, 'shape': (), }") +
            std::string("\0\0\0\0\0\0\xe0\xbf", 8));
  CHECK(saved(Tensor::from<std::complex<float>>({{1, 2}}, {1})) ==
        padded("{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }") +
            std::string("\0\0\x80?\0\0\0@", 8));
  CHECK(saved(Tensor::from<uint8_t>({0, 1, 2}, {3})) ==
        padded("{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }") + std::string("\0\1\2", 3));
  CHECK(saved(Tensor::zeros({0, 3}, DType::int64)) ==
        padded("{'descr': '<i8', 'fortran_order': False, 'shape': (0, 3), }"));
}

TEST_CASE("tensors come back from .npy files bit for bit", "[npy]") {
  test::TemporaryFolder folder;
  const std::string path = (folder / "t.npy").string();
  for (const auto& [name, t] : samples()) {
    INFO(name);
    save_npy(path, t);
    CHECK(identical(load_npy(path), t));
  }
  Tensor images = test::randn({2, 3, 4, 5}, 7, DType::float32);
  save_npy(path, images.to(Layout::channels_last));
  CHECK(identical(load_npy(path), images));
  Tensor half = images.to(DType::bfloat16);
  save_npy(path, half);
  CHECK(identical(load_npy(path), half.to(DType::float32)));
  CHECK(contains(test::error_of([&] { save_npy(path, Tensor()); }), "undefined"));
  CHECK(contains(test::error_of([&] { save_npy((folder / "none/t.npy").string(), images); }), "none/t.npy"));
  CHECK(contains(test::error_of([&] { load_npy((folder / "none.npy").string()); }), "none.npy: cannot open"));
  CHECK(std::distance(fs::directory_iterator(folder.path()), {}) == 1);  // no temporary file
}

TEST_CASE("a decomposition goes through .npy files bit for bit", "[npy][svd]") {
  test::TemporaryFolder folder;
  Tensor a = test::random_matrix({2, 7, 4}, 8, DType::complex128);
  const Svd before = svd(a, {.full_matrices = false});
  Svd after;
  for (auto [name, from, to] : {std::tuple{"u", &before.u, &after.u}, std::tuple{"s", &before.s, &after.s},
                                std::tuple{"vh", &before.vh, &after.vh}}) {
    INFO(name);
    const std::string path = (folder / (std::string(name) + ".npy")).string();
    save_npy(path, *from);
    *to = load_npy(path);
    CHECK(identical(*to, *from));
  }
  CHECK(after.u.dtype() == DType::complex128);
  CHECK(after.s.dtype() == DType::float64);
  for (int64_t batch : {0, 1}) CHECK(test::svd_ratios(a, after, batch).worst() < 35);
}

TEST_CASE("other element types are read exactly, as documented", "[npy]") {
  auto check = [](const char* descr, const std::string& bytes, DType dtype, std::vector<double> expected) {
    INFO(descr);
    Tensor t = parse(descr, fmt::format("({},)", expected.size()), bytes);
    CHECK(t.dtype() == dtype);
    CHECK(t.to_vector() == expected);
  };
  check("|b1", std::string("\0\1\1", 3), DType::uint8, {0, 1, 1});
  check("|i1", "\x80\x7f", DType::int64, {-128, 127});
  check("<i2", std::string("\0\x80\xff\x7f", 4), DType::int64, {-32768, 32767});
  check(">i2", std::string("\x80\0\x7f\xff", 4), DType::int64, {-32768, 32767});
  check("<i4", std::string("\0\0\0\x80\xfe\xff\xff\xff", 8), DType::int64, {-2147483648.0, -2});
  check("<u2", "\xff\xff", DType::int64, {65535});
  check("<u4", "\xff\xff\xff\xff", DType::int64, {4294967295.0});
  check(">u4", std::string("\0\0\1\2", 4), DType::int64, {258});
  check(">u1", "\xff", DType::uint8, {255});
  check(">i8", std::string("\0\0\0\0\0\0\1\0", 8), DType::int64, {256});
  check(">f4", std::string("\xc0\x20\0\0", 4), DType::float32, {-2.5});
  check(">f8", std::string("\x3f\xf8\0\0\0\0\0\0", 8), DType::float64, {1.5});
  Tensor z = parse(">c8", "(1,)", std::string("\x3f\x80\0\0\xc0\0\0\0", 8));
  CHECK(identical(z, Tensor::from<std::complex<float>>({{1, -2}}, {1})));

  // binary16: 1, -2, the largest, the smallest normal, the largest and smallest subnormal, zero.
  check("<f2", std::string("\0\x3c\0\xc0\xff\x7b\0\4\xff\3\1\0\0\0", 14), DType::float32,
        {1, -2, 65504, 0x1p-14, 1023 * 0x1p-24, 0x1p-24, 0});
  std::vector<double> odd = parse(">f2", "(4,)", std::string("\x80\0\x7c\0\xfc\0\x7e\0", 8)).to_vector();
  CHECK((odd[0] == 0 && std::signbit(odd[0])));
  CHECK((std::isinf(odd[1]) && odd[1] > 0 && std::isinf(odd[2]) && odd[2] < 0 && std::isnan(odd[3])));
  Bytes all;  // every binary16 against the value by its definition
  for (int i = 0; i < 65536; ++i)
    all.push_back(static_cast<uint8_t>(i)), all.push_back(static_cast<uint8_t>(i >> 8));
  Tensor values = parse("<f2", "(65536,)", {all.begin(), all.end()});
  int wrong = 0;
  for (int i = 0; i < 65536; ++i) {
    const int exponent = i >> 10 & 31, mantissa = i & 1023;
    double v = exponent == 0    ? mantissa * 0x1p-24
               : exponent == 31 ? (mantissa ? std::nan("") : std::numeric_limits<double>::infinity())
                                : std::ldexp(1024 + mantissa, exponent - 25);
    if (i & 0x8000) v = -v;
    const auto got = static_cast<double>(values.data<float>()[i]);
    wrong += !(got == v || (std::isnan(got) && std::isnan(v))) || std::signbit(got) != std::signbit(v);
  }
  CHECK(wrong == 0);
}

TEST_CASE("columns-first arrays, other versions and other spellings of a header are read", "[npy]") {
  const std::string six = std::string("\1\2\3\4\5\6", 6);
  CHECK(parse("|u1", "(2, 3)", six).to_vector() == std::vector<double>{1, 2, 3, 4, 5, 6});
  CHECK(parse("|u1", "(2, 3)", six, true).to_vector() == std::vector<double>{1, 3, 5, 2, 4, 6});
  CHECK(parse("|u1", "(3, 1, 2)", six, true).to_vector() == std::vector<double>{1, 4, 2, 5, 3, 6});
  CHECK(parse("|u1", "(6,)", six, true).to_vector() == std::vector<double>{1, 2, 3, 4, 5, 6});
  CHECK(parse(">i2", "(3, 1)", six, true).to_vector() == std::vector<double>{258, 772, 1286});
  CHECK(parse("|u1", "()", "\7", true).item() == 7);
  CHECK(parse("|u1", "(0, 9000000000000000000)", "", true).shape() == Shape{0, 9000000000000000000});
  for (int version : {1, 2, 3}) CHECK(parse(file_of(header_of("|u1", "(6,)"), six, version)).numel() == 6);
  for (const char* header :
       {"{'shape':(6,),'fortran_order':False,'descr':'|u1'}\n",
        "  { \"descr\" : \"|u1\" , 'shape' : ( 6 , ) , 'fortran_order' : False , }   \n\n",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (6L,), }\n",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (1, 6), }\n",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (1L, 6L), }\n"}) {
    INFO(header);
    CHECK(refusal(file_of(header, six)) == "accepted");
  }
}

TEST_CASE("malformed .npy files are refused with the place and the reason", "[npy]") {
  auto shaped = [](const std::string& shape, const std::string& data = "1234") {
    return file_of(header_of("<f4", shape), data);
  };
  auto typed = [](const std::string& descr, const std::string& data = "12345678") {
    return file_of("{'descr': " + descr + ", 'fortran_order': False, 'shape': (1,), }\n", data);
  };
  auto plain = [](const std::string& header, const std::string& data = "1234") {
    return file_of(header, data);
  };
  const std::string good = header_of("<f4", "(1,)");
  struct Case {
    std::string file, expected;
  };
  const Case cases[] = {
      {"", "at byte 0: expected an .npy file"},
      {"\x93NUMPY", "at byte 0"},
      {"\x93NUMPX" + std::string(20, '\0'), "at byte 0"},
      {"PK\3\4" + std::string(40, '\0'), "at byte 0"},
      {file_of(good, "1234", 4), "at byte 6: version 4.0"},
      {file_of(good, "1234", 0), "version 0.0"},
      {std::string("\x93NUMPY\1\1v\0", 10) + good, "version 1.1"},
      {std::string("\x93NUMPY\2\0\1\0\0", 11), "at byte 8: the file ends"},
      // The length of the header.
      {file_of("", "", 1, 0), "ends with a new line"},
      {file_of(good, "1234", 1, 100), "at byte 8: header of 100 bytes, but the file has"},
      {file_of(good, "1234", 1, 65535), "at byte 8: header of 65535 bytes, expected at most 10000"},
      {file_of(good, "1234", 2, 0xffffffff), "header of 4294967295 bytes, expected at most 10000"},
      {file_of(good + std::string(10000, ' ') + "\n", "1234"), "expected at most 10000"},
      {file_of(good, "1234", 1, 20), "ends with a new line"},
      {plain(good.substr(0, good.size() - 1)), "ends with a new line"},
      // Not a dictionary.
      {plain("\n"), "expected a header that starts with {"},
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
      {plain("{" + std::string(5000, '(') + "\n"), "expected a quoted text"},
      // Keys.
      {plain("{}\n"), "'descr' is missing"},
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
      {plain("{'descr': '<f4', 'fortran_order': Falsehood, 'shape': (1,)}\n"), "expected a comma or }"},
      // Element types.
      {typed("'|O'"), "dtype '|O' stands for Python objects"},
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
      {typed("'|b1'", "\2"), "expected False or True as 0 or 1, got 2"},
      // Shapes.
      {shaped("(2,)"), "expected 8 bytes for shape (2) of '<f4', the file has 4"},
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
  CHECK(refusal(shaped("(1,)")) == "accepted");
  CHECK(refusal(typed("'<f8'")) == "accepted");
  for (const Case& c : cases) {
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

TEST_CASE("NumPy reads what sigma writes, writes the same bytes, and sigma reads its variants", "[npy]") {
  if (test::run({"/usr/bin/python3", "-c", "import numpy"}).exit_code != 0)
    return test::skip("NumPy is not installed for /usr/bin/python3");
  test::TemporaryFolder folder;
  for (const auto& [name, t] : samples()) save_npy((folder / (name + ".npy")).string(), t);
  test::RunResult r = test::run(
      {"/usr/bin/python3", SIGMA_SOURCE_DIR "/tests/golden/exchange_npy.py", folder.path().string()});
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  CHECK(contains(r.out, "scalar.npy float64 () -2.5\n"));
  CHECK(contains(r.out, "one.npy float32 (3,) 6.0\n"));
  CHECK(contains(r.out, "long.npy uint8 (1234567,) 0\n"));
  CHECK(contains(r.out, "empty.npy float32 (0, 3) 0.0\n"));
  for (const auto& [name, t] : samples()) {
    INFO(name);
    const std::string path = (folder / (name + ".npy")).string();
    CHECK(text_of(path + ".again") == text_of(path));
    for (const char* variant : {".again", ".v2", ".v3", ".fortran", ".big"}) {
      INFO(variant);
      CHECK(identical(load_npy(path + variant), t));
    }
  }
}
