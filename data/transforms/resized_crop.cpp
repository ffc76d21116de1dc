#include "data/transforms/resized_crop.h"

#include <algorithm>
#include <cmath>

namespace sigma {

Window draw_window(int64_t height, int64_t width, Rng rng) {
  constexpr double kLeast = 3.0 / 4, kMost = 4.0 / 3;
  const double h = static_cast<double>(height), w = static_cast<double>(width);
  auto whole = [](double v) { return static_cast<int64_t>(std::nearbyint(v)); };
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double area = h * w * rng.next_uniform(0.08, 1),
                 ratio = std::exp(rng.next_uniform(std::log(kLeast), std::log(kMost)));
    const int64_t wide = whole(std::sqrt(area * ratio)), high = whole(std::sqrt(area / ratio));
    if (wide < 1 || wide > width || high < 1 || high > height) continue;
    const auto top = static_cast<int64_t>(rng.next_below(static_cast<uint64_t>(height - high + 1))),
               left = static_cast<int64_t>(rng.next_below(static_cast<uint64_t>(width - wide + 1)));
    return {top, left, high, wide};
  }
  const int64_t high = w / h < kLeast ? std::clamp<int64_t>(whole(w / kLeast), 1, height) : height,
                wide = w / h > kMost ? std::clamp<int64_t>(whole(h * kMost), 1, width) : width;
  return {(height - high) / 2, (width - wide) / 2, high, wide};
}

}  // namespace sigma
