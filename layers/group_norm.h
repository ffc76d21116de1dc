// Group normalization (Wu and He 2018), PyTorch's semantics. Statistics are each sample's own: nothing
// depends on the batch, training and eval are the same.
//
// x (N, C), (N, C, L) or (N, C, H, W), channels in `groups` equal parts; for each sample and part
//
//   mu = mean x,  v = mean (x - mu)^2,  xhat = (x - mu) / sqrt(v + eps)
//   y  = weight * xhat + bias, weight and bias a value a channel
//
//   dbias = sum g,  dweight = sum g xhat,  over samples and pixels
//   dx    = (h - mean h - xhat mean(h xhat)) / sqrt(v + eps),  h = weight * g, means over the part
//
// Numerics as batch norm's: sums are float64 around a pivot, and the mean is kept as a float and a remainder,
// so that x - mean loses nothing. A part without variance gives exactly the bias, with eps = 0 too (PyTorch:
// NaN). Saved for backward: x, weight, and mean and 1/sqrt(v + eps) of each part. Can be differentiated once.
// Fails when the groups do not divide the channels, shapes do not fit, eps < 0, or there is only one value to
// normalize in all.
#pragma once

#include "layers/table.h"

namespace sigma {

// weight and bias may be undefined: 1 and 0.
Variable group_norm(const Variable& x, int64_t groups, const Variable& weight = {}, const Variable& bias = {},
                    double eps = 1e-5);

struct GroupNormOptions {
  double eps = 1e-5;
  bool affine = true;
};

class GroupNorm : public Module {
 public:
  static std::vector<LayerExample> examples();
  static std::vector<LayerWord> words();
  GroupNorm(int64_t groups, int64_t channels, GroupNormOptions options = {});
  Variable forward(const Variable& x) override;
  std::string kind() const override { return "GroupNorm"; }
  std::string describe() const override;
  int64_t macs(const Shape& in, const Shape&) const override { return in.numel(); }
  bool decays(const std::string&) const override { return false; }
  void reset_parameters(uint64_t, const std::string&) override;  // weight 1, bias 0

  Variable weight, bias;  // undefined when not affine

 private:
  int64_t groups_, channels_;
  GroupNormOptions options_;
};
SIGMA_LAYER(GroupNorm);

}  // namespace sigma
