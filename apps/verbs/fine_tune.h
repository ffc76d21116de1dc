// `sigma train --checkpoint F`: training that starts from a saved network instead of drawn weights.
#pragma once

#include <optional>

#include "apps/flags/options.h"
#include "apps/training/checkpoint.h"

namespace sigma::app {

struct Start {
  Options options;  // with the flags that follow from the checkpoint
  std::optional<SavedModel> network;
  bool new_head = false;  // the data set has other classes; see training_data
};
// Without --checkpoint the options as they are. Model, batch norm and normalization are the checkpoint's, and
// so is the data set unless --data is given; a flag that says otherwise is an error of kind usage. A run that
// is resumed has a copy of the network in checkpoints of its own, so the first one may be gone by then.
Start start_of(const Options& given);

// The data set to train on. Where a checkpoint's network was trained for other classes - another number, or
// of a folder other names - start.new_head says so. Throws kind usage when images do not fit the network.
Dataset training_data(Start& start);

}  // namespace sigma::app
