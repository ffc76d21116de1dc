// What the flags of a training run come to, for the verbs that train as `sigma train` does.
#pragma once

#include "apps/verbs/fine_tune.h"

namespace sigma::app {

// Throws kind usage, naming the flag, when they do not fit the data set or one another.
TrainSetup setup_of(const Options& options, const Start& start, const Dataset& data);
// Of a network that is drawn, with a normalization that may be for several: whitening takes seconds.
TrainSetup setup_of(const Options& options, const Dataset& data, const Normalization& normalization);

}  // namespace sigma::app
