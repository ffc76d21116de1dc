// Functions on tensors: broadcasting and layouts, comparisons, operators, picking, numbers in a row.
#include "core/math.h"

#include <cmath>

#include "core/parallel.h"
#include "core/rng.h"
#include "tests/support/support.h"

using namespace sigma;
using test::error_of;
using test::randn;

namespace {

using Values = std::vector<double>;
using Function = Tensor (*)(const Tensor&, const Tensor&);
bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}
Tensor i64(const std::vector<int64_t>& v, const Shape& shape) { return Tensor::from(v, shape); }

}  // namespace

// A bias of shape (1, C, 1, 1) added to channels_last images gave contiguous ones: two copies of the images.
TEST_CASE("broadcasting keeps channels_last", "[math]") {
  const Tensor plain = randn({2, 3, 4, 5}, 1, DType::float32), image = plain.to(Layout::channels_last);
  for (const Shape& shape :
       {Shape{1, 3, 1, 1}, Shape{}, Shape{1}, Shape{3, 1, 1}, Shape{4, 5}, Shape{5}, Shape{2, 1, 1, 1},
        Shape{2, 1, 4, 5}, Shape{1, 3, 4, 1}, Shape{2, 3, 4, 5}, Shape{1, 1, 1, 1}}) {
    INFO(shape.str());
    const Tensor b = randn(shape, 2, DType::float32);
    for (Function fn : std::initializer_list<Function>{add, sub, mul, div, maximum, minimum}) {
      const Tensor left = fn(image, b), right = fn(b, image);
      CHECK(left.layout() == Layout::channels_last);
      CHECK(right.layout() ==
            (b.rank() == 4 && b.numel() == image.numel() ? Layout::contiguous : Layout::channels_last));
      CHECK(identical(left.contiguous(), fn(plain, b)));
      CHECK(identical(right.contiguous(), fn(b, plain)));
    }
    const Tensor chosen = where(gt(b, 0), image, b);
    CHECK(chosen.layout() == Layout::channels_last);
    CHECK(identical(chosen.contiguous(), where(gt(b, 0), plain, b)));
    CHECK(lt(image, b).layout() == Layout::channels_last);
  }
  // Neither has the result's shape.
  const Tensor rows = sum(image, {1}, true), channels = sum(image, {0, 2, 3}, true);
  const Tensor product = mul(rows, channels);
  CHECK(product.layout() == Layout::channels_last);
  CHECK(identical(product.contiguous(), mul(rows.contiguous(), channels.contiguous())));
  for (const std::vector<int>& dims : {std::vector<int>{0}, {1}, {2, 3}, {0, 2, 3}, {3}, {}}) {
    const Tensor a = sum(image, dims, true), b = sum(plain, dims, true);
    CHECK(a.layout() == Layout::channels_last);
    CHECK(max_abs_difference(a, b) <= 1e-5);
    CHECK(identical(amax(image, dims).contiguous(), amax(plain, dims)));
    CHECK(max_abs_difference(sum(image, dims), sum(plain, dims)) <= 1e-5);
  }
  CHECK(identical(max(image, 1).indices.contiguous(), max(plain, 1).indices));
  CHECK(identical(softmax(image, 1).contiguous(), softmax(plain, 1)));
}

TEST_CASE("broadcasting agrees with writing the operands out", "[math]") {
  const Shape shapes[] = {{},        {1},       {4},       {3, 1},    {1, 4},    {3, 4},
                          {2, 1, 4}, {2, 3, 1}, {1, 3, 4}, {2, 3, 4}, {0, 3, 4}, {1, 1, 1}};
  int compared = 0;
  for (const Shape& sa : shapes)
    for (const Shape& sb : shapes) {
      Shape shape;
      try {
        shape = broadcast_shapes(sa, sb, "test");
      } catch (const Error&) { continue; }
      const Tensor a = randn(sa, 3), b = randn(sb, 4);
      CHECK(identical(sub(a, b), sub(broadcast_to(a, shape), broadcast_to(b, shape))));
      ++compared;
    }
  CHECK(compared > 80);
  CHECK(identical(broadcast_to(i64({1, 2}, {2, 1}), {2, 2}), i64({1, 1, 2, 2}, {2, 2})));
  CHECK(contains(error_of([] { add(Tensor::zeros({2, 3}), Tensor::zeros({2})); }), "do not broadcast"));
}

TEST_CASE("operators on tensors compute what they say, in place where they assign", "[math]") {
  const Tensor x = Tensor::from<double>({1, 2, 4}, {3}), y = Tensor::from<double>({2, 2, 2}, {3});
  CHECK((x + y).to_vector() == Values{3, 4, 6});
  CHECK((x - y).to_vector() == Values{-1, 0, 2});
  CHECK((x * y).to_vector() == Values{2, 4, 8});
  CHECK((x / y).to_vector() == Values{0.5, 1, 2});
  CHECK((-x).to_vector() == Values{-1, -2, -4});
  CHECK((x + 1.0).to_vector() == Values{2, 3, 5});
  CHECK((1 + x).to_vector() == Values{2, 3, 5});
  CHECK((x - 1).to_vector() == Values{0, 1, 3});
  CHECK((1.0 - x).to_vector() == Values{0, -1, -3});
  CHECK((2.0 * x).to_vector() == Values{2, 4, 8});
  CHECK((x / 2).to_vector() == Values{0.5, 1, 2});
  CHECK((4 / x).to_vector() == Values{4, 2, 1});
  Tensor z = x.clone(), same = z;
  const uint64_t version = z.version();
  z += y;
  CHECK(same.to_vector() == Values{3, 4, 6});
  CHECK(z.version() > version);
  z -= Tensor::scalar(1, DType::float64);
  z *= z;
  z /= 3;
  z += 0.5;
  z -= 0.25;
  z *= 4;
  CHECK(same.to_vector() == Values{4 * (4 / 3.) + 1, 4 * (9 / 3.) + 1, 4 * (25 / 3.) + 1});
  CHECK(contains(error_of([&] { z += Tensor::zeros({2, 3}, DType::float64); }), "[+=] expected a shape"));
  CHECK(contains(error_of([&] { z += Tensor::zeros({3}); }), "[+=] expected one dtype"));
}

// A factor must not be rounded to the 8 bits of the storage first.
TEST_CASE("a scalar keeps its digits beside bfloat16", "[math]") {
  const Tensor x = Tensor::full({3}, 3, DType::bfloat16);
  CHECK((x * 1.003).at({0}) == static_cast<float>(bfloat16(3 * 1.003f)));
  CHECK((x * 1.003).at({0}) != static_cast<float>(bfloat16(3 * static_cast<float>(bfloat16(1.003f)))));
  CHECK(eq(Tensor::full({1}, 1.0, DType::bfloat16), 1.001).item() == 0);
}

TEST_CASE("comparisons with scalars are exact for integers and rounded for floats", "[math]") {
  const Tensor bytes = Tensor::from<uint8_t>({0, 1, 255}, {3}), wide = i64({-1, 0, int64_t{1} << 60}, {3});
  CHECK(lt(bytes, 0.5).to_vector() == Values{1, 0, 0});
  CHECK(eq(bytes, 256).to_vector() == Values{0, 0, 0});
  CHECK(gt(bytes, -1).to_vector() == Values{1, 1, 1});
  CHECK(eq(wide, 0x1p60).to_vector() == Values{0, 0, 1});
  CHECK(le(wide, -0.5).to_vector() == Values{1, 0, 0});
  CHECK(eq(Tensor::full({1}, 0.1), 0.1).item() == 1);  // 0.1 in float32
  const Tensor nan = Tensor::full({1}, std::nan(""));
  CHECK(ne(nan, nan).item() == 1);
  CHECK(eq(nan, nan).item() + lt(nan, 1).item() + ge(nan, 1).item() == 0);
  CHECK(sum(gt(bytes, 0)).item() == 2);
  CHECK(sum(gt(bytes, 0)).dtype() == DType::int64);
  CHECK(contains(error_of([&] { eq(bytes, wide); }), "[eq] expected one dtype"));
}

TEST_CASE("extremes take any dtype and dimensions, and refuse what is empty", "[math]") {
  const Tensor t = i64({3, 9, -2, 9, 0, 9}, {2, 3});
  CHECK(max(t).item() == 9);
  CHECK(min(t).item() == -2);
  CHECK(amax(t, {0}).to_vector() == Values{9, 9, 9});
  auto [values, indices] = max(t, 1, true);
  CHECK(values.to_vector() == Values{9, 9});
  CHECK(indices.to_vector() == Values{1, 0});
  CHECK(indices.shape() == Shape{2, 1});
  CHECK(min(t, -1).indices.to_vector() == Values{2, 1});
  CHECK(argmin(t, 0).to_vector() == Values{0, 1, 0});
  CHECK(max(Tensor::from<uint8_t>({7, 200}, {2})).item() == 200);
  CHECK(contains(error_of([] { max(Tensor::zeros({0})); }), "at least one element"));
  CHECK(contains(error_of([] { max(Tensor::zeros({2, 0}), 1); }), "at least one element"));
  CHECK(amax(Tensor::zeros({0, 3}), {1}).shape() == Shape{0});
  CHECK(contains(error_of([&] { max(t, 2); }), "[max] dimension 2"));
}

TEST_CASE("softmax neither overflows nor loses what is far away", "[math]") {
  const double inf = kUnbounded;
  const Tensor far = Tensor::from<double>({1000, 1001, -1000, 1000}, {2, 2});
  CHECK(softmax(far, 1).at({0, 1}) == Approx(1 / (1 + std::exp(-1.0))).epsilon(1e-15));
  CHECK(log_softmax(far, 1).at({1, 0}) == -2000);
  CHECK(logsumexp(far, {1}).at({1}) == 1000);
  CHECK(logsumexp(Tensor::full({3}, -inf, DType::float64), {0}).item() == -inf);
  CHECK(logsumexp(Tensor::full({3}, inf, DType::float64), {0}).item() == inf);
  CHECK(softmax(Tensor::from<double>({0, -inf}, {2}), 0).to_vector() == Values{1, 0});
  CHECK(softmax(Tensor::zeros({2, 2}, DType::bfloat16), 0).dtype() == DType::bfloat16);
  CHECK(softmax(Tensor::zeros({0, 3}), 1).shape() == Shape{0, 3});
  CHECK(contains(error_of([] { softmax(i64({1}, {1}), 0); }), "[softmax] expected floating-point"));
}

TEST_CASE("picking refuses indices that are not there", "[math]") {
  const Tensor t = randn({2, 3}, 1);
  CHECK(contains(error_of([&] { gather(t, 1, i64({3}, {1, 1})); }), "[gather] index 3 is outside 0..2"));
  CHECK(contains(error_of([&] { gather(t, 1, i64({-1}, {1, 1})); }), "index -1 is outside"));
  CHECK(contains(error_of([&] { gather(t, 1, i64({0}, {1})); }), "expected indices of 2 dimensions"));
  CHECK(contains(error_of([&] { gather(t, 1, i64({0, 0, 0}, {3, 1})); }), "expected indices of at most"));
  CHECK(contains(error_of([&] { gather(t, 1, Tensor::zeros({1, 1})); }), "expected int64 indices"));
  CHECK(contains(error_of([&] { index_select(t, 0, i64({2}, {1})); }), "[index_select] index 2"));
  CHECK(contains(error_of([&] { scatter_add(t, 0, i64({0}, {1, 1}), randn({1, 2}, 1)); }), "index's shape"));
  CHECK(contains(error_of([&] { index_add(t, 0, i64({0}, {1}), randn({2, 3}, 1)); }), "expected a source"));
  CHECK(contains(error_of([&] { stack({t, randn({3, 2}, 1)}, 0); }), "[stack] expected float64 tensors"));
  CHECK(gather(Tensor::from<uint8_t>({4, 5}, {2}), 0, i64({1, 1, 0}, {3})).to_vector() == Values{5, 5, 4});
  // Sums of small steps in bfloat16 would stand still at 256.
  CHECK(scatter_add(Tensor::zeros({1}, DType::bfloat16), 0, Tensor::zeros({1000}, DType::int64),
                    Tensor::ones({1000}, DType::bfloat16))
            .item() == 1000);
}

TEST_CASE("scattering many to one place has the same bits for any number of threads", "[math]") {
  const Tensor source = randn({400, 300}, 1, DType::float32);
  Rng rng(2, "indices");
  Tensor index = Tensor::zeros({400, 300}, DType::int64);
  for (int64_t i = 0; i < index.numel(); ++i)
    index.mutable_data<int64_t>()[i] = static_cast<int64_t>(rng.next_below(7));
  const int before = num_threads();
  std::vector<Tensor> results;
  for (int threads : {1, 2, 3}) {
    set_num_threads(threads);
    results.push_back(scatter_add(Tensor::zeros({400, 7}), 1, index, source));
    results.push_back(scatter_add(Tensor::zeros({7, 300}), 0, index, source));
  }
  set_num_threads(before);
  for (size_t i = 2; i < results.size(); ++i) CHECK(identical(results[i], results[i % 2]));
}

TEST_CASE("numbers in a row", "[tensor]") {
  CHECK(Tensor::arange(4).to_vector() == Values{0, 1, 2, 3});
  CHECK(Tensor::arange(4).dtype() == DType::int64);
  CHECK(Tensor::arange(1, 2, 0.25, DType::float64).to_vector() == Values{1, 1.25, 1.5, 1.75});
  CHECK(Tensor::arange(3, 0, -1).to_vector() == Values{3, 2, 1});
  CHECK(Tensor::arange(2, 2).numel() == 0);
  CHECK(Tensor::linspace(-1, 1, 5, DType::float64).to_vector() == Values{-1, -0.5, 0, 0.5, 1});
  CHECK(Tensor::linspace(0.1, 0.7, 7, DType::float64).at({6}) == 0.7);
  CHECK(Tensor::linspace(3, 4, 1).to_vector() == Values{3});
  CHECK(Tensor::eye(2, DType::complex64).str() == "Tensor((2, 2), complex64, [1+0i, 0+0i, 0+0i, 1+0i])");
  CHECK(contains(error_of([] { Tensor::arange(0, 1, -1); }), "[arange]"));
  CHECK(contains(error_of([] { Tensor::arange(0, 1, 0); }), "[arange]"));
  CHECK(contains(error_of([] { Tensor::arange(-1); }), "[arange]"));
}

TEST_CASE("random tensors depend on the seed alone and have the right moments", "[tensor]") {
  const Tensor n = Tensor::randn({100000}, 7, DType::float64), u = Tensor::rand({100000}, 7, DType::float64);
  CHECK(identical(n, Tensor::randn({100000}, 7, DType::float64)));
  CHECK_FALSE(identical(n, Tensor::randn({100000}, 8, DType::float64)));
  CHECK(identical(n.to(DType::float32), Tensor::randn({100000}, 7)));
  // Five standard errors of 100,000 numbers.
  CHECK(std::fabs(mean(n).item()) < 5 / std::sqrt(1e5));
  CHECK(std::fabs(mean(n * n).item() - 1) < 5 * std::sqrt(2 / 1e5));
  CHECK(std::fabs(mean(u).item() - 0.5) < 5 / std::sqrt(12e5));
  CHECK(min(u).item() >= 0);
  for (DType dtype : {DType::float32, DType::float64, DType::bfloat16})
    CHECK(max(Tensor::rand({100000}, 1, dtype)).item() < 1);
  Rng rng(7, "randn");
  const Tensor first = Tensor::randn({3}, rng, DType::float64),
               second = Tensor::randn({3}, rng, DType::float64);
  CHECK(identical(first, slice(n, 0, 0, 3)));
  CHECK(identical(second, slice(n, 0, 3, 3)));
  CHECK(contains(error_of([] { Tensor::randn({3}, 1, DType::int64); }), "[randn]"));
}
