// The fused functions: neighbouring layers in one pass over memory. A chain finds them by the table of
// patterns (patterns.cpp); each gives what its layers give one by one (chain.h says to which bit).
#pragma once

#include "layers/batch_norm.h"
#include "layers/conv2d.h"
#include "layers/linear.h"

namespace sigma::fused {

// y = conv2d(x), and the mean and biased variance of its channels, float64 (2, C), summed while the outputs
// are in the cache. The moments are undefined where y has one value a channel or none. Records conv2d's
// backward pass.
struct WithMoments {
  Variable y;
  Tensor moments;
};
WithMoments conv2d_moments(const Variable& x, const Variable& weight, const Variable& bias,
                           const Conv2dOptions& options);

// batch_norm(x) with the batch's moments where they are known, see above; undefined: batch_norm computes
// them.
Variable batch_norm_given(const Variable& x, const Tensor& moments, const BatchNormArguments& a);

// max(batch_norm(x) + skip, 0): one pass forward, one for the mask and both sums backward. `skip` may be
// undefined; x of rank 3 takes none. Can be differentiated once.
//
// The mask is computed again from x where there is no skip, else it is that of the saved result.
Variable batch_norm_relu(const Variable& x, const Variable& skip, const Tensor& moments,
                         const BatchNormArguments& a);

// max(conv2d(x), 0) and max(linear(x), 0) in one pass. They keep nothing for a backward pass, so they throw
// where one would be recorded: the gradient would lack the ReLU's mask.
Variable conv2d_relu(const Variable& x, const Variable& weight, const Variable& bias,
                     const Conv2dOptions& options);
Variable linear_relu(const Variable& x, const Variable& weight, const Variable& bias);

}  // namespace sigma::fused
