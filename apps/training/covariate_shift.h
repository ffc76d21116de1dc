// Internal covariate shift as an optimizer sees it (Santurkar et al. 2018, definition 2.1): how much the
// gradient of a layer changes because the layers before it were updated. With W_1 ... W_k the layers'
// parameters in the order of Module::visit, and W' what a step of gradient descent makes of them,
//
//   G_i  = dL / dW_i at (W_1, ..., W_k)
//   G'_i = dL / dW_i at (W'_1, ..., W'_{i-1}, W_i, ..., W_k),   W'_j = W_j - rate * G_j
//
// on the same batch. Without shift ||G'_i - G_i|| were 0 and the cosine of both 1, as they are for the first
// layer.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "layers/module.h"

namespace sigma {

struct CovariateShift {
  std::vector<std::string> layers;  // paths of the modules that have parameters of their own which learn
  // Of each: ||G_i||, ||G'_i - G_i||, <G_i, G'_i> / (||G_i|| ||G'_i||), in float64; the cosine with a
  // gradient of zeros is NaN.
  std::vector<double> gradient_norm, distance, cosine;
};

// `loss` computes a scalar from the network as it stands; it is called once for each layer, in training mode
// with running statistics left alone. Layers that draw random numbers draw anew each time. Afterwards weights
// and mode are what they were, also when something throws. Throws kind usage when nothing learns, and as
// `loss` does.
CovariateShift covariate_shift(Module& model, const std::function<Variable()>& loss, double rate);

}  // namespace sigma
