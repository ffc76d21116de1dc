// Batch normalization (Ioffe and Szegedy 2015), PyTorch's semantics.
//
// x (N, C), (N, C, L) or (N, C, H, W), with M = N * pixels values a channel; m is the momentum.
//
//   training   mu = mean x,  v = mean (x - mu)^2,  xhat = (x - mu) / sqrt(v + eps)
//              y = weight * xhat + bias
//              running_mean <- (1 - m) running_mean + m mu
//              running_var  <- (1 - m) running_var  + m v M / (M - 1)
//   eval       y = weight * (x - running_mean) / sqrt(running_var + eps) + bias
//
//   backward   dbias = sum g,  dweight = sum g xhat
//     training dx = weight / sqrt(v + eps) * (g - mean g - xhat mean(g xhat))
//     eval     dx = weight / sqrt(running_var + eps) * g
//
// It can be differentiated twice.
//
// Numerics. Sums are float64 around a pivot, and the mean is kept as a float and a remainder, so that
// x - mean loses nothing: with mean 1e4 and deviation 1e-2 the error is 3e-7, where PyTorch's is 5e-3; 1e30
// does not overflow; a constant channel gives exactly the bias. Saved for backward: x, and mean and
// 1/sqrt(v+eps) of each channel, nothing of x's size else.
//
// Deviations from PyTorch: num_batches_tracked grows only when the forward pass succeeds; the number of
// channels is checked even without buffers and parameters; eps = 0 on a constant channel gives the bias in
// eval too (PyTorch: NaN); eps < 0 is refused; an input with no channels gives an empty output; eval's
// backward uses the statistics its forward saw even if a later forward changed the buffers (PyTorch issue
// 13402).
#pragma once

#include <functional>
#include <optional>

#include "layers/channel_norm.h"
#include "layers/table.h"

namespace sigma {

struct BatchNormArguments {
  Variable weight, bias;               // undefined: 1 and 0
  Variable running_mean, running_var;  // undefined in training: not tracked
  bool training = true;
  double momentum = 0.1;
  double eps = 1e-5;
};
Variable batch_norm(const Variable& x, const BatchNormArguments& arguments);

struct BatchNormOptions {
  double eps = 1e-5;
  std::optional<double> momentum = 0.1;  // nullopt: cumulative average
  bool affine = true;
  bool track_running_stats = true;
};

class BatchNorm : public Module, public ChannelNorm {
 public:
  Variable forward(const Variable& x) override;
  // The forward pass with `normalize` in the place of batch_norm: checks, arguments and counting are the
  // layer's.
  Variable forward_with(const Variable& x,
                        const std::function<Variable(const BatchNormArguments&)>& normalize);
  bool uses_batch_statistics() const { return is_training() || !running_mean.defined(); }
  std::string describe() const override;
  bool decays(const std::string&) const override { return false; }
  void reset_parameters(uint64_t, const std::string&) override;  // weight 1, bias 0, fresh statistics
  ChannelNorm* channel_norm() override { return this; }
  ChannelMap channel_map() const override;
  bool tracks_statistics() const override { return running_mean.defined() && options_.track_running_stats; }
  void reset_running_stats() override;  // mean 0, variance 1, count 0
  ChannelStatistics running_statistics() const override;
  double eps() const override { return options_.eps; }
  std::optional<double> momentum() const override { return options_.momentum; }
  const BatchNormOptions& options() const { return options_; }
  void set_momentum(std::optional<double> momentum) override { options_.momentum = momentum; }
  // Off: training no longer updates the buffers; eval still uses them.
  void set_track_running_stats(bool on) { options_.track_running_stats = on; }
  int64_t channels() const { return channels_; }

  Variable weight, bias;                                    // undefined when not affine
  Variable running_mean, running_var, num_batches_tracked;  // undefined when not tracked

 protected:
  BatchNorm(int64_t channels, BatchNormOptions options, const char* kind);
  virtual void check_rank(const Shape& shape) const = 0;
  void upgrade_state(const std::string& prefix, StateDict& state) const override;

 private:
  int64_t channels_;
  BatchNormOptions options_;
};

// (N, C) or (N, C, L).
class BatchNorm1d : public BatchNorm {
 public:
  static std::vector<LayerExample> examples();
  explicit BatchNorm1d(int64_t channels, BatchNormOptions options = {})
      : BatchNorm(channels, options, "batch_norm1d") {}
  std::string kind() const override { return "BatchNorm1d"; }
  Role role() const override { return role_of(*this, Role::batch_norm); }

 protected:
  void check_rank(const Shape& shape) const override;
};
SIGMA_LAYER(BatchNorm1d);

// (N, C, H, W).
class BatchNorm2d : public BatchNorm {
 public:
  static std::vector<LayerExample> examples();
  static std::vector<LayerWord> words();
  explicit BatchNorm2d(int64_t channels, BatchNormOptions options = {})
      : BatchNorm(channels, options, "batch_norm2d") {}
  std::string kind() const override { return "BatchNorm2d"; }
  Role role() const override { return role_of(*this, Role::batch_norm); }

 protected:
  void check_rank(const Shape& shape) const override;
};
SIGMA_LAYER(BatchNorm2d);

// Merges (count, mean, M2) of two parts; M2 is the sum of squared deviations. Chan, Golub, LeVeque 1979.
struct Moments {
  double count = 0, mean = 0, m2 = 0;
};
Moments merge(const Moments& a, const Moments& b);

}  // namespace sigma
