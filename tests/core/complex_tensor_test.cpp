// Complex tensors: arithmetic, rearranging, conversion, printing, files, and clear errors for what they do
// not do.
#include <cmath>
#include <limits>

#include "autograd/complex.h"
#include "autograd/ops.h"
#include "core/parallel.h"
#include "core/safetensors.h"
#include "layers/activations.h"
#include "tests/support/svd.h"

using namespace sigma;
using namespace sigma::test;
using C = std::complex<double>;

namespace {

constexpr DType kComplex[] = {DType::complex64, DType::complex128};

Tensor c128(const std::vector<C>& v, const Shape& shape) { return Tensor::from(v, shape); }
std::vector<C> values(const Tensor& t) {
  Tensor z = t.contiguous().to(DType::complex128);
  return {z.data<C>(), z.data<C>() + z.numel()};
}
// Gaussian integers: sums and products are exact, so tolerances are zero.
Tensor integers(const Shape& shape, uint64_t seed, DType dtype) {
  Tensor re = random_integers(shape, -5, 5, seed, DType::float64),
         im = random_integers(shape, -5, 5, seed + 100, DType::float64);
  return complex(re, im).to(dtype);
}
bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("complex tensors are made of parts, and fall apart into them", "[complex]") {
  for (DType dtype : kComplex) {
    DType part = real_dtype(dtype);
    Tensor re = randn({3, 4}, 1, part), im = randn({3, 4}, 2, part), z = complex(re, im);
    CHECK(z.dtype() == dtype);
    CHECK(z.bytes() == 12 * size_of(dtype));
    CHECK(identical(real(z), re));
    CHECK(identical(imag(z), im));
    CHECK(identical(imag(conj(z)), neg(im)));
    CHECK(identical(conj(conj(z)), z));
    CHECK(conj(re).shares_storage(re));
    CHECK(real(re).shares_storage(re));
    CHECK(identical(imag(re), Tensor::zeros_like(re)));
    CHECK(abs(z).dtype() == part);
    CHECK(values(Tensor::zeros({2}, dtype)) == std::vector<C>{0, 0});
    CHECK(values(Tensor::full({2}, -1.5, dtype)) == std::vector<C>{-1.5, -1.5});
    CHECK(values(Tensor::ones({1}, dtype)) == std::vector<C>{1});
    CHECK(complex(Tensor::zeros({0, 3}, part), Tensor::zeros({0, 3}, part)).shape() == Shape{0, 3});
  }
  CHECK(abs(c128({{3, 4}, {-5, 12}, {0, 0}, {0, -2}}, {4})).to_vector() == std::vector<double>{5, 13, 0, 2});
  CHECK(abs(c128({{3e300, 4e300}}, {1})).item() == Approx(5e300));
  CHECK(contains(error_of([] { complex(Tensor::zeros({2}), Tensor::zeros({3})); }),
                 "[complex] expected equal shapes"));
  CHECK(contains(error_of([] { complex(Tensor::zeros({2}), Tensor::zeros({2}, DType::float64)); }),
                 "[complex] expected two float32 or two float64 tensors, got float32 and float64"));
  CHECK(
      contains(error_of([] { complex(Tensor::zeros({2}, DType::int64), Tensor::zeros({2}, DType::int64)); }),
               "got int64 and int64"));
}

TEST_CASE("complex arithmetic follows its definition, and broadcasts", "[complex]") {
  for (DType dtype : kComplex) {
    Tensor a = c128({{1, 2}, {-3, 4}}, {2}).to(dtype), b = c128({{5, -6}, {0, 2}}, {2}).to(dtype);
    CHECK(values(add(a, b)) == std::vector<C>{{6, -4}, {-3, 6}});
    CHECK(values(sub(a, b)) == std::vector<C>{{-4, 8}, {-3, 2}});
    CHECK(values(mul(a, b)) == std::vector<C>{{17, 4}, {-8, -6}});
    CHECK(values(div(mul(a, b), a)) == values(b));
    CHECK(values(scale(a, -2)) == std::vector<C>{{-2, -4}, {6, -8}});
    CHECK(values(neg(a)) == std::vector<C>{{-1, -2}, {3, -4}});
    Tensor sum_in_place = a.clone();
    add_(sum_in_place, b);
    CHECK(identical(sum_in_place, add(a, b)));
    Tensor column = c128({{0, 1}, 1}, {2, 1}).to(dtype);
    CHECK(values(mul(a, column)) == std::vector<C>{{-2, 1}, {-4, -3}, {1, 2}, {-3, 4}});
    CHECK(values(broadcast_to(column, {2, 2})) == std::vector<C>{{0, 1}, {0, 1}, 1, 1});
    Tensor m = integers({3, 4, 5}, 3, dtype);
    CHECK(values(sum(m)) == std::vector<C>{{sum(real(m)).item(), sum(imag(m)).item()}});
    CHECK(identical(sum(m, {1}), complex(sum(real(m), {1}), sum(imag(m), {1}))));
    CHECK(identical(sum(m, {0, 2}, true), complex(sum(real(m), {0, 2}, true), sum(imag(m), {0, 2}, true))));
    CHECK(values(mean(c128({{1, 2}, {3, 6}}, {2}).to(dtype))) == std::vector<C>{{2, 4}});
    CHECK(identical(sum_to(m, {4, 1}), sum(m, {0, 2}).reshape({4, 1})));
  }
}

TEST_CASE("complex products are exact on integers, for every shape and number of threads", "[complex]") {
  const int before = num_threads();
  for (DType dtype : kComplex)
    for (auto [m, k, n] : {std::tuple<int64_t, int64_t, int64_t>{1, 1, 1},
                           {3, 4, 5},
                           {2, 0, 3},
                           {0, 2, 3},
                           {17, 33, 9},
                           {130, 70, 150}}) {
      Tensor a = integers({m, k}, 5, dtype), b = integers({k, n}, 6, dtype);
      Tensor re = sub(matmul(real(a), real(b)), matmul(imag(a), imag(b))),
             im = add(matmul(real(a), imag(b)), matmul(imag(a), real(b)));
      Tensor noise_a = random_matrix({m, k}, 7, dtype), noise_b = random_matrix({k, n}, 8, dtype), first;
      for (int threads : {1, 2, 3}) {
        set_num_threads(threads);
        CHECK(values(matmul(a, b)) == values(complex(re, im)));
        Tensor y = matmul(noise_a, noise_b);
        if (!first.defined()) first = y;
        CHECK(identical(y, first));
      }
      set_num_threads(before);
    }
  Tensor a = integers({2, 3, 4}, 9, DType::complex128), b = integers({4, 5}, 10, DType::complex128);
  Tensor y = matmul(a, b);
  for (int64_t i = 0; i < 2; ++i)
    CHECK(values(slice(y, 0, i, 1)) == values(matmul(slice(a, 0, i, 1).reshape({3, 4}), b)));
}

TEST_CASE("complex tensors are rearranged part by part", "[complex]") {
  for (DType dtype : kComplex) {
    Tensor z = random_matrix({2, 3, 4, 5}, 11, dtype);
    auto same = [&](const std::function<Tensor(const Tensor&)>& fn) {
      CHECK(identical(fn(z), complex(fn(real(z)), fn(imag(z)))));
    };
    same([](const Tensor& t) { return t.reshape({6, -1}); });
    same([](const Tensor& t) { return permute(t, {3, 1, 0, 2}); });
    same([](const Tensor& t) { return transpose(t, 1, -1); });
    same([](const Tensor& t) { return slice(t, 2, 1, 2); });
    same([](const Tensor& t) { return cat({t, slice(t, 1, 0, 1)}, 1); });
    same([](const Tensor& t) { return index_rows(t, {1, 0, 1}); });
    same([](const Tensor& t) { return t.to(Layout::channels_last).contiguous(); });
    Tensor last = z.to(Layout::channels_last);
    CHECK(identical(real(last).contiguous(), real(z)));
    CHECK(identical(add(last, z).contiguous(), add(z, z)));
    CHECK(identical(complex(real(last), imag(z)).contiguous(), z));
  }
}

TEST_CASE("conversion to complex keeps real numbers, between complex types rounds", "[complex]") {
  Tensor x = randn({5}, 12, DType::float32);
  for (DType dtype : kComplex) {
    CHECK(identical(real(x.to(dtype)).to(DType::float32), x));
    CHECK(identical(imag(x.to(dtype)), Tensor::zeros({5}, real_dtype(dtype))));
  }
  CHECK(values(Tensor::from<int64_t>({-7, 9}, {2}).to(DType::complex64)) == std::vector<C>{-7, 9});
  CHECK(values(Tensor::from<uint8_t>({255}, {1}).to(DType::complex128)) == std::vector<C>{255});
  Tensor z = random_matrix({4}, 13, DType::complex128);
  CHECK(identical(real(z.to(DType::complex64)), real(z).to(DType::float32)));
  CHECK(identical(imag(z.to(DType::complex64)), imag(z).to(DType::float32)));
  CHECK(z.to(DType::complex128).shares_storage(z));
  Tensor into = Tensor::zeros({2, 2, 1, 1}, DType::complex64, Layout::channels_last);
  into.copy_(z.reshape({2, 2, 1, 1}));
  CHECK(values(into) == values(z.to(DType::complex64)));
  into.fill_(2.5);
  CHECK(values(into) == std::vector<C>(4, 2.5));
  CHECK(identical(z, z.clone()));
  Tensor other = z.clone();
  reinterpret_cast<double*>(other.mutable_raw())[1] += 1;  // an imaginary part alone
  CHECK(!identical(z, other));
}

TEST_CASE("complex tensors are printed with both parts", "[complex]") {
  CHECK(c128({{1, 2}, {-0.5, -3}}, {2}).str() == "Tensor((2), complex128, [1+2i, -0.5-3i])");
  CHECK(c128({1, {0, 1}, 2}, {3}).to(DType::complex64).str(2) == "Tensor((3), complex64, [1+0i, 0+1i, ...])");
  CHECK(Tensor::zeros({0}, DType::complex64).str() == "Tensor((0), complex64, [])");
}

TEST_CASE("complex tensors come back from a safetensors file", "[complex]") {
  TemporaryFolder folder;
  SafeTensors content;
  content.tensors["a"] = random_matrix({3, 4}, 14, DType::complex64);
  content.tensors["b"] = random_matrix({2, 3, 2, 2}, 15, DType::complex64).to(Layout::channels_last);
  content.tensors["c"] = Tensor::zeros({0, 2}, DType::complex64);
  content.tensors["d"] = randn({3}, 16, DType::float32);
  content.tensors["e"] = c128({{std::numeric_limits<double>::infinity(), -0.0}}, {1}).to(DType::complex64);
  add_digest(content);
  const std::string path = (folder / "complex.safetensors").string();
  save_safetensors(path, content);
  SafeTensors back = load_safetensors(path);
  REQUIRE(back.tensors.size() == content.tensors.size());
  for (const auto& [name, t] : content.tensors) CHECK(identical(back.tensors.at(name), t.contiguous()));
  verify_digest(back, "here");
  CHECK(contains(serialize_safetensors(content), "\"C64\""));
  back.tensors["a"].mutable_data<std::complex<float>>()[3] += 1;
  CHECK(contains(error_of([&] { verify_digest(back, "here"); }), "altered"));
}

// The format's only complex element type is C64; a file with any other would open nowhere else.
TEST_CASE("complex128 is refused by safetensors, both ways", "[complex]") {
  TemporaryFolder folder;
  SafeTensors content;
  content.tensors["phase"] = random_matrix({2, 2}, 17, DType::complex128);
  const std::string path = (folder / "complex.safetensors").string();
  CHECK(
      contains(error_of([&] { save_safetensors(path, content); }),
               "[safetensors] tensor \"phase\": the format has no complex128; save its real and imaginary"));
  CHECK(std::filesystem::is_empty(folder.path()));
  std::string header = R"({"z":{"dtype":"C128","shape":[1],"data_offsets":[0,16]}})";
  const uint64_t n = header.size();
  header.insert(0, reinterpret_cast<const char*>(&n), 8);
  header.append(16, '\0');
  CHECK(contains(error_of([&] {
                   parse_safetensors({header.begin(), header.end()}, "a file");
                 }),
                 "a file: tensor \"z\": dtype C128 is not one of F32, F64, U8, I64, BF16, C64"));
  content.tensors["phase"] = real(content.tensors["phase"]);
  CHECK_NOTHROW(save_safetensors(path, content));
}

TEST_CASE("what complex tensors do not do is a clear error", "[complex]") {
  for (DType dtype : kComplex) {
    Tensor z = random_matrix({2, 3}, 17, dtype), one = random_matrix({1}, 18, dtype);
    const std::string name = name_of(dtype);
    for (auto& [tag, fn] :
         std::vector<std::pair<std::string, std::function<void()>>>{{"max", [&] { max(z, 0); }},
                                                                    {"argmax", [&] { argmax(z, 0); }},
                                                                    {"exp", [&] { exp(z); }},
                                                                    {"log", [&] { log(z); }},
                                                                    {"sqrt", [&] { sqrt(z); }},
                                                                    {"sign", [&] { sign(z); }},
                                                                    {"pow", [&] { pow(z, 2); }},
                                                                    {"all_finite", [&] { all_finite(z); }},
                                                                    {"relu", [&] { relu(Variable(z)); }},
                                                                    {"", [&] { one.item(); }},
                                                                    {"", [&] {
                                                                       z.at({0, 1});
                                                                     }}}) {
      std::string e = error_of(fn);
      INFO(tag << ": " << e);
      CHECK(contains(e, tag));
      CHECK(contains(e, name));
      CHECK(contains(e, "expected"));
    }
    for (DType to : {DType::float32, DType::float64, DType::int64, DType::uint8, DType::bfloat16})
      CHECK(error_of([&] { z.to(to); }) == std::string("[copy_] complex values do not convert to ") +
                                               name_of(to) + "; take real() or imag() of them");
    CHECK(contains(error_of([&] { z.to_vector(); }), "take real() or imag()"));
    Tensor real_one = Tensor::zeros({2, 3}, real_dtype(dtype));
    CHECK(contains(error_of([&] { real_one.copy_(z); }), "complex values do not convert"));
    CHECK(contains(error_of([&] { add(z, real_one); }), "[add] expected one dtype, got " + name));
    CHECK(contains(error_of([&] { matmul(z, transpose(real_one, 0, 1)); }), "[matmul] expected one dtype"));
    CHECK(contains(error_of([&] { cat({z, real_one}, 0); }), "cat"));
    CHECK(
        contains(error_of([&] { z.data<float>(); }), "expected float32 elements, the tensor holds " + name));
  }
  Variable z(random_matrix({1}, 19, DType::complex128), true);
  CHECK(contains(error_of([&] { mul(z, z).backward(); }),
                 "[backward] expected a real output, got complex128; take real() of it or pass a seed"));
  mul(z, z).backward(Tensor::ones({1}, DType::complex128));
  CHECK(z.grad().defined());
}

TEST_CASE("norms of complex tensors are those of their absolute values", "[tensor]") {
  for (DType dtype : {DType::complex64, DType::complex128}) {
    Tensor a =
        complex(Tensor::from<double>({3, 0, -5}, {3}), Tensor::from<double>({4, 2, 12}, {3})).to(dtype);
    CHECK(norm2(a) == Approx(std::sqrt(25.0 + 4 + 169)));
    CHECK(max_abs_difference(a, Tensor::zeros({3}, dtype)) == Approx(13));
    CHECK(max_abs_difference(a, Tensor::from<double>({3, 0, -5}, {3})) == Approx(12));
  }
}
