// A call of conv2d in its parts, for functions that do more in the same pass (layers/fused/).
#pragma once

#include "layers/conv2d.h"

namespace sigma {

class Conv2dCall {
 public:
  // Checks the arguments, as conv2d does.
  Conv2dCall(const Variable& x, const Variable& weight, const Variable& bias, const Conv2dOptions& options);

  const kernels::ConvSize& size() const { return size_; }
  Variables inputs() const { return {x_, weight_, bias_}; }
  // The values; `epilogue` is what the kernel does with them while they are in the cache.
  Tensor forward(const kernels::ConvEpilogue& epilogue = {}) const;
  // y with conv2d's backward pass: right only for what forward() gave without an epilogue that changes y.
  Variable record(Tensor y) const;

 private:
  Variable x_, weight_, bias_;
  kernels::ConvSize size_;
  Tensor input_, kernel_;  // channels_last
};

}  // namespace sigma
