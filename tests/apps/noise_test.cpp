// The noise of "noisy" batch norm: what it draws, when it draws anew, and that it is a layer like any other.
#include "apps/experiments/noise.h"

#include "core/math.h"
#include "layers/networks/models.h"
#include "tests/support/support.h"

using namespace sigma;
using namespace sigma::app;
using namespace sigma::test;

TEST_CASE("the noise layer keeps the contract of layers", "[reproduce]") {
  for (const Shape& shape : {Shape{3, 4, 2, 2}, Shape{5, 8}})
    check_module([] { return std::make_shared<ActivationNoise>(); }, shape);
  CHECK(error_of([] {
          ActivationNoise()(Variable(Tensor::ones({2, 3, 4})));
        }).find("expected (N, C) or (N, C, H, W), got (2, 3, 4)") != std::string::npos);
  CHECK(error_of([] { ActivationNoise({.deviation = 0.5}); }).find("deviation of at least 1") !=
        std::string::npos);
}

TEST_CASE("noise has a mean and a scale for each channel, with its spread around them", "[reproduce]") {
  const Tensor x = Tensor::empty({4000, 3}, DType::float64);
  const NoiseOptions options;
  std::vector<double> first;
  for (uint64_t step : {0, 1}) {
    const Noise noise = draw_noise(x, options, Rng(7, "noise", step));
    for (int64_t c = 0; c < 3; ++c) {
      const Tensor shift = slice(noise.shift, 1, c, 1), factor = slice(noise.scale, 1, c, 1);
      const double mu = mean(shift).item(), sigma = mean(factor).item();
      CHECK(std::abs(mu) <= options.mean + 0.01);
      CHECK(sigma >= 1 - 0.01);
      CHECK(sigma <= options.deviation + 0.01);
      // Uniform in +-0.1 has a deviation of 0.1 / sqrt(3).
      const auto n = std::sqrt(4000.0);
      CHECK(norm2(add_scalar(shift, -mu)) / n == Approx(options.spread / std::sqrt(3.0)).epsilon(0.05));
      CHECK(norm2(add_scalar(factor, -sigma)) / n == Approx(options.spread).epsilon(0.05));
      CHECK(max(shift).item() - min(shift).item() <= 2 * options.spread);
      // Another channel, and another step, have another mean.
      for (double other : first) CHECK(std::abs(other - mu) > 0.005);
      first.push_back(mu);
    }
  }
}

TEST_CASE("noise depends on the element, not on how the tensor lies, and is drawn anew each step",
          "[reproduce]") {
  const Tensor planes = Tensor::randn({2, 3, 4, 5}, 1), last = planes.to(Layout::channels_last);
  const Rng stream(3, "noise");
  CHECK(draw_noise(planes, {}, stream).shift.to_vector() == draw_noise(last, {}, stream).shift.to_vector());
  ModulePtr net =
      make_model("conv 4, bn, noise, relu, flatten, linear classes", {3, 8, 8, 5}, Norm("batch"), 1);
  auto out = [&](uint64_t step) {
    net->set_step(step);
    return (*net)(Variable(Tensor::ones({2, 3, 8, 8}))).value().to_vector();
  };
  net->train();
  const std::vector<double> one = out(1);
  CHECK(out(2) != one);
  CHECK(out(1) == one);
  net->eval();
  CHECK(out(1) == out(2));
}
