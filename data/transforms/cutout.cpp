#include "data/transforms/cutout.h"

#include <algorithm>
#include <cmath>

namespace sigma {

void cutout(Image& image, Rng rng) {
  if (rng.next_uniform() >= 0.5) return;
  const int64_t h = image.height, w = image.width, c = image.channels;
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double area = static_cast<double>(h * w) * rng.next_uniform(0.02, 0.33),
                 ratio = std::exp(rng.next_uniform(std::log(0.3), std::log(3.3)));
    const auto high = static_cast<int64_t>(std::nearbyint(std::sqrt(area * ratio))),
               wide = static_cast<int64_t>(std::nearbyint(std::sqrt(area / ratio)));
    if (high >= h || wide >= w) continue;
    const auto top = static_cast<int64_t>(rng.next_below(static_cast<uint64_t>(h - high + 1))),
               left = static_cast<int64_t>(rng.next_below(static_cast<uint64_t>(w - wide + 1)));
    for (int64_t y = top; y < top + high; ++y)
      std::fill_n(image.pixels.begin() + (y * w + left) * c, wide * c, uint8_t{0});
    return;
  }
}

}  // namespace sigma
