// Passes over memory that a chain of layers can share. A network is written as plain layers; while they run
// one after the other, neighbours that the table of patterns (patterns.cpp) knows are computed together:
//
//   Conv2d, BatchNorm          the convolution sums the batch's statistics while its outputs are in the cache
//   BatchNorm, (+ skip), ReLU  one pass forward; one pass for the mask and both sums backward
//   Residual, ReLU             the body is a chain with the ReLU of its sum at the end
//   Conv2d or Linear, ReLU     without gradients, one pass
//
// A Sequential within the chain, such as a layer in two factors (factor.h), counts as the layers it holds.
// A layer that someone observes through a forward hook, or that is a class derived from these, is left alone.
// The result equals that of the layers one by one bit for bit, but for two things. The float64 sums of the
// statistics are cut elsewhere, so mean and deviation may differ by some 1e-15 of their value before they are
// rounded to float32. And in bfloat16 a norm's result that a skip is added to is not rounded before.
#pragma once

#include <span>

#include "layers/module.h"

namespace sigma {

// Runs the layers on x. With `skip` defined, the result is relu(chain(x) + skip).
Variable run_chain(std::span<const Child> layers, const Variable& x, const Variable& skip = {});

// Throws unless a body's result and what is added to it agree in shape and dtype.
void check_skip(const Variable& y, const Variable& skip);

// Off: every layer runs by itself, on this thread. For tests and for looking at the difference.
class NoFusion {
 public:
  NoFusion();
  ~NoFusion();
  NoFusion(const NoFusion&) = delete;
  NoFusion& operator=(const NoFusion&) = delete;

 private:
  bool previous_;
};

}  // namespace sigma
