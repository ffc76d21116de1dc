// Gradient checks by central differences in float64.
//
// The scalar that is differentiated is <r, y> with a fixed random r. A plain sum would hide errors: through
// batch normalization both sum(y) and |y|^2 have almost zero gradient whatever the backward pass does.
#pragma once

#include <functional>
#include <string>

#include "autograd/variable.h"

namespace sigma {

struct GradcheckOptions {
  double step = 1e-6;  // h = step * max(1, |x|)
  double atol = 1e-7;  // passes when |analytic - numeric| <= atol + rtol * |numeric|
  double rtol = 1e-6;
  uint64_t seed = 1;
};

struct GradcheckResult {
  bool passed = false;
  int64_t checked = 0;        // derivatives compared
  double worst = 0;           // largest |analytic - numeric| / (atol + rtol |numeric|): at most 1 when passed
  double worst_absolute = 0;  // largest |analytic - numeric|
  double largest_gradient = 0;  // so that a check of zeros against zeros is seen
  std::string message;          // what failed, and where
};

using VariableFunction = std::function<Variable(const Variables&)>;

// `fn` must be deterministic. Inputs that require gradients are checked; all must be float64. The backward
// pass is run twice and must give the same bits.
GradcheckResult gradcheck(const VariableFunction& fn, const Variables& inputs, GradcheckOptions options = {});
// The same for leaves that `fn` reads by itself, such as a layer's parameters; they are perturbed in place
// and restored.
GradcheckResult gradcheck_leaves(const std::function<Variable()>& fn, const Variables& leaves,
                                 GradcheckOptions options = {});
// Checks the derivative of the gradient, with random cotangents: fn must be differentiable twice.
GradcheckResult gradgradcheck(const VariableFunction& fn, const Variables& inputs,
                              GradcheckOptions options = {});

}  // namespace sigma
