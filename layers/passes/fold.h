// Folding batch normalization into the affine layer before it, for inference. Per output channel:
//
//   W' = W * gamma / sqrt(running_var + eps)
//   b' = (b - running_mean) * gamma / sqrt(running_var + eps) + beta
#pragma once

#include "layers/affine.h"
#include "layers/channel_norm.h"

namespace sigma {

// Folds one pair, in place. Throws when the norm is in training mode, does not track statistics or has
// another number of channels.
void fold_batch_norm(AffineLayer& layer, const ChannelNorm& norm);

// Folds every such pair of neighbours in the chains (Module::chain) of a model in eval mode and puts Identity
// in the norm's place. Layers whose weights are used in more than one place stay as they are. Returns how
// many were folded.
int fold_batch_norms(Module& model);

}  // namespace sigma
