// The second derivative of batch normalization, apart from batch_norm.cpp because it is rare and long.
#pragma once

#include "core/tensor.h"

namespace sigma {

// Second derivative of the training pass; see https://arxiv.org/abs/1502.03167 for the first and PyTorch's
// batchnorm_double_backward for the formula. Rare, so in plain tensor arithmetic on (rows, channels).
// Given the upstream gradients ggx, ggw, ggb of (dx, dweight, dbias): those of dy, x and weight. Matrices are
// (rows, channels); mean, inverse deviation s and gamma are (1, channels).
struct BatchNormSecond {
  Tensor g_output, g_input, g_weight;
};
BatchNormSecond batch_norm_second(bool training, const Tensor& dy, const Tensor& x, const Tensor& mean,
                                  const Tensor& s, const Tensor& gamma, const Tensor& ggx, const Tensor& ggw,
                                  const Tensor& ggb);

}  // namespace sigma
