// Flatten: (N, ...) to (N, product), in PyTorch's element order (channels outermost). Fails on a scalar.
#pragma once

#include "layers/table.h"

namespace sigma {

Variable flatten(const Variable& x);

class Flatten : public Module {
 public:
  static std::vector<LayerExample> examples();
  static std::vector<LayerWord> words();
  Variable forward(const Variable& x) override { return flatten(x); }
  std::string kind() const override { return "Flatten"; }
};
SIGMA_LAYER(Flatten);

}  // namespace sigma
