// ActivationNoise: what "noisy" batch norm adds behind a batch norm (Santurkar et al. 2018, section 2.1), a
// shift of distributions that no normalization takes back. In training, with j a channel and i an element of
// it,
//
//   y_i = s_i x_i + m_i,   m_i uniform in mu_j +- spread,   s_i normal of mean sigma_j and deviation spread
//   mu_j uniform in +- mean, sigma_j uniform in [1, deviation], both drawn anew at every step
//
// for x (N, C) or (N, C, H, W); in eval the identity. Numbers are functions of (seed, path, step, call) and
// of the element, so neither layout nor threads change them, and a resumed run draws the same. The gradient
// is s_i dy_i; saved for backward: s. Fails for other ranks and for parameters below 0 (deviation: 1).
//
// The layer is the experiments' own: the word `noise MEAN=0.5 DEVIATION=1.25 SPREAD=0.1` of this program.
#pragma once

#include <cmath>
#include <numbers>

#include "autograd/ops.h"
#include "core/parallel.h"
#include "core/rng.h"
#include "layers/table.h"

namespace sigma::app {

struct NoiseOptions {
  double mean = 0.5, deviation = 1.25, spread = 0.1;
};

// Both of x's shape, dtype and layout.
struct Noise {
  Tensor scale, shift;
};

inline Noise draw_noise(const Tensor& x, const NoiseOptions& o, const Rng& stream) {
  SIGMA_CHECK(x.rank() == 2 || x.rank() == 4, "noise", "expected (N, C) or (N, C, H, W), got {}",
              x.shape().str());
  const int64_t channels = x.dim(1), places = x.rank() == 4 ? x.dim(2) * x.dim(3) : 1;
  const bool planes = x.layout() == Layout::contiguous;  // a channel's places lie together
  std::vector<double> mu, sigma;
  Rng parameters = stream.branch("/parameters");
  for (int64_t c = 0; c < channels; ++c) {
    mu.push_back(parameters.next_uniform(-o.mean, o.mean));
    sigma.push_back(parameters.next_uniform(1, o.deviation));
  }
  Noise noise{Tensor::empty_like(x), Tensor::empty_like(x)};
  dispatch_stored(x.dtype(), "noise", [&](auto zero) {
    using T = decltype(zero);
    T *scale = noise.scale.template mutable_data<T>(), *shift = noise.shift.template mutable_data<T>();
    parallel_for(x.dim(0), [&](int64_t image) {
      for (int64_t place = 0; place < places; ++place)
        for (int64_t c = 0; c < channels; ++c) {
          const int64_t element = (image * places + place) * channels + c;
          const int64_t at = planes ? (image * channels + c) * places + place : element;
          // 64 bits make three numbers of 21: two for a normal one by Box and Muller.
          const uint64_t bits = stream.bits_at(static_cast<uint64_t>(element));
          auto uniform = [&](int low) { return static_cast<double>(bits >> low & 0x1FFFFF) * 0x1p-21; };
          const double normal =
              std::sqrt(-2 * std::log(1 - uniform(0))) * std::cos(2 * std::numbers::pi * uniform(21));
          const auto j = static_cast<size_t>(c);
          scale[at] = static_cast<T>(static_cast<float>(sigma[j] + o.spread * normal));
          shift[at] = static_cast<T>(static_cast<float>(mu[j] + o.spread * (2 * uniform(42) - 1)));
        }
    });
  });
  return noise;
}

class ActivationNoise : public Module {
 public:
  static std::vector<LayerExample> examples() {
    return {example<ActivationNoise>("images", {3, 4, 2, 2}), example<ActivationNoise>("", {5, 8})};
  }
  static std::vector<LayerWord> words() {
    return {{"noise", "noise", "MEAN=0.5 DEVIATION=1.25 SPREAD=0.1", [](const LayerText& t) {
               return planned<ActivationNoise>(
                   t.in(), 0, NoiseOptions{t.number("mean"), t.number("deviation"), t.number("spread")});
             }}};
  }
  explicit ActivationNoise(NoiseOptions options = {}) : options_(options) {
    SIGMA_CHECK(options.mean >= 0 && options.deviation >= 1 && options.spread >= 0, "noise",
                "expected a mean and a spread of at least 0 and a deviation of at least 1, got {}, {} and {}",
                options.mean, options.spread, options.deviation);
  }
  Variable forward(const Variable& x) override {
    if (!is_training()) return x;
    const Noise noise =
        draw_noise(x.value(), options_, Rng(seed_, "noise/" + path_, (step_ << 16) + calls_++));
    return x * Variable(noise.scale) + Variable(noise.shift);
  }
  std::string kind() const override { return "ActivationNoise"; }
  std::string describe() const override {
    return fmt::format("ActivationNoise(mean={}, deviation={}, spread={})", options_.mean, options_.deviation,
                       options_.spread);
  }
  void reset_parameters(uint64_t seed, const std::string& path) override {
    seed_ = seed;
    path_ = path;
    start_step(0);
  }

 protected:
  void start_step(uint64_t step) override {
    step_ = step;
    calls_ = 0;
  }

 private:
  NoiseOptions options_;
  uint64_t seed_ = 0, step_ = 0, calls_ = 0;
  std::string path_;
};
SIGMA_LAYER(ActivationNoise);

}  // namespace sigma::app
