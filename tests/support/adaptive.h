// Optimizers against what PyTorch computed in 50 steps (adaptive() and groups_of_steps() in
// tests/golden/generate.py).
#pragma once

#include <functional>
#include <memory>

#include <nlohmann/json.hpp>

#include "optim/adam.h"

namespace sigma::test {

// All cases of a file: parameters after every step and the state at the end, to 1e-12 of the largest element
// in float64.
void compare_with_golden(const std::string& name,
                         const std::function<std::unique_ptr<Optimizer>(std::vector<ParameterGroup>,
                                                                        const nlohmann::json&)>& make);
// Of a case of Adam or AdamW.
AdamOptions adam_options_of(const nlohmann::json& options);

}  // namespace sigma::test
