// What the verbs that take --checkpoint share.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "apps/flags/options.h"
#include "apps/training/checkpoint.h"

namespace sigma::app {

// The network of --checkpoint; throws kind usage when there is none.
SavedModel model_of(const Options& options);

// The last good checkpoint in a run's folder of weights: last.safetensors, or the one before it where that is
// damaged. None when the run was stopped before the first. Throws as load_checkpoint when there is no good
// one.
struct LastCheckpoint {
  Checkpoint checkpoint;
  std::string path;
  std::string damage;  // what is wrong with last.safetensors; empty: this is it
};
std::optional<LastCheckpoint> last_checkpoint(const std::filesystem::path& weights);

// The data set of --data, or the one the network was trained on, its images brought to the network's size
// where they were in training. Of a folder without a test part and of its own training set that is what was
// set apart then; of another folder, all of it. Throws kind usage when images do not fit the network.
Dataset images_for(const SavedModel& model, const Options& options, int64_t limit_train);
// The same; throws kind usage when classes do not fit either. Other class names than those it was trained on
// are a warning.
Dataset dataset_for(const SavedModel& model, const Options& options, int64_t limit_train);

// evaluate() on data.measured(), until a signal asks to stop: then it throws Stopped.
EvalResult evaluate_or_stop(Module& model, const Dataset& data, const Normalization& normalization,
                            int64_t limit = 0);

}  // namespace sigma::app
