// Singular values of convolutions and spread of activations: against operators written out as matrices.
#include "layers/passes/spectrum.h"

#include <cmath>
#include <limits>

#include "core/parallel.h"
#include "layers/layers.h"
#include "tests/support/batch_norm_reference.h"
#include "tests/support/svd.h"

using namespace sigma;
using namespace sigma::test;

namespace {

struct Case {
  int64_t out, in, kh, kw, h, w;
  Pair stride = 1, dilation = 1;
  int64_t groups = 1;
  std::string str() const {
    return fmt::format("{}x{}x{}x{} on {}x{}, stride {}, dilation {}, groups {}", out, in, kh, kw, h, w,
                       stride.str(), dilation.str(), groups);
  }
  Shape weight() const { return {out, in / groups, kh, kw}; }
  Tensor values(const Tensor& t) const { return conv_singular_values(t, h, w, stride, dilation, groups); }
};

// The operator under circular padding as a matrix (out oh ow) x (in h w), from the definition of Conv2d.
Tensor explicit_operator(const Case& c, const Tensor& weight) {
  const int64_t oh = c.h / c.stride.h, ow = c.w / c.stride.w, gi = c.in / c.groups, go = c.out / c.groups;
  Tensor a = Tensor::zeros({c.out * oh * ow, c.in * c.h * c.w}, DType::float64);
  double* p = a.mutable_data<double>();
  for (int64_t o = 0; o < c.out; ++o)
    for (int64_t k = 0; k < gi; ++k)
      for (int64_t u = 0; u < c.kh; ++u)
        for (int64_t v = 0; v < c.kw; ++v)
          for (int64_t i = 0; i < oh; ++i)
            for (int64_t j = 0; j < ow; ++j) {
              int64_t y = (i * c.stride.h + u * c.dilation.h) % c.h;
              int64_t x = (j * c.stride.w + v * c.dilation.w) % c.w;
              int64_t row = (o * oh + i) * ow + j, column = ((o / go * gi + k) * c.h + y) * c.w + x;
              p[row * c.in * c.h * c.w + column] += weight.at({o, k, u, v});
            }
  return a;
}

// Largest difference of the values from those of the matrix, in units of the largest value.
double error_of_values(const Case& c, const Tensor& weight) {
  Tensor got = c.values(weight), want = svdvals(explicit_operator(c, weight));
  REQUIRE(got.shape() == want.shape());
  REQUIRE(got.dtype() == DType::float64);
  for (int64_t i = 1; i < got.numel(); ++i) REQUIRE(got.data<double>()[i - 1] >= got.data<double>()[i]);
  return gap(got, want.to_vector()) / want.to_vector()[0];
}

double largest(const Tensor& values) { return values.to_vector().front(); }

}  // namespace

TEST_CASE("the spectrum of a convolution is that of its operator written out as a matrix", "[spectrum]") {
  const Case cases[] = {{3, 3, 3, 3, 6, 6},          {3, 3, 3, 3, 5, 5},
                        {2, 4, 3, 3, 4, 7},          {4, 2, 3, 3, 7, 4},
                        {3, 2, 1, 1, 5, 4},          {2, 3, 2, 2, 5, 6},
                        {2, 3, 3, 2, 4, 5},          {2, 2, 2, 3, 1, 6},
                        {2, 2, 5, 5, 3, 4},  // wraps around
                        {1, 1, 5, 5, 1, 1},          {1, 3, 3, 3, 6, 1},
                        {2, 3, 3, 3, 6, 4, 2},       {5, 1, 3, 3, 4, 4, 2},  // more channels than aliases
                        {3, 2, 1, 1, 4, 6, 2},       {2, 2, 3, 2, 6, 4, 2},
                        {2, 2, 5, 5, 2, 4, 2},       {2, 1, 3, 3, 6, 9, 3},
                        {3, 2, 3, 3, 6, 5, {2, 1}},  {3, 2, 3, 3, 4, 6, {1, 3}},
                        {2, 2, 3, 3, 5, 6, 1, 2},    {2, 2, 3, 3, 4, 6, 2, {2, 3}},
                        {4, 4, 3, 3, 4, 5, 1, 1, 2}, {6, 3, 3, 3, 4, 4, 2, 1, 3}};
  for (const Case& c : cases) {
    INFO(c.str());
    CHECK(error_of_values(c, randn(c.weight(), 1)) < 1e-12);
  }
}

TEST_CASE("a hundred random convolutions agree with their operators, in float32 too", "[spectrum]") {
  Rng rng(7, "spectrum fuzz");
  auto pick = [&](int64_t low, int64_t high) {
    return low + static_cast<int64_t>(rng.next_below(static_cast<uint64_t>(high - low + 1)));
  };
  for (uint64_t trial = 0; trial < 100; ++trial) {
    Case c{pick(1, 4), pick(1, 4), pick(1, 4), pick(1, 4), 0, 0};
    c.stride = {pick(1, 3), pick(1, 3)};
    c.dilation = {pick(1, 2), pick(1, 2)};
    c.h = c.stride.h * pick(1, 6 / c.stride.h), c.w = c.stride.w * pick(1, 6 / c.stride.w);
    Tensor weight = randn(c.weight(), trial, trial % 2 ? DType::float32 : DType::float64);
    if (trial % 3 == 0) weight = weight.to(Layout::channels_last);
    if (trial % 5 == 0) weight = scale(weight, 1e-30);
    INFO(trial << ": " << c.str());
    CHECK(error_of_values(c, weight) < 1e-12);
  }
}

TEST_CASE("the largest value is the gain that power iteration finds", "[spectrum]") {
  const Case c{6, 5, 3, 3, 12, 10, 2};
  Tensor weight = randn(c.weight(), 3), a = explicit_operator(c, weight), at = transpose(a, 0, 1);
  Tensor x = randn({a.dim(1), 1}, 4);
  double gain = 0;
  for (int step = 0; step < 2000; ++step) {
    Tensor y = matmul(a, x);
    gain = norm2(y) / norm2(x);
    x = matmul(at, y);
    x = scale(x, 1 / norm2(x));
  }
  CHECK(largest(c.values(weight)) == Approx(gain).epsilon(1e-9));
}

TEST_CASE("Conv2d on an image that is zero near its border amplifies no more than the largest value",
          "[spectrum]") {
  const int64_t n = 16;
  Conv2d conv(3, 4, {.padding = 1, .bias = false});
  conv.to(DType::float64);
  double top = largest(conv_singular_values(conv.weight.value(), n, n)), best = 0;
  Tensor inner = Tensor::zeros({1, 3, n, n}, DType::float64, Layout::channels_last);
  for (int64_t i = 1; i + 1 < n; ++i)
    for (int64_t j = 1; j + 1 < n; ++j)
      for (int64_t k = 0; k < 3; ++k) inner.mutable_data<double>()[(i * n + j) * 3 + k] = 1;
  // Power iteration by the layer's own gradient: the adjoint of a convolution is its backward pass.
  Variable x(randn({1, 3, n, n}, 5).to(Layout::channels_last), true);
  for (int step = 0; step < 100; ++step) {
    x = Variable(mul(x.value(), inner), true);
    Variable y = conv(x);
    best = std::max(best, norm2(y.value()) / norm2(x.value()));
    y.backward(y.value());
    x = Variable(scale(x.grad(), 1 / norm2(x.grad())), true);
  }
  CHECK(best <= top * (1 + 1e-12));
  CHECK(best > .97 * top);  // the border costs little
}

TEST_CASE("squares of a convolution's values sum to positions times squared weights", "[spectrum]") {
  for (const Case& c : {Case{8, 4, 3, 3, 32, 32}, Case{5, 7, 3, 5, 9, 14}, Case{8, 4, 3, 3, 16, 20, 2},
                        Case{4, 6, 3, 3, 12, 9, {2, 3}}, Case{6, 6, 5, 5, 15, 15, 3, 1, 2}}) {
    INFO(c.str());
    Tensor weight = randn(c.weight(), 6);
    double sum = 0, norm = norm2(weight);
    for (double s : c.values(weight).to_vector()) sum += s * s;
    CHECK(sum ==
          Approx(norm * norm * static_cast<double>(c.h / c.stride.h * (c.w / c.stride.w))).epsilon(1e-12));
  }
}

TEST_CASE("convolutions that keep lengths have ones", "[spectrum]") {
  auto all_ones = [](const Tensor& values) {
    return gap(values, std::vector<double>(static_cast<size_t>(values.numel()), 1.0));
  };
  Tensor q = narrow(orthonormal(6, 6, 1, false), DType::float64);
  CHECK(all_ones(conv_singular_values(q.reshape({6, 6, 1, 1}), 9, 8)) < 1e-14);
  // A shift: one tap away from the centre. At 1024 the angles 2 pi 900 * 1000 / 1024 have to be reduced.
  Tensor shift = Tensor::zeros({1, 1, 1, 901}, DType::float64);
  shift.mutable_data<double>()[900] = 1;
  CHECK(all_ones(conv_singular_values(shift, 1, 1024)) < 1e-15);
  // Stride 2 with four filters of one pixel each only rearranges the image.
  Tensor space_to_depth = Tensor::zeros({4, 1, 2, 2}, DType::float64);
  for (int64_t i = 0; i < 4; ++i) space_to_depth.mutable_data<double>()[i * 5] = 1;
  CHECK(all_ones(conv_singular_values(space_to_depth, 6, 4, 2)) < 1e-14);
  std::vector<double> v;
  // Averaging keeps a constant image and loses the highest frequency of an even side.
  Tensor mean = Tensor::full({1, 1, 2, 2}, .25, DType::float64), s = conv_singular_values(mean, 6, 8);
  CHECK(largest(s) == Approx(1).epsilon(1e-15));
  CHECK(s.to_vector().back() == 0);
  // Frequencies at which a mean of k pixels vanishes, k - 1 of w, are 0 and not 1e-16.
  for (int64_t w : {8, 24, 30, 224})
    for (int64_t k : {2, 3, 4, 6, 8}) {
      if (w % k != 0) continue;
      INFO("mean of " << k << " at width " << w);
      mean = Tensor::full({1, 1, 1, k}, 1 / static_cast<double>(k), DType::float64);
      s = conv_singular_values(mean, 1, w);
      v = s.to_vector();
      CHECK(std::count(v.begin(), v.end(), 0.0) == k - 1);
      CHECK(std::isinf(condition_number(s)));
    }
  // A 1x1 kernel with stride 2 does not look at three pixels in four: 8 filters on 2 channels see 2 of 8.
  s = conv_singular_values(randn({8, 2, 1, 1}, 1), 4, 6, 2);
  v = s.to_vector();
  CHECK(std::count_if(v.begin(), v.end(), [](double x) { return x > 0; }) == 2 * 6);
  CHECK(std::isinf(condition_number(s)));
}

TEST_CASE("spectra have the same bits for any number of threads", "[spectrum]") {
  Tensor weight = randn({12, 9, 3, 3}, 8), samples = randn({300, 20}, 9);
  auto net = [] {
    auto m = std::make_shared<Sequential>(std::initializer_list<ModulePtr>{
        std::make_shared<Conv2d>(3, 8, Conv2dOptions{.padding = 1}), std::make_shared<ReLU>(),
        std::make_shared<Conv2d>(8, 5, Conv2dOptions{.stride = 2, .padding = 1})});
    m->eval();
    return m;
  }();
  auto everything = [&] {
    Tensor x = randn({6, 3, 10, 10}, 10, DType::float32).to(Layout::channels_last);
    auto a = activation_spectra(
        *net, 6, [&] { return Variable(x); }, 100);
    auto l = layer_spectra(*net, {1, 3, 10, 10});
    return std::vector<Tensor>{conv_singular_values(weight, 18, 16, 2),
                               covariance_spectrum(samples),
                               a[0].covariance,
                               a[1].covariance,
                               l[0].op,
                               l[1].op,
                               l[1].weight};
  };
  int before = num_threads();
  set_num_threads(1);
  std::vector<Tensor> want = everything();
  for (int threads : {2, 3}) {
    set_num_threads(threads);
    std::vector<Tensor> got = everything();
    for (size_t i = 0; i < want.size(); ++i) CHECK(identical(got[i], want[i]));
  }
  set_num_threads(before);
}

TEST_CASE("effective rank is n for n equal values and 1 for one", "[spectrum]") {
  CHECK(effective_rank(svdvals(Tensor::from<double>({1, 0, 0, 0, 1, 0, 0, 0, 1}, {3, 3}))) ==
        Approx(3).epsilon(1e-14));
  CHECK(effective_rank(Tensor::full({64}, 7, DType::float64)) == Approx(64).epsilon(1e-12));
  CHECK(effective_rank(f64({5, 0, 0})) == 1);
  Tensor rank_one = matmul(randn({7, 1}, 1), randn({1, 5}, 2));
  CHECK(effective_rank(svdvals(rank_one)) == Approx(1).epsilon(1e-12));
  // p = 3/4, 1/4: exp(-3/4 ln 3/4 - 1/4 ln 1/4) = 4 / 3^(3/4).
  CHECK(effective_rank(f64({3, 1})) == Approx(4 / std::pow(3, .75)).epsilon(1e-14));
  for (double factor : {1e-300, 1e300, 1e308})  // the sum overflows
    CHECK(effective_rank(f64({3e-1 * factor, 1e-1 * factor})) == Approx(4 / std::pow(3, .75)).epsilon(1e-12));
  CHECK(effective_rank(Tensor::ones({4})) == Approx(4).epsilon(1e-12));  // float32
  CHECK(effective_rank(Tensor::zeros({4}, DType::float64)) == 0);
  CHECK(effective_rank(Tensor::zeros({0}, DType::float64)) == 0);
}

TEST_CASE("the condition number is largest over smallest", "[spectrum]") {
  CHECK(condition_number(f64({8, 4, 2})) == 4);
  CHECK(condition_number(f64({2, 8, 4})) == 4);
  CHECK(condition_number(f64({1})) == 1);
  CHECK(condition_number(f64({1, 0})) == std::numeric_limits<double>::infinity());
  CHECK(condition_number(f64({0, 0})) == std::numeric_limits<double>::infinity());
  CHECK(condition_number(Tensor::zeros({0}, DType::float64)) == 0);
}

TEST_CASE("the covariance spectrum is that of samples made from known directions", "[spectrum]") {
  // Columns of sqrt(n - 1) Q D V^T, Q orthonormal and orthogonal to the ones: the covariance is V D^2 V^T.
  const int64_t n = 40;
  const std::vector<double> d{10, 1, 1e-3, 1e-8};
  WideMatrix q = orthonormal(n, 4, 3, false);
  for (int64_t j = 0; j < 4; ++j) {  // rows and their negatives: means of 0, and orthonormal still
    for (int64_t i = 0; i < n; ++i) q(i, j) /= std::sqrt(2.0L);
  }
  WideMatrix both(2 * n, 4);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < 4; ++j) both(i, j) = q(i, j), both(n + i, j) = -q(i, j);
  WideMatrix x = multiply(multiply(both, diagonal(d, 4, 4)), adjoint(orthonormal(4, 4, 4, false)));
  Tensor samples = narrow(x, DType::float64);
  std::vector<double> got = covariance_spectrum(samples).to_vector();
  REQUIRE(got.size() == 4);
  for (size_t i = 0; i < 4; ++i)  // errors of s are 1e-16 of the largest: the last has 7 good digits
    CHECK(got[i] * (2.0 * n - 1) == Approx(d[i] * d[i]).epsilon(i == 3 ? 1e-6 : 1e-9));
  CHECK(condition_number(covariance_spectrum(samples)) == Approx(1e18).epsilon(1e-6));
  // A constant added to a feature is no spread.
  Tensor moved = add(samples, f64({1, -2, 3, 100}, {1, 4}));
  CHECK(gap(covariance_spectrum(moved), got) < 1e-12);
}

TEST_CASE("a constant feature makes the covariance singular, and few samples do not", "[spectrum]") {
  Tensor x = randn({50, 3}, 1);
  for (int64_t i = 0; i < 50; ++i) x.mutable_data<double>()[i * 3 + 1] = 0.1;
  Tensor s = covariance_spectrum(x);
  CHECK(s.numel() == 3);
  CHECK(s.to_vector()[2] == 0);
  CHECK(condition_number(s) == std::numeric_limits<double>::infinity());
  CHECK(covariance_spectrum(randn({5, 20}, 2)).numel() == 4);  // what five samples can span
  CHECK(condition_number(covariance_spectrum(randn({5, 20}, 2))) < 100);
  CHECK(effective_rank(covariance_spectrum(Tensor::ones({5, 2}))) == 0);
}
