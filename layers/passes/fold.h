// Folding batch normalization into the convolution or linear layer before it, for inference:
//   W' = W * gamma / sqrt(running_var + eps)  per output channel,  b' = (b - running_mean) * gamma /
//   sqrt(...) + beta.
#pragma once

#include "layers/batch_norm.h"
#include "layers/conv2d.h"
#include "layers/linear.h"

namespace sigma {

// Folds one pair, in place. Throws when the norm is in training mode or does not track statistics.
void fold_batch_norm(Conv2d& layer, const BatchNorm& norm);
void fold_batch_norm(Linear& layer, const BatchNorm& norm);

// Folds every such pair of neighbours in the chains (Sequential, BasicBlock) of a model in eval mode and puts
// Identity in the norm's place. Returns how many were folded.
int fold_batch_norms(Module& model);

}  // namespace sigma
