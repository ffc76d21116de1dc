// The data set of --data, as the flags want it, with what the user should know of it told.
#pragma once

#include "apps/flags/options.h"
#include "data/dataset.h"
#include "layers/networks/models.h"

namespace sigma::app {

// What the flags say; --val only where the verb has it.
DatasetOptions dataset_options(const Options& options);

// load_dataset(); errors name the flags. Warns of images that were skipped, and of files that are no images.
Dataset load_data(const std::string& name, const DatasetOptions& wanted, const Options& options);

// The input of the data set when there is one, else what the model was designed for.
ModelInput input_for(const Options& options);

}  // namespace sigma::app
