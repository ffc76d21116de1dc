// Adam and its relatives against what PyTorch computed (adaptive() in tests/golden/generate.py).
#pragma once

#include <functional>
#include <memory>

#include "optim/adam.h"

namespace sigma::test {

// All cases of a file: parameters after every step and the state at the end, to 1e-12 of the largest element
// in float64.
void compare_with_golden(
    const std::string& name,
    const std::function<std::unique_ptr<Optimizer>(std::vector<ParameterGroup>, const AdamOptions&)>& make);

}  // namespace sigma::test
