// Fine-tuning for other classes: a trained network whose last layer gives way to a fresh one.
#pragma once

#include <string>

#include "training/network.h"

namespace sigma {

// The path of the last layer with weights, in the order of the network, or "".
std::string head_of(Module& model);

// Lets a setup, whose input says the new number of classes and whose factors are those of `trained`, begin
// with the weights of `trained`, but for the head's: those are drawn from the setup's seed, and a head in two
// factors becomes a whole one. Gives the head's path. Throws kind usage when the rest does not fit.
std::string replace_head(TrainSetup& setup, const Module& trained);

}  // namespace sigma
