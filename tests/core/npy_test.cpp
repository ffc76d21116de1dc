// .npy files: NumPy's bytes, read and written.
#include "core/npy.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "core/math.h"
#include "tests/support/npy_files.h"
#include "tests/support/svd.h"

using namespace sigma;
using namespace sigma::test::npy;
namespace fs = std::filesystem;

namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::string text_of(const fs::path& path) {
  Bytes b = read_file(path.string());
  return {b.begin(), b.end()};
}

Tensor parse(const std::string& file) { return parse_npy({file.begin(), file.end()}, "some.npy"); }
Tensor parse(const std::string& descr, const std::string& shape, const std::string& data,
             bool fortran = false) {
  return parse(file_of(header_of(descr, shape, fortran), data));
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
