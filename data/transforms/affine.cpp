#include "data/transforms/affine.h"

#include <cmath>
#include <numbers>

#include "core/check.h"

namespace sigma {
namespace {

constexpr double kDegree = std::numbers::pi / 180;

// Where a pixel comes from, relative to the middle of the image: x = a u + b v + c, y = d u + e v + f.
struct Map {
  float a, b, c, d, e, f;
};

template <int C>
void warp(const Image& in, const Map& m, uint8_t* out) {
  const auto h = static_cast<int>(in.height), w = static_cast<int>(in.width);
  const float cx = static_cast<float>(w - 1) / 2, cy = static_cast<float>(h - 1) / 2;
  for (int i = 0; i < h; ++i) {
    const float v = static_cast<float>(i) - cy;
    for (int j = 0; j < w; ++j, out += C) {
      const float u = static_cast<float>(j) - cx;
      const float x = m.a * u + m.b * v + m.c + cx, y = m.d * u + m.e * v + m.f + cy;
      const float left = std::floor(x), top = std::floor(y), right_share = x - left, low_share = y - top;
      float sum[C] = {};
      // Not within the image: black. The comparison is of floats, which may be beyond every integer.
      if (left >= -1 && top >= -1 && left < static_cast<float>(w) && top < static_cast<float>(h)) {
        const int x0 = static_cast<int>(left), y0 = static_cast<int>(top);
        const bool inside = x0 >= 0 && y0 >= 0 && x0 + 1 < w && y0 + 1 < h;
        auto add = [&](int py, int px, float share) {
          if (!inside && (py < 0 || py >= h || px < 0 || px >= w)) return;
          const uint8_t* p = in.pixels.data() + (static_cast<int64_t>(py) * w + px) * C;
          for (int k = 0; k < C; ++k) sum[k] += share * static_cast<float>(p[k]);
        };
        add(y0, x0, (1 - right_share) * (1 - low_share));
        add(y0, x0 + 1, right_share * (1 - low_share));
        add(y0 + 1, x0, (1 - right_share) * low_share);
        add(y0 + 1, x0 + 1, right_share * low_share);
      }
      for (int k = 0; k < C; ++k) out[k] = static_cast<uint8_t>(sum[k] + 0.5f);
    }
  }
}

}  // namespace

Image transformed(const Image& image, const Affine& t) {
  SIGMA_CHECK(image.channels == 1 || image.channels == 3, "affine", "expected 1 or 3 channels, got {}",
              image.channels);
  SIGMA_CHECK(t.scale > 0, "affine", "expected a scale above 0, got {}", t.scale);
  // torchvision's _get_inverse_affine_matrix with a shear along x alone.
  const double turn = t.angle * kDegree, lean = std::tan(t.shear * kDegree);
  const double cosine = std::cos(turn), sine = std::sin(turn);
  const double a = (cosine - sine * lean) / t.scale, b = (cosine * lean + sine) / t.scale,
               d = -sine / t.scale, e = cosine / t.scale;
  const Map m{static_cast<float>(a), static_cast<float>(b), static_cast<float>(-a * t.move_x - b * t.move_y),
              static_cast<float>(d), static_cast<float>(e), static_cast<float>(-d * t.move_x - e * t.move_y)};
  Image out = image;
  image.channels == 1 ? warp<1>(image, m, out.pixels.data()) : warp<3>(image, m, out.pixels.data());
  return out;
}

Image rotated(const Image& image, double angle) { return transformed(image, {.angle = -angle}); }

void random_rotation(Image& image, Rng rng) { image = rotated(image, rng.next_uniform(-15, 15)); }

void random_affine(Image& image, Rng rng) {
  const double w = static_cast<double>(image.width), h = static_cast<double>(image.height);
  Affine a;
  a.angle = rng.next_uniform(-10, 10);
  a.move_x = std::nearbyint(rng.next_uniform(-0.1 * w, 0.1 * w));
  a.move_y = std::nearbyint(rng.next_uniform(-0.1 * h, 0.1 * h));
  a.scale = rng.next_uniform(0.9, 1.1);
  a.shear = rng.next_uniform(-10, 10);
  image = transformed(image, a);
}

}  // namespace sigma
