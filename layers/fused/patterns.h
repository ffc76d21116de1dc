// The table of patterns: which neighbours in a chain are computed together, and by what.
#pragma once

#include <span>
#include <vector>

#include "layers/module.h"

namespace sigma::fused {

struct Pattern {
  std::vector<Role> roles;  // of the neighbours
  bool ends;                // the last of them is followed by the chain's sum with its skip, and a ReLU
  bool forward_only;        // where no gradient is recorded
  // What the layers give for x, with ends relu(... + skip). Errors are those of the layer they belong to
  // (Module::run_as_layer).
  Variable (*run)(std::span<Module* const> layers, const Variable& x, const Variable& skip);
};

// Longer patterns first: a chain takes the first that fits.
const std::vector<Pattern>& patterns();

}  // namespace sigma::fused
