// Layers and parameters that patterns choose: rates of their own, and layers that are not to change.
//
// A pattern is a path, such as "layer1.0.conv1", in which * stands for any text and ? for one character
// (core/text.h). It means the layer of that path and all below it; "fc" means fc.weight and fc.bias.
#pragma once

#include <string>
#include <vector>

#include "layers/module.h"
#include "optim/optimizer.h"

namespace sigma {

struct OptimizerSetup;

// The rate of some parameters as a multiple of the run's.
struct LrScale {
  std::string pattern;
  double factor = 1;  // at least 0
};
// Of "PATTERN=0.1,PATTERN=0"; throws kind usage, with the place "lr-scale", when it is none.
std::vector<LrScale> parse_lr_scales(const std::string& text);
// Of "PATTERN,PATTERN", with the place "freeze".
std::vector<std::string> parse_freeze(const std::string& text);

bool pattern_chooses(const std::string& pattern, const std::string& path);

// A network's parameters for an optimizer, in groups of one rate and decay. Of several patterns that choose a
// parameter the last counts. Biases and normalization are updated element by element, by every optimizer.
// Throws kind usage, with the place "lr-scale", for a pattern that chooses none, and names the nearest path.
std::vector<ParameterGroup> parameter_groups(Module& model, const OptimizerSetup& setup);

// Freezes the layers that the patterns choose (Module::freeze). Throws kind usage, with the place "freeze",
// for a pattern that chooses no layer with parameters or buffers, and when no parameter is left to train.
void freeze_layers(Module& model, const std::vector<std::string>& patterns);

// What is frozen in a network.
struct FrozenState {
  std::vector<std::string> layers;  // with parameters or buffers of their own
  int64_t values = 0;               // in them
  std::string sha256;               // of their names and bits; empty when nothing is frozen
};
FrozenState frozen_state(const Module& model);

}  // namespace sigma
