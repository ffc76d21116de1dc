#include "data/transforms/color_jitter.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/check.h"

namespace sigma {
namespace {

uint8_t truncated(float v) { return static_cast<uint8_t>(std::clamp(v, 0.0f, 255.0f)); }

uint8_t grey(const uint8_t* p) {
  return static_cast<uint8_t>(0.2989f * static_cast<float>(p[0]) + 0.587f * static_cast<float>(p[1]) +
                              0.114f * static_cast<float>(p[2]));
}

// factor * pixel + (1 - factor) * other, for all 256 values of a pixel.
void blend(Image& image, double factor, double other) {
  std::array<uint8_t, 256> table;
  const auto f = static_cast<float>(factor), o = static_cast<float>((1 - factor) * other);
  for (size_t v = 0; v < 256; ++v) table[v] = truncated(f * static_cast<float>(v) + o);
  for (uint8_t& p : image.pixels) p = table[p];
}

void turn_hue(uint8_t* p, float part) {
  const float r = static_cast<float>(p[0]) / 255, g = static_cast<float>(p[1]) / 255,
              b = static_cast<float>(p[2]) / 255;
  const float high = std::max({r, g, b}), low = std::min({r, g, b}), span = high - low;
  if (span == 0) return;  // no hue
  const float s = span / high;
  float h = r == high ? (g - b) / span : g == high ? 2 + (b - r) / span : 4 + (r - g) / span;
  h = h / 6 + 1 + part;
  h = (h - std::floor(h)) * 6;
  const float sector = std::floor(h), f = h - sector;
  const float x = high * (1 - s), y = high * (1 - s * f), z = high * (1 - s * (1 - f));
  float out[3];
  switch (static_cast<int>(sector) % 6) {
    case 0:
      out[0] = high, out[1] = z, out[2] = x;
      break;
    case 1:
      out[0] = y, out[1] = high, out[2] = x;
      break;
    case 2:
      out[0] = x, out[1] = high, out[2] = z;
      break;
    case 3:
      out[0] = x, out[1] = y, out[2] = high;
      break;
    case 4:
      out[0] = z, out[1] = x, out[2] = high;
      break;
    default:
      out[0] = high, out[1] = x, out[2] = y;
      break;
  }
  for (int k = 0; k < 3; ++k) p[k] = truncated(std::clamp(out[k], 0.0f, 1.0f) * 255.999f);
}

}  // namespace

void adjust_brightness(Image& image, double factor) { blend(image, factor, 0); }

void adjust_contrast(Image& image, double factor) {
  if (image.pixels.empty()) return;
  uint64_t sum = 0;
  const auto c = static_cast<size_t>(image.channels);
  for (size_t i = 0; i < image.pixels.size(); i += c)
    sum += c == 3 ? grey(&image.pixels[i]) : image.pixels[i];
  blend(image, factor, static_cast<double>(sum) / static_cast<double>(image.pixels.size() / c));
}

void adjust_saturation(Image& image, double factor) {
  if (image.channels != 3) return;
  const auto f = static_cast<float>(factor), rest = static_cast<float>(1 - factor);
  for (size_t i = 0; i < image.pixels.size(); i += 3) {
    uint8_t* p = &image.pixels[i];
    const float other = rest * static_cast<float>(grey(p));
    for (int k = 0; k < 3; ++k) p[k] = truncated(f * static_cast<float>(p[k]) + other);
  }
}

void adjust_hue(Image& image, double part) {
  SIGMA_CHECK(part >= -0.5 && part <= 0.5, "adjust_hue",
              "expected a part of the circle of -0.5 to 0.5, got {}", part);
  if (image.channels != 3 || part == 0) return;
  for (size_t i = 0; i < image.pixels.size(); i += 3) turn_hue(&image.pixels[i], static_cast<float>(part));
}

void color_jitter(Image& image, Rng rng) {
  const std::vector<int64_t> order = permutation(4, rng.branch(".order"));
  double factors[3];
  for (double& f : factors) f = rng.next_uniform(0.6, 1.4);
  const double hue = rng.next_uniform(-0.1, 0.1);
  for (int64_t which : order) {
    if (which == 0) adjust_brightness(image, factors[0]);
    if (which == 1) adjust_contrast(image, factors[1]);
    if (which == 2) adjust_saturation(image, factors[2]);
    if (which == 3) adjust_hue(image, hue);
  }
}

}  // namespace sigma
