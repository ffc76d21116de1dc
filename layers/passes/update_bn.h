// Running statistics measured anew, after the weights were changed (averaged, compressed, folded).
#pragma once

#include <functional>

#include "layers/module.h"

namespace sigma {

// Re-estimates the running statistics of every normalization in `model` that tracks them: reset, one pass in
// training mode with a cumulative average and no gradients, then momentum and mode as before. `next` gives
// the batches, which count alike; an undefined Variable ends the pass.
void update_bn(Module& model, const std::function<Variable()>& next);

}  // namespace sigma
