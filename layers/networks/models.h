// The demo networks, by name. Every layer has the same name with batch norm on and off, and initial weights
// are drawn by name, so the two arms of a comparison start from the same weights.
#pragma once

#include <string>
#include <vector>

#include "layers/module.h"

namespace sigma {

struct ModelInput {
  int64_t channels = 1, height = 28, width = 28, classes = 10;
  Shape shape(int64_t n) const { return {n, channels, height, width}; }
  std::string str() const { return fmt::format("{}x{}x{}", channels, height, width); }
};

// mlp, sigmoid-mlp, lenet5, cnn, vgg, resnet20|32|44|56|110.
const std::vector<std::string>& model_names();
// The input a network was designed for.
ModelInput default_input(const std::string& name);
// Builds and initialises. Throws kind usage for an unknown name or an input that does not fit.
ModulePtr make_model(const std::string& name, const ModelInput& input, bool batch_norm, uint64_t seed = 0);

}  // namespace sigma
