// The second derivative of batch normalization, apart from batch_norm.cpp because it is rare and long.
#pragma once

#include "autograd/node.h"

namespace sigma {

// The gradients {dx, dweight, dbias} that were computed, recorded as a function of (dy, x, weight), so that
// they can be differentiated again. `statistics` are mean and 1/sqrt(v + eps), float64 (2, C). Throws for
// bfloat16.
Variables record_batch_norm_backward(const Variable& dy, const Variable& x, const Variable& weight,
                                     const Tensor& statistics, bool training, std::vector<Tensor> gradients);

// The formula is PyTorch's batchnorm_double_backward; https://arxiv.org/abs/1502.03167 has the first
// derivative. Rare, so in plain tensor arithmetic. Given the upstream gradients ggx, ggw, ggb of (dx,
// dweight, dbias): those of dy, x and weight. Matrices are (rows, channels); mean, inverse deviation s and
// gamma are (1, channels).
struct BatchNormSecond {
  Tensor g_output, g_input, g_weight;
};
BatchNormSecond batch_norm_second(bool training, const Tensor& dy, const Tensor& x, const Tensor& mean,
                                  const Tensor& s, const Tensor& gamma, const Tensor& ggx, const Tensor& ggw,
                                  const Tensor& ggb);

}  // namespace sigma
