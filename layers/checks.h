// The table of layers and losses that `sigma gradcheck` and the tests walk through: one line an example.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "autograd/gradcheck.h"
#include "layers/module.h"

namespace sigma {

struct LayerExample {
  std::string layer;  // "Conv2d"
  std::string what;   // "stride 2, groups 2"
  Shape input;
  std::function<ModulePtr()> make;
  bool training = true;
};
const std::vector<LayerExample>& layer_examples();

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
