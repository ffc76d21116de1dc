#include "layers/softmax.h"

namespace sigma {

std::vector<LayerExample> Softmax::examples() {
  return {example<Softmax>("rows", {4, 6}), example<Softmax>("channels", {2, 3, 2, 2}),
          example<Softmax>("the last dimension", {2, 3, 4}, SoftmaxOptions{.dim = -1})};
}

std::vector<LayerWord> Softmax::words() {
  return {{"softmax", "softmax", "DIM=1", [](const LayerText& t) {
             const int64_t dim = t.whole("dim");
             SIGMA_CHECK(dim < t.in().rank(), "softmax", "expected a dimension of 1 to {}, got {}",
                         t.in().rank() - 1, dim);
             return planned<Softmax>(t.in(), 0, SoftmaxOptions{.dim = static_cast<int>(dim)});
           }}};
}

}  // namespace sigma
