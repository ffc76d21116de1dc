// Images whose values are no pixels, for people: the lowest of all is black and the highest white.
#pragma once

#include <vector>

#include "apps/report/picture.h"
#include "core/tensor.h"

namespace sigma::app {

struct Shades {
  double low = 0, high = 0;
  std::vector<Picture> pictures;
};
// Of images (N, C, H, W), N at least 1; of channels that are neither one nor three the first is shown.
Shades shades_of(const Tensor& images);

}  // namespace sigma::app
