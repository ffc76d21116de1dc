// Distributions of what flows through a network while it trains: the activations of every layer, and the
// gradients of the loss with respect to them (Ioffe and Szegedy 2015, figure 1; Glorot and Bengio 2010,
// figures 2 and 7).
#pragma once

#include <array>
#include <string>
#include <vector>

#include "layers/module.h"

namespace sigma {

// Percentiles 5, 15, 50, 85 and 95.
inline constexpr std::array<double, 5> kBandPercentiles{5, 15, 50, 85, 95};
using Band = std::array<double, 5>;

struct LayerDistribution {
  std::string layer, kind;  // path and kind: "bn1", "BatchNorm2d"; the second call of a layer is "bn1 (2)"
  Band activation{};        // of all its outputs
  Band gradient{};          // of d loss / d output
};

// Of every layer without children, in the order of the forward pass: one forward pass in training mode and
// one backward pass of the mean cross-entropy over these images (N, C, H, W) and labels int64 (N). Frozen
// layers are in eval mode. A layer whose output the loss does not depend on has a gradient of zeros. Running
// statistics, parameters, their gradients, hooks and mode are afterwards as they were; dropout draws, and
// begins anew with the next set_step(). `precision` as TrainSetup's. Throws what the forward pass throws.
std::vector<LayerDistribution> distributions(Module& model, const Tensor& images, const Tensor& labels,
                                             DType precision = DType::float32);

}  // namespace sigma
