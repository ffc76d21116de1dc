// How much the images of a class count in the loss: CrossEntropyLoss's `weight`, a weighted mean.
#pragma once

#include <string>
#include <vector>

#include "data/dataset.h"

namespace sigma {

// A weight a class, empty for "none":
//   none
//   balanced      N / (K n_c) for N training images, K classes and n_c images of the class (1 where there are
//                 none), so that every class counts alike
//   a=2,b=0.5     by name; 1 for those left out. A comma belongs to a name when no weight follows otherwise.
// Throws kind usage, with the place "class-weights", for an unknown name or a weight that is not above 0.
std::vector<double> class_weights(const std::string& text, const Dataset& dataset);

}  // namespace sigma
