// Mixed precision: between the layers values are kept in bfloat16, half the memory and half its traffic,
// while weights, statistics, losses, sums and the optimiser stay in float32. As torch.autocast.
#pragma once

#include "autograd/variable.h"

namespace sigma {

// The same values in another floating-point dtype; the gradient comes back in x's.
Variable cast(const Variable& x, DType dtype);

// While alive, convolutions, linear layers and residual blocks on this thread take float32 input as `dtype`
// (bfloat16; float32 changes nothing). What follows them keeps the dtype it is given; the loss converts back.
class Autocast {
 public:
  explicit Autocast(DType dtype);
  ~Autocast();
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  DType previous_;
};

// x as a layer of the current scope takes it.
Variable autocast(const Variable& x);

}  // namespace sigma
