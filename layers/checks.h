// Gradient checks of layers: of those in the table (table.h), and of any module.
#pragma once

#include "autograd/gradcheck.h"
#include "layers/table.h"

namespace sigma {

// The examples of every layer that is a Module.
const std::vector<LayerExample>& layer_examples();
// The names of all layers and losses in the table.
std::vector<std::string> layer_names();

struct CheckRow {
  std::string layer, what;
  GradcheckResult result;
};
// Gradient checks of every layer and loss (or those of one name), in float64, with respect to input and
// parameters.
std::vector<CheckRow> gradcheck_layers(const std::string& layer = "");
// The check of one module, for layers of your own too, in its mode, float64 and with random values added to
// parameters of one dimension; afterwards it has the type and the values, every bit, that it had. `x` should
// stay away from kinks by more than the step.
GradcheckResult gradcheck_module(Module& module, const Tensor& x, GradcheckOptions options = {});
// Normal values, each at least 1e-3 from 0 and from every other, so that no kink or tie is within a step.
Tensor smooth_input(const Shape& shape, uint64_t seed);

}  // namespace sigma
