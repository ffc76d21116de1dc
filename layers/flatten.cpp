#include "layers/flatten.h"

#include "autograd/ops.h"

namespace sigma {

Variable flatten(const Variable& x) {
  SIGMA_CHECK(x.rank() >= 1, "flatten", "expected at least one dimension");
  int64_t rest = 1;
  for (int i = 1; i < x.rank(); ++i) rest = checked_mul(rest, x.dim(i), "flatten");
  return reshape(x, {x.dim(0), rest});
}

std::vector<LayerExample> Flatten::examples() { return {example<Flatten>("", {2, 3, 2, 4})}; }

std::vector<LayerWord> Flatten::words() {
  return {{"flatten", "flatten", "", [](const LayerText& t) {
             return planned<Flatten>({t.in()[0], t.in().numel() / t.in()[0]}, 0);
           }}};
}

}  // namespace sigma
