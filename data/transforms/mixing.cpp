#include "data/transforms/mixing.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/check.h"

namespace sigma {
namespace {

struct Images {
  int64_t count, height, width, channels, size;
  float* pixels;
};
Images images_of(Tensor& batch) {
  SIGMA_CHECK(batch.rank() == 4 && batch.layout() == Layout::channels_last && batch.dtype() == DType::float32,
              "mix", "expected float32 images (N, C, H, W) channels_last, got {}", batch.shape().str());
  const int64_t c = batch.dim(1), h = batch.dim(2), w = batch.dim(3);
  return {batch.dim(0), h, w, c, c * h * w, batch.mutable_data<float>()};
}

// Calls fn(own, other) for each image and the one before it, as they were.
template <class Fn>
void with_previous(const Images& x, Fn fn) {
  const std::vector<float> last(x.pixels + (x.count - 1) * x.size, x.pixels + x.count * x.size);
  for (int64_t i = x.count - 1; i >= 0; --i)
    fn(x.pixels + i * x.size, i == 0 ? last.data() : x.pixels + (i - 1) * x.size);
}

}  // namespace

double beta_sample(double a, Rng& rng) {
  SIGMA_CHECK(a > 0 && a <= 1, "beta_sample", "expected a parameter above 0 and at most 1, got {}", a);
  while (true) {
    const double x = std::pow(rng.next_uniform(), 1 / a), y = std::pow(rng.next_uniform(), 1 / a);
    if (x + y > 0 && x + y <= 1) return x / (x + y);
  }
}

double mixup(Tensor& batch, Rng rng) {
  const Images x = images_of(batch);
  const double w = beta_sample(0.2, rng);
  const auto own = static_cast<float>(w), rest = static_cast<float>(1 - w);
  with_previous(x, [&](float* to, const float* other) {
    for (int64_t i = 0; i < x.size; ++i) to[i] = own * to[i] + rest * other[i];
  });
  return w;
}

double cutmix(Tensor& batch, Rng rng) {
  const Images x = images_of(batch);
  const double half = std::sqrt(1 - beta_sample(1, rng)) / 2;
  auto side = [&](int64_t size, int64_t& begin, int64_t& end) {
    const auto middle = static_cast<int64_t>(rng.next_below(static_cast<uint64_t>(size)));
    const auto reach = static_cast<int64_t>(half * static_cast<double>(size));
    begin = std::max<int64_t>(0, middle - reach);
    end = std::min(size, middle + reach);
  };
  int64_t top, bottom, left, right;
  side(x.width, left, right);
  side(x.height, top, bottom);
  with_previous(x, [&](float* to, const float* other) {
    for (int64_t y = top; y < bottom; ++y) {
      const int64_t at = (y * x.width + left) * x.channels;
      std::copy_n(other + at, (right - left) * x.channels, to + at);
    }
  });
  return 1 - static_cast<double>((bottom - top) * (right - left)) / static_cast<double>(x.height * x.width);
}

}  // namespace sigma
