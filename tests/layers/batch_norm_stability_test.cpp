// Batch normalization, numerics: float32 data against the long double reference on the same float32 data
// (cases 35-40 and 57 of the specification's list, section 1.8). The comments give what PyTorch 1.13 loses on
// the same inputs, as the specification measured it.
#include "tests/support/batch_norm_reference.h"

using namespace sigma;
using namespace sigma::test;

namespace {

Tensor normal(const Shape& shape, double mean, double deviation, uint64_t seed) {
  Tensor t = randn(shape, seed);
  double* p = t.mutable_data<double>();
  for (int64_t i = 0; i < t.numel(); ++i) p[i] = mean + deviation * p[i];
  return t.to(DType::float32);
}

// Largest |y - reference| in training.
double forward_error(const Tensor& x) { return gap(batch_norm(Variable(x), {}), reference({.x = x}).y); }

Moments moments_of(const std::vector<double>& values, size_t begin, size_t end) {
  long double sum = 0, squares = 0, count = static_cast<long double>(end - begin);
  for (size_t i = begin; i < end; ++i) sum += static_cast<long double>(values[i]);
  long double mean = count > 0 ? sum / count : 0;
  for (size_t i = begin; i < end; ++i) {
    long double d = static_cast<long double>(values[i]) - mean;
    squares += d * d;
  }
  return {static_cast<double>(count), static_cast<double>(mean), static_cast<double>(squares)};
}

double relative(double got, double want) { return std::fabs(got - want) / std::fabs(want); }

}  // namespace

TEST_CASE("batch norm case 35: mean 1e4 with deviation 1e-2 keeps its digits", "[batch_norm]") {
  // PyTorch: 5e-3.
  CHECK(forward_error(normal({4096, 1}, 1e4, 1e-2, 35)) <= 1e-5);
  CHECK(forward_error(normal({4096, 3}, 1e4, 1e-2, 36)) <= 1e-5);
  CHECK(forward_error(normal({64, 3, 64}, 1e4, 1e-2, 37)) <= 1e-5);
  CHECK(forward_error(normal({16, 3, 16, 16}, 1e4, 1e-2, 38)) <= 1e-5);
}

TEST_CASE("batch norm case 36: mean 1e6 with deviation 1 keeps its digits for any count", "[batch_norm]") {
  // PyTorch on an (N, C) matrix: 5.3.
  CHECK(forward_error(normal({4096, 1}, 1e6, 1, 36)) <= 1e-5);
  CHECK(forward_error(normal({4096, 3}, -1e6, 1, 37)) <= 1e-5);
  CHECK(forward_error(normal({262144, 1}, 1e6, 1, 38)) <= 1e-5);
  CHECK(forward_error(normal({262144, 2}, 1e6, 1, 39)) <= 1e-5);
}

TEST_CASE("batch norm case 37: values whose squares overflow float32 are normalized", "[batch_norm]") {
  // PyTorch gives zeros.
  CHECK(forward_error(normal({4096, 2}, 0, 3e19, 37)) <= 1e-5);
  CHECK(forward_error(normal({4096, 2}, 0, 1e30, 38)) <= 1e-5);
  CHECK(forward_error(normal({4096, 2}, 1e30, 1e29, 39)) <= 1e-5);
  CHECK(forward_error(normal({8, 2, 16, 16}, 0, 1e30, 40)) <= 1e-5);
}

TEST_CASE("batch norm case 38: tiny values keep their digits", "[batch_norm]") {
  CHECK(forward_error(normal({4096, 2}, 1e-4, 1e-4, 38)) <= 1e-6);
  // With deviation 1e-8 eps rules and all outputs are below 2e-5, so the bound is also asked for relatively.
  Tensor x = normal({4096, 2}, 0, 1e-8, 39);
  CHECK(forward_error(x) <= 1e-6);
  Reference r = reference({.x = x});
  double largest = 0;
  for (double y : r.y) largest = std::max(largest, std::fabs(y));
  CHECK(forward_error(x) <= 1e-6 * largest);
}

TEST_CASE("batch norm case 39: the gradient keeps its digits at mean 1e4 with deviation 1e-2",
          "[batch_norm]") {
  for (const Shape& shape : std::vector<Shape>{{4096, 2}, {16, 2, 16, 16}}) {
    Tensor data = normal(shape, 1e4, 1e-2, 39), g = randn(shape, 40, DType::float32);
    Variable x(data, true), weight(Tensor::full({2}, 1.5), true);
    batch_norm(x, {.weight = weight}).backward(g);
    Reference r = reference({.x = data, .weight = weight.value(), .g = g});
    double largest = 0;
    for (double d : r.dx) largest = std::max(largest, std::fabs(d));
    REQUIRE(largest > 100);  // 1.5 / sqrt(1e-4 + 1e-5) times the gradient
    CHECK(gap(x.grad(), r.dx) <= 1e-4 * largest);
    for (size_t c = 0; c < 2; ++c)
      CHECK(std::fabs(weight.grad().to_vector()[c] - r.dweight[c]) <= 1e-4 * std::fabs(r.dweight[c]));
  }
}

TEST_CASE("batch norm case 40: the variance of ten thousand random batches is never negative",
          "[batch_norm]") {
  // Momentum 1 shows the batch's variance in the buffer. The accuracy is checked too: clamping at zero alone
  // would satisfy the sign.
  Rng rng(40, "offsets");
  int negative = 0, inaccurate = 0, zero = 0;
  for (int i = 0; i < 10000; ++i) {
    DType dtype = i % 2 ? DType::float32 : DType::float64;
    auto n = static_cast<int64_t>(2 + rng.next_below(16));
    double offset = std::pow(10.0, rng.next_uniform(-3, 8)) * (rng.next_uniform() < .5 ? -1 : 1);
    double deviation = std::pow(10.0, rng.next_uniform(-6, 2));
    Tensor x = Tensor::empty({n, 1}, DType::float64);
    for (int64_t k = 0; k < n; ++k) x.mutable_data<double>()[k] = offset + deviation * rng.next_normal();
    x = x.to(dtype);
    Variable var(Tensor::ones({1}, dtype));
    batch_norm(Variable(x), {.running_var = var, .momentum = 1});
    double got = var.item(), want = reference({.x = x}).unbiased[0];
    negative += !(got >= 0);
    zero += want == 0;
    // Up to float32's rounding of the buffer.
    inaccurate += !(std::fabs(got - want) <= (dtype == DType::float32 ? 1e-7 : 1e-12) * want);
  }
  CHECK(negative == 0);
  CHECK(inaccurate == 0);
  CHECK(zero > 0);  // some offsets swallow the deviation
  CHECK(zero < 5000);
}

TEST_CASE("batch norm case 57: merged moments of random parts equal those of the whole", "[batch_norm]") {
  const size_t n = 100000;
  std::vector<double> values = randn({static_cast<int64_t>(n)}, 57).to_vector();
  for (double& v : values) v += 1;
  Moments whole = moments_of(values, 0, n);
  Rng rng(57, "splits");
  for (int trial = 0; trial < 20; ++trial) {
    std::vector<size_t> cuts{0, n};
    for (uint64_t i = 0, count = 1 + rng.next_below(15); i < count; ++i) cuts.push_back(rng.next_below(n));
    std::sort(cuts.begin(), cuts.end());
    std::vector<Moments> parts;
    for (size_t i = 0; i + 1 < cuts.size(); ++i) parts.push_back(moments_of(values, cuts[i], cuts[i + 1]));
    Moments left, right;
    for (size_t i = 0; i < parts.size(); ++i) {
      left = merge(left, parts[i]);
      right = merge(parts[parts.size() - 1 - i], right);
    }
    // And in a random order of merging, which need not keep neighbours together.
    while (parts.size() > 1) {
      size_t i = rng.next_below(parts.size() - 1);
      parts[i] = merge(parts.back(), parts[i]);
      parts.pop_back();
    }
    for (const Moments& m : {left, right, parts[0]}) {
      CHECK(m.count == whole.count);
      CHECK(relative(m.mean, whole.mean) <= 1e-14);
      CHECK(relative(m.m2, whole.m2) <= 1e-14);
    }
  }
  Moments same = merge(merge(Moments{}, whole), Moments{});
  CHECK(same.mean == whole.mean);
  CHECK(same.m2 == whole.m2);
  // The layer's own sums over several tasks; their additions round more often than a merge does.
  Variable mean(Tensor::zeros({1}, DType::float64)), var(Tensor::ones({1}, DType::float64));
  batch_norm(Variable(f64(values, {static_cast<int64_t>(n), 1})),
             {.running_mean = mean, .running_var = var, .momentum = 1});
  CHECK(relative(mean.item(), whole.mean) <= 1e-13);
  CHECK(relative(var.item(), whole.m2 / static_cast<double>(n - 1)) <= 1e-13);
}
