// Gradient clipping, as torch.nn.utils.clip_grad_norm_.
#pragma once

#include <vector>

#include "autograd/variable.h"

namespace sigma {

// Scales all gradients so that their joint 2-norm is at most max_norm; returns the norm before. A norm that
// is not finite leaves the gradients as they are. A parameter that is listed twice counts once.
double clip_grad_norm(const std::vector<Variable>& parameters, double max_norm);

}  // namespace sigma
