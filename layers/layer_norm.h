// Layer normalization (Ba, Kiros and Hinton 2016), PyTorch's semantics: group normalization (group_norm.h)
// with the last dimensions of x as one group.
//
//   mu = mean x,  v = mean (x - mu)^2 over the last dimensions, whose shape is `normalized`
//   y  = weight * (x - mu) / sqrt(v + eps) + bias, weight and bias of that shape
//
// Gradients, numerics and what is saved for backward are group_norm's. Fails when x does not end in
// `normalized` and for eps < 0.
#pragma once

#include "layers/table.h"

namespace sigma {

// weight and bias may be undefined: 1 and 0.
Variable layer_norm(const Variable& x, const Shape& normalized, const Variable& weight = {},
                    const Variable& bias = {}, double eps = 1e-5);

struct LayerNormOptions {
  double eps = 1e-5;
  bool affine = true;
};

class LayerNorm : public Module {
 public:
  static std::vector<LayerExample> examples();
  static std::vector<LayerWord> words();
  explicit LayerNorm(Shape normalized, LayerNormOptions options = {});
  Variable forward(const Variable& x) override {
    return layer_norm(x, normalized_, weight, bias, options_.eps);
  }
  std::string kind() const override { return "LayerNorm"; }
  std::string describe() const override;
  int64_t macs(const Shape& in, const Shape&) const override { return in.numel(); }
  bool decays(const std::string&) const override { return false; }
  void reset_parameters(uint64_t, const std::string&) override;  // weight 1, bias 0

  Variable weight, bias;  // undefined when not affine

 private:
  Shape normalized_;
  LayerNormOptions options_;
};
SIGMA_LAYER(LayerNorm);

}  // namespace sigma
