// A call of linear in its parts, for functions that do more in the same pass (layers/fused/).
#pragma once

#include "layers/linear.h"

namespace sigma {

class LinearCall {
 public:
  // Checks the arguments, as linear does.
  LinearCall(const Variable& x, const Variable& weight, const Variable& bias);

  Variables inputs() const { return {x_, weight_, bias_}; }
  int64_t rows() const { return rows_; }
  DType dtype() const { return x_.dtype(); }  // of y
  // x W^T in the weight's type: bfloat16 values are widened for it.
  Tensor product() const;
  // product + b in x's type.
  Tensor plus_bias(const Tensor& product) const;
  // y with linear's backward pass: right only for plus_bias(product()).
  Variable record(Tensor y) const;

 private:
  Variable x_, weight_, bias_;
  Tensor input_;  // contiguous
  int64_t rows_ = 0, in_ = 0, out_ = 0;
};

}  // namespace sigma
