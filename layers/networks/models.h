// The demo networks, by name: texts (network_text.h) in the files of this folder, which are part of the
// library. Every layer has the same name with batch norm on and off, and initial weights are drawn by name,
// so the two arms of a comparison start from the same weights.
#pragma once

#include <string>
#include <vector>

#include "layers/networks/network_text.h"

namespace sigma {

// mlp, sigmoid-mlp, lenet5, cnn, vgg, resnet20|32|44|56|110.
const std::vector<std::string>& model_names();
bool is_model_name(const std::string& name);

// A model is such a name, or a network's text itself. Its text; throws kind usage for a text that is none,
// and for a single word that is neither a demo network nor a layer.
std::string model_text(const std::string& model);
// How a message calls it: the name, or how the text begins.
std::string model_label(const std::string& model);
// The input a demo network was designed for; of a text, images of 28x28 in grey and 10 classes.
ModelInput default_input(const std::string& model);
// Builds and initialises. Throws kind usage for an unknown name, a wrong text, or an input that does not fit.
ModulePtr make_model(const std::string& model, const ModelInput& input, const Norm& norm, uint64_t seed = 0);

}  // namespace sigma
