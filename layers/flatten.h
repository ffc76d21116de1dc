// Flatten: (N, ...) to (N, product), in PyTorch's element order (channels outermost).
#pragma once

#include "autograd/ops.h"
#include "layers/module.h"

namespace sigma {

inline Variable flatten(const Variable& x) {
  SIGMA_CHECK(x.rank() >= 1, "flatten", "expected at least one dimension");
  int64_t rest = 1;
  for (int i = 1; i < x.rank(); ++i) rest = checked_mul(rest, x.dim(i), "flatten");
  return reshape(x, {x.dim(0), rest});
}

class Flatten : public Module {
 public:
  Variable forward(const Variable& x) override { return flatten(x); }
  std::string kind() const override { return "Flatten"; }
};

}  // namespace sigma
