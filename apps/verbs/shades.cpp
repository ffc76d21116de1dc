#include "apps/verbs/shades.h"

#include <algorithm>
#include <cmath>

#include "core/math.h"

namespace sigma::app {

Picture shaded(const Tensor& images, int64_t i, double low, double high) {
  const Tensor values = images.to(DType::float64).contiguous();
  const int64_t c = values.dim(1), places = values.dim(2) * values.dim(3), shown = c == 3 ? 3 : 1;
  const double* p = values.data<double>() + i * c * places;
  Picture picture{values.dim(2), values.dim(3), shown, {}};
  for (int64_t at = 0; at < places; ++at)
    for (int64_t k = 0; k < shown; ++k) {
      const double t = high > low ? (p[k * places + at] - low) / (high - low) : 0.5;
      picture.pixels.push_back(static_cast<uint8_t>(std::lround(255 * std::clamp(t, 0.0, 1.0))));
    }
  return picture;
}

Shades shades_of(const Tensor& images) {
  const Tensor values = images.to(DType::float64).contiguous();
  Shades s{min(values).item(), max(values).item(), {}};
  for (int64_t i = 0; i < values.dim(0); ++i) s.pictures.push_back(shaded(values, i, s.low, s.high));
  return s;
}

}  // namespace sigma::app
