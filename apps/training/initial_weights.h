// How the weights of a network begin.
#pragma once

#include <string>
#include <vector>

#include "training/network.h"

namespace sigma {

// Gives a network that make_model built for this setup the weights of setup.init. Biases and everything that
// is neither a convolution nor a linear layer keep their values. Each layer draws from the stream it has in
// make_model, so one that is added or left out moves no other's weights.
//   default          make_model's own
//   kaiming          init::kaiming_normal
//   xavier           init::xavier_normal
//   normal:S         of deviation S above 0, such as normal:0.05; biases of these layers are 0
//   orthogonal       init::orthogonal, gain sqrt(2), and 1 for the last layer
//   fixup            kaiming, and init::fixup (layers/passes/fixup.h) for a network of residual blocks
//   patch-whitening  default, and init::patch_whitening for the first convolution, from up to 5000 training
//                    images that the seed chooses, normalised as in training
//   airbench         patch-whitening, and init::dirac for the other convolutions (Jordan 2024, airbench94)
void initialize_weights(Module& model, const TrainSetup& setup, const Dataset& dataset);

// default, kaiming, xavier, normal:S, orthogonal, fixup, patch-whitening, airbench
const std::vector<std::string>& init_names();
// Throws kind usage, with the place "init", for an unknown kind or a deviation that is none.
void check_init(const std::string& kind);
// The same when the kind does not suit the network.
void check_init_fits(const TrainSetup& setup, Module& model);

}  // namespace sigma
