// Linear.
//
//   y = x W^T + b        x (..., in)   W (out, in)   b (out)   y (..., out)
//
// Saved for backward: x and W. It can be differentiated any number of times. Fails when the last size of x is
// not `in`.
#pragma once

#include "layers/affine.h"
#include "layers/table.h"

namespace sigma {

// `bias` may be undefined.
Variable linear(const Variable& x, const Variable& weight, const Variable& bias = {});

struct LinearOptions {
  bool bias = true;
};

// Initial values as PyTorch's: weight and bias uniform in +-1/sqrt(in).
class Linear : public AffineLayer {
 public:
  static std::vector<LayerExample> examples();
  static std::vector<LayerWord> words();
  Linear(int64_t in, int64_t out, LinearOptions options = {});
  // On weights (out, in) that another layer has too; `shared_bias` may be undefined.
  explicit Linear(Variable shared_weight, Variable shared_bias = {});
  Variable forward(const Variable& x) override { return linear(x, weight, bias); }
  std::string kind() const override { return "Linear"; }
  std::string describe() const override;
  Role role() const override { return role_of(*this, Role::linear); }
  ModulePtr make(const AffineForm& form) const override;
};
SIGMA_LAYER(Linear);

}  // namespace sigma
