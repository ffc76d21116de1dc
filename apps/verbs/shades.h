// Images whose values are no pixels, for people: the lowest of all is black and the highest white.
#pragma once

#include <vector>

#include "apps/report/picture.h"
#include "core/tensor.h"

namespace sigma::app {

// The i-th of images (N, C, H, W), `low` and what is below black, `high` and what is above white; grey where
// the two are the same. Of channels that are neither one nor three the first is shown.
Picture shaded(const Tensor& images, int64_t i, double low, double high);

struct Shades {
  double low = 0, high = 0;
  std::vector<Picture> pictures;
};
// Of images (N, C, H, W), N at least 1.
Shades shades_of(const Tensor& images);

}  // namespace sigma::app
