// Checkpoints: a safetensors file of weights, buffers and momentum under PyTorch's names, with everything
// else a run needs (step, normalization constants, class names, best accuracy, configuration) in its
// metadata, under a digest.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include <nlohmann/json.hpp>

#include "apps/flags/options.h"
#include "apps/training/trainer.h"
#include "core/json.h"

namespace sigma::app {

struct Checkpoint {
  SafeTensors content;
  Json meta;  // see train.cpp
};

// Writes weights/<name>.safetensors atomically; what was there before is kept as <name>-previous.safetensors
// when `keep_previous`.
void save_checkpoint(const std::string& path, Checkpoint checkpoint, bool keep_previous);
// Throws kind checkpoint, naming the file, when it is damaged, altered or not written by sigma.
Checkpoint load_checkpoint(const std::string& path);

// The parts of metadata that eval and predict need.
struct SavedModel {
  ModulePtr model;  // in eval mode
  std::vector<Factor> factors;
  std::string name, data;
  ModelInput input;
  bool batch_norm = true;
  Normalization normalization;
  std::vector<std::string> class_names;
};
// Into metadata and tensors: all of a setup that model_from wants, normalization included.
void put_model(Checkpoint& checkpoint, const TrainSetup& setup, const Dataset& dataset);
// Whitening constants are tensors of the file, `normalize.mean` and `normalize.matrix` (see
// data/whitening.h); all else is metadata.
void put_normalization(Checkpoint& checkpoint, const Normalization& normalization);
Normalization normalization_from(const Checkpoint& checkpoint, const ModelInput& input,
                                 const std::string& path);
// Which layers of the network are in two factors: metadata "factors".
void put_factors(Json& meta, const std::vector<Factor>& factors);
std::vector<Factor> factors_from(const Json& meta);
SavedModel model_from(const Checkpoint& checkpoint, const std::string& path);
// Throws kind checkpoint, naming the tensor, when a weight or a statistic is not finite.
void check_finite(const SavedModel& model, const std::string& path);
// Throws kind usage when images are not of the size and channels that a network takes.
void check_images(const Dataset& data, const ModelInput& input);
// The data set of --data, or the one the network was trained on; throws kind usage when images or classes do
// not fit the network. Other class names than those it was trained on are a warning.
Dataset dataset_for(const SavedModel& model, const Options& options, int64_t limit_train);

}  // namespace sigma::app
