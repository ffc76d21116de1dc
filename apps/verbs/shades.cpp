#include "apps/verbs/shades.h"

#include <algorithm>
#include <cmath>

namespace sigma::app {

Shades shades_of(const Tensor& images) {
  const Tensor values = images.to(DType::float64).contiguous();
  const int64_t n = values.dim(0), c = values.dim(1), places = values.dim(2) * values.dim(3);
  const double* p = values.data<double>();
  const auto [low, high] = std::minmax_element(p, p + values.numel());
  Shades s{*low, *high, {}};
  const int64_t shown = c == 3 ? 3 : 1;
  for (int64_t i = 0; i < n; ++i) {
    Picture picture{values.dim(2), values.dim(3), shown, {}};
    for (int64_t at = 0; at < places; ++at)
      for (int64_t k = 0; k < shown; ++k) {
        const double t = s.high > s.low ? (p[(i * c + k) * places + at] - s.low) / (s.high - s.low) : 0.5;
        picture.pixels.push_back(static_cast<uint8_t>(std::lround(255 * t)));
      }
    s.pictures.push_back(std::move(picture));
  }
  return s;
}

}  // namespace sigma::app
