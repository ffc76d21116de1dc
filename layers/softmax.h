// Softmax along a dimension: y = e^x / sum e^x, computed with the largest x subtracted.
//
// The gradient, dx = y (g - sum g y), is autograd/ops.h's, so it can be differentiated any number of times. A
// network that is trained with CrossEntropyLoss (cross_entropy.h) gives logits, without it.
#pragma once

#include "autograd/ops.h"
#include "layers/table.h"

namespace sigma {

struct SoftmaxOptions {
  int dim = 1;  // negative ones count from the end
};

class Softmax : public Module {
 public:
  static std::vector<LayerExample> examples();
  static std::vector<LayerWord> words();
  explicit Softmax(SoftmaxOptions options = {}) : options_(options) {}
  Variable forward(const Variable& x) override { return softmax(x, options_.dim); }
  std::string kind() const override { return "Softmax"; }
  std::string describe() const override { return fmt::format("Softmax(dim={})", options_.dim); }

 private:
  SoftmaxOptions options_;
};
SIGMA_LAYER(Softmax);

}  // namespace sigma
