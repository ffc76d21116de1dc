// Measures of distributions, representations, inputs and landscapes, against NumPy and against what is known.
#include <training/measures.h>

#include <cmath>

#include "core/linalg.h"
#include "core/math.h"
#include "core/rng.h"
#include "core/safetensors.h"
#include "layers/batch_norm.h"
#include "layers/cross_entropy.h"
#include "layers/linear.h"
#include "layers/networks/models.h"
#include "layers/passes/spectrum.h"
#include "tests/support/support.h"

using namespace sigma;
using namespace sigma::test;

namespace {

Tensor normal(const Shape& shape, const std::string& name) {
  Tensor t = Tensor::empty(shape, DType::float64);
  Rng rng(3, name);
  double* p = t.mutable_data<double>();
  for (int64_t i = 0; i < t.numel(); ++i) p[i] = rng.next_normal();
  return t;
}

std::vector<double> measures_of(const Tensor& x, double tau) {
  std::vector<double> all = percentiles(x, {15, 50, 85});
  const InputSpectrum spectrum = input_spectrum(x);
  all.insert(all.end(), {kurtosis(x), max_over_median(x), static_cast<double>(soft_rank(x, tau)),
                         trace_rank(x), effective_rank(svdvals(x)), orthogonality_gap(x), spectrum.largest,
                         spectrum.smallest, static_cast<double>(spectrum.rank)});
  return all;
}

}  // namespace

TEST_CASE("measures of small matrices are those of NumPy", "[measures]") {
  const SafeTensors golden = load_safetensors(SIGMA_SOURCE_DIR "/tests/golden/measures.safetensors");
  const double tau = std::stod(golden.metadata.at("tau"));
  int cases = 0;
  for (; golden.tensors.count(fmt::format("{}/x", cases)); ++cases) {
    const Tensor& x = golden.tensors.at(fmt::format("{}/x", cases));
    const std::vector<double> expected = golden.tensors.at(fmt::format("{}/y", cases)).to_vector(),
                              got = measures_of(x, tau);
    REQUIRE(got.size() == expected.size());
    for (size_t i = 0; i < got.size(); ++i) {
      INFO("case " << cases << ", measure " << i << " of " << golden.metadata.at("names"));
      CHECK(got[i] == Approx(expected[i]).epsilon(1e-10));
    }
  }
  CHECK(cases == 6);
}

TEST_CASE("ranks and the orthogonality gap are what they are of matrices that are known", "[measures]") {
  Tensor identity = Tensor::zeros({6, 6}, DType::float64);
  for (int64_t i = 0; i < 6; ++i) identity.mutable_data<double>()[7 * i] = 1;
  CHECK(trace_rank(identity) == Approx(6).epsilon(1e-14));
  CHECK(effective_rank(svdvals(identity)) == Approx(6).epsilon(1e-14));
  CHECK(orthogonality_gap(identity) < 1e-14);
  CHECK(soft_rank(identity, 1.0 / 6) == 6);
  CHECK(soft_rank(identity, 0.17) == 0);
  // One direction; the scale is no matter, not even one whose fourth power overflows.
  for (double scale_by : {1.0, 1e-120, 1e120}) {
    const Tensor line = scale(Tensor::ones({5, 3}, DType::float64), scale_by);
    CHECK(trace_rank(line) == Approx(1).epsilon(1e-12));
    CHECK(effective_rank(svdvals(line)) ==
          Approx(1).epsilon(1e-6));  // a rounding of singular values has entropy
    CHECK(orthogonality_gap(line) == Approx(std::sqrt(1 - 1.0 / 5)).epsilon(1e-12));
  }
  // More samples than features: no n vectors of d < n dimensions are orthogonal.
  CHECK(orthogonality_gap(Tensor::ones({4, 1}, DType::float64)) == Approx(std::sqrt(0.75)));
  CHECK(kurtosis(normal({200000}, "kurtosis")) == Approx(3).margin(6 * std::sqrt(24 / 2e5)));
  CHECK(std::isnan(kurtosis(Tensor::ones({4}, DType::float64))));
  CHECK(percentile_drift({0, 0, 0}, {1, 3, 2}, {2, 2, 2}) == Approx(1.5));
  CHECK(percentile_drift({1}, {1}, {1}) == 0);
  CHECK(std::isnan(percentiles(Tensor::empty({0}), {50})[0]));
  for (double p : percentiles(Tensor::from<double>({2, std::nan(""), 1}, {3}), {0, 50, 100}))
    CHECK(std::isnan(p));
  CHECK(percentiles(Tensor::from<double>({2, HUGE_VAL, 1}, {3}), {0, 50, 100}) ==
        std::vector<double>{1, 2, HUGE_VAL});
  CHECK(error_of([] { percentiles(Tensor::ones({2}), {101}); }).find("0..100, got 101") != std::string::npos);
  CHECK(error_of([] { trace_rank(Tensor::ones({2})); }).find("expected a matrix") != std::string::npos);
}

TEST_CASE("gradient descent on least squares turns from falling to rising at the bound of the inputs",
          "[measures]") {
  const Tensor x = add_scalar(normal({50, 4}, "x"), 0.7);
  const InputSpectrum spectrum = input_spectrum(x);
  CHECK(spectrum.rank == 4);
  CHECK(spectrum.condition() >= 1);
  const Tensor h = scale(matmul(transpose(x, 0, 1), x), 1.0 / 50);
  auto end_of = [&](double lr) {  // of w <- w - lr H w, whose loss is w' H w / 2
    Tensor w = normal({4, 1}, "w");
    for (int i = 0; i < 400; ++i) w = sub(w, scale(matmul(h, w), lr));
    return std::abs(w.to_vector()[0]);
  };
  CHECK(end_of(0.99 * spectrum.rate_bound()) < 1);
  CHECK(end_of(1.03 * spectrum.rate_bound()) > 1e3);
}

TEST_CASE("least squares and its descent are what they are by hand", "[measures]") {
  // H = diag(1/2, 2), X'Y / n = (1/2, 2)', so W = (1, 1)' fits; a step at 1/2 from 0 leads to (1/4, 1).
  const LinearLeastSquares fits(Tensor::from<double>({1, 0, 0, 2}, {2, 2}),
                                Tensor::from<double>({1, 2}, {2, 1}));
  CHECK(fits.least() == Approx(0).margin(1e-15));
  const std::vector<double> loss = fits.descend(0.5, 1);
  REQUIRE(loss.size() == 2);
  CHECK(loss[0] == Approx(1.25).epsilon(1e-15));
  CHECK(loss[1] == Approx(0.75 * 0.75 / 4).epsilon(1e-14));
  // The largest eigenvalue is 2, the bound 1.
  CHECK(fits.descend(0.95, 200).back() < 1e-8);
  CHECK(fits.descend(1.05, 200).back() > 1e3);
  const std::vector<double> lost = fits.descend(1e200, 50);
  CHECK(lost.size() < 10);
  CHECK(!std::isfinite(lost.back()));
  // One weight for two targets: the mean of them.
  const LinearLeastSquares between(Tensor::ones({2, 1}), Tensor::from<double>({0, 2}, {2, 1}));
  CHECK(between.least() == Approx(0.5).epsilon(1e-14));
  CHECK(error_of([] {
          LinearLeastSquares(Tensor::ones({2, 1}), Tensor::ones({3, 1}));
        }).find("as many targets as inputs, got 3 and 2") != std::string::npos);
}

TEST_CASE("the spectrum of inputs leaves out what is said to be rounding", "[measures]") {
  const Tensor x = Tensor::from<double>({3, 0, 0, 0, 0.1, 0}, {2, 3});  // eigenvalues 4.5, 0.005 and 0
  CHECK(input_spectrum(x).rank == 2);
  CHECK(input_spectrum(x).condition() == Approx(900).epsilon(1e-12));
  CHECK(input_spectrum(x, 0.01).rank == 1);
  CHECK(input_spectrum(x, 0.01).condition() == Approx(1).epsilon(1e-12));
}

TEST_CASE("a landscape that overflowed has no range", "[measures]") {
  Landscape l;
  l.loss = {1, 4, 2};
  CHECK(l.loss_range() == 3);
  l.loss = {1, HUGE_VAL, 2};
  l.smoothness = l.distance = {2, std::nan(""), 1};
  CHECK(std::isnan(l.loss_range()));
  CHECK(std::isnan(l.beta_smoothness()));
  CHECK(std::isnan(l.predictiveness()));
}

TEST_CASE(
    "the landscape along the gradient is that of losses and gradients taken by hand, and leaves no trace",
    "[measures]") {
  ModulePtr model = make_model("flatten, linear 6, bn, relu, linear classes", {1, 3, 3, 4}, Norm("batch"), 1);
  model->eval();
  const Tensor images = normal({16, 1, 3, 3}, "images").to(DType::float32);
  Tensor labels = Tensor::empty({16}, DType::int64);
  for (int64_t i = 0; i < 16; ++i) labels.mutable_data<int64_t>()[i] = i % 4;
  const auto before = copy_of(*model).by_name();
  const std::vector<double> steps{0.05, 0.5, 2};
  const Landscape l = landscape(*model, images, labels, steps);
  CHECK(!model->is_training());
  const auto after = copy_of(*model).by_name();
  for (const auto& [name, t] : before) CHECK(after.at(name).to_vector() == t.to_vector());
  REQUIRE(l.loss.size() == 3);
  CHECK(l.start > 0.5);
  // To the first order the loss falls by t ||g||^2.
  CHECK(landscape(*model, images, labels, {1e-3}).loss[0] ==
        Approx(l.start - 1e-3 * l.gradient_norm * l.gradient_norm).epsilon(1e-4));
  CHECK(l.loss_range() >= 0);
  for (size_t i = 0; i < 3; ++i)
    CHECK(l.smoothness[i] == Approx(l.distance[i] / (steps[i] * l.gradient_norm)));
  CHECK(l.predictiveness() == *std::max_element(l.distance.begin(), l.distance.end()));
  // A step by hand.
  model->train();
  const NoStatisticsUpdate keep;
  const Variable here = cross_entropy((*model)(Variable(images)), labels);
  here.backward();
  for (Variable p : model->parameters()) {
    p.mutable_value().copy_(sub(p.value(), scale(p.grad(), 0.5)));
    p.zero_grad();
  }
  CHECK(here.item() == l.start);
  CHECK(cross_entropy((*model)(Variable(images)), labels).item() == Approx(l.loss[1]).epsilon(1e-5));
}

TEST_CASE("branches and skip paths have the mean squares of what is added, block by block", "[measures]") {
  // x = (1, -1); the first block adds 2 x, the second, with a shortcut of 3, 0.5 of what came.
  ModulePtr model = make_model("flatten, residual { scale 2 }, residual { relu, scale 0.5 } { scale 3 }",
                               {1, 1, 2, 2}, Norm("batch"), 1);
  Tensor x = Tensor::ones({1, 1, 1, 2});
  x.mutable_data<float>()[1] = -1;
  const BranchVariances v = branch_variances(*model, x);
  REQUIRE(v.skip.size() == 2);
  CHECK(v.skip[0] == Approx(1).epsilon(1e-14));
  CHECK(v.branch[0] == Approx(4).epsilon(1e-14));      // (2, -2)
  CHECK(v.skip[1] == Approx(81).epsilon(1e-14));       // 3 (3, -3)
  CHECK(v.branch[1] == Approx(1.125).epsilon(1e-14));  // (1.5, 0)

  // Statistics stay as they were, and so does the mode.
  ModulePtr normal =
      make_model("residual { conv 2, bn }, flatten, linear classes", {2, 3, 3, 4}, Norm("batch"), 1);
  normal->eval();
  const auto before = copy_of(*normal).by_name();
  const BranchVariances one = branch_variances(*normal, ::normal({8, 2, 3, 3}, "x").to(DType::float32));
  CHECK(one.branch[0] == Approx(1).epsilon(1e-4));  // the batch's statistics were used
  CHECK(!normal->is_training());
  for (const auto& [name, t] : copy_of(*normal).by_name())
    CHECK(before.at(name).to_vector() == t.to_vector());
  CHECK(branch_variances(*make_model("flatten, linear classes", {1, 2, 2, 3}, Norm("batch"), 1),
                         Tensor::ones({1, 1, 2, 2}))
            .skip.empty());
}

TEST_CASE("features are switched off where the weight of their normalization is nearly 0", "[measures]") {
  ModulePtr model =
      make_model("conv 2, bn, relu, conv 6, bn, flatten, linear classes", {1, 3, 3, 4}, Norm("batch"), 1);
  CHECK(switched_off(*model) == 0);
  for (auto& [name, p] : model->named_parameters())
    if (name == "bn2.weight") {
      const double gamma[] = {0.0099, -0.0099, 0, 0.011, -0.5, 1};
      Tensor& weight = Variable(p).mutable_value();
      for (int64_t i = 0; i < 6; ++i) weight.mutable_data<float>()[i] = static_cast<float>(gamma[i]);
    }
  CHECK(switched_off(*model) == Approx(3.0 / 8));
  CHECK(switched_off(*model, 0.6) == Approx(5.0 / 8));
  CHECK(std::isnan(switched_off(*make_model("flatten, linear classes", {1, 2, 2, 3}, Norm("batch"), 1))));
}

TEST_CASE("batch norm shortens gradients as Santurkar's theorem says, to 1e-12", "[measures][batch_norm]") {
  // Per channel of M values: ||dx||^2 = (gamma / s)^2 (||g||^2 - (sum g)^2 / M - (2 - r) (sum g xhat)^2 / M)
  // with s = sqrt(v + eps), r = v / (v + eps).
  for (double eps : {1e-5, 0.3}) {
    const int64_t n = 5, c = 3, side = 4, m = n * side * side;
    BatchNorm2d bn(c, {.eps = eps});
    bn.to(DType::float64);
    bn.weight.mutable_value().copy_(normal({c}, "gamma"));
    const Tensor input = add_scalar(scale(normal({n, c, side, side}, "input"), 2), 1);
    const Tensor g = normal({n, c, side, side}, "cotangent");
    Variable x(input, true);
    sum(bn(x) * Variable(g)).backward();
    const std::vector<double> xs = input.to_vector(), gs = g.to_vector(), dx = x.grad().to_vector(),
                              gamma = bn.weight.value().to_vector();
    for (int64_t channel = 0; channel < c; ++channel) {
      double mean = 0, v = 0, gg = 0, g1 = 0, gx = 0, dd = 0;
      auto each = [&](auto fn) {
        for (int64_t i = 0; i < n; ++i)
          for (int64_t j = 0; j < side * side; ++j)
            fn(static_cast<size_t>((i * c + channel) * side * side + j));
      };
      const auto count = static_cast<double>(m);
      each([&](size_t k) { mean += xs[k] / count; });
      each([&](size_t k) { v += (xs[k] - mean) * (xs[k] - mean) / count; });
      each([&](size_t k) {
        gg += gs[k] * gs[k];
        g1 += gs[k];
        gx += gs[k] * (xs[k] - mean) / std::sqrt(v + eps);
        dd += dx[k] * dx[k];
      });
      const double r = v / (v + eps), scale_by = gamma[static_cast<size_t>(channel)];
      const double expected =
          scale_by * scale_by / (v + eps) * (gg - g1 * g1 / count - (2 - r) * gx * gx / count);
      CHECK(dd == Approx(expected).epsilon(1e-12));
    }
  }
}
