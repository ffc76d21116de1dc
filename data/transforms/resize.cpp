#include "data/transforms/resize.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <vector>

#include "core/check.h"

namespace sigma {
namespace {

constexpr int kBits = 22;
constexpr int64_t kMaxFitted = 4096;  // pixels a side of what a network gets

// Where the inputs of an output begin, how many there are, and their weights in fixed point.
struct Taps {
  int64_t most = 0;  // of one output
  std::vector<int64_t> first, count;
  std::vector<int32_t> weight;  // [output][most]
};

// Of the outputs begin..begin+count-1, of `out` that `in` inputs become.
Taps taps_of(int64_t in, int64_t out, int64_t begin, int64_t count) {
  const double scale = static_cast<double>(in) / static_cast<double>(out), support = std::max(scale, 1.0);
  Taps t;
  t.most = static_cast<int64_t>(std::ceil(support)) * 2 + 1;
  t.weight.assign(static_cast<size_t>(count * t.most), 0);
  std::vector<double> w(static_cast<size_t>(t.most));
  for (int64_t x = 0; x < count; ++x) {
    const double center = (static_cast<double>(begin + x) + 0.5) * scale;
    const auto first = std::max<int64_t>(0, static_cast<int64_t>(center - support + 0.5));
    const auto end = std::min(in, static_cast<int64_t>(center + support + 0.5));
    double sum = 0;
    for (int64_t i = first; i < end; ++i) {
      const double distance = std::fabs((static_cast<double>(i) - center + 0.5) * (1 / support));
      sum += w[static_cast<size_t>(i - first)] = std::max(0.0, 1 - distance);
    }
    for (int64_t i = first; i < end; ++i)
      t.weight[static_cast<size_t>(x * t.most + i - first)] =
          static_cast<int32_t>(0.5 + w[static_cast<size_t>(i - first)] / sum * (1 << kBits));
    t.first.push_back(first);
    t.count.push_back(end - first);
  }
  return t;
}

uint8_t rounded(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> kBits, 0, 255)); }

constexpr int32_t kHalf = 1 << (kBits - 1);

template <int C>
void along_row(const uint8_t* in, const Taps& t, uint8_t* out) {
  const int32_t* w = t.weight.data();
  for (size_t x = 0; x < t.first.size(); ++x, w += t.most, out += C) {
    const uint8_t* p = in + t.first[x] * C;
    int32_t sum[C];
    std::fill_n(sum, C, kHalf);
    for (int64_t i = 0; i < t.count[x]; ++i, p += C)
      for (int c = 0; c < C; ++c) sum[c] += w[i] * p[c];
    for (int c = 0; c < C; ++c) out[c] = rounded(sum[c]);
  }
}

// What `part` shows of the window `from` of an image once that has the size `to`. Nothing else is computed:
// an image of a single row may be a million wide when it is as high as the others.
struct Size {
  int64_t height, width;
};
Image rendered(const Image& image, const Window& from, Size to, const Window& part) {
  const int64_t c = image.channels, row = part.width * c;
  const Taps across = taps_of(from.width, to.width, part.left, part.width),
             down = taps_of(from.height, to.height, part.top, part.height);
  const int64_t first = down.first.front(), rows = down.first.back() + down.count.back() - first;
  Bytes narrow(static_cast<size_t>(rows * row));
  for (int64_t y = 0; y < rows; ++y) {
    const uint8_t* in = image.pixels.data() + ((from.top + first + y) * image.width + from.left) * c;
    uint8_t* out = narrow.data() + y * row;
    if (from.width == to.width)
      std::copy_n(in + part.left * c, row, out);
    else
      c == 1 ? along_row<1>(in, across, out) : along_row<3>(in, across, out);
  }
  Image out{part.height, part.width, c, Bytes(static_cast<size_t>(part.height * row))};
  std::vector<int32_t> sum(static_cast<size_t>(row));
  for (int64_t y = 0; y < part.height; ++y) {
    uint8_t* to_row = out.pixels.data() + y * row;
    const uint8_t* p = narrow.data() + (down.first[static_cast<size_t>(y)] - first) * row;
    if (from.height == to.height) {  // the weights are 0, 1, 0
      std::copy_n(narrow.data() + (part.top + y - first) * row, row, to_row);
      continue;
    }
    std::fill(sum.begin(), sum.end(), kHalf);
    for (int64_t i = 0; i < down.count[static_cast<size_t>(y)]; ++i, p += row) {
      const int32_t k = down.weight[static_cast<size_t>(y * down.most + i)];
      for (int64_t x = 0; x < row; ++x) sum[static_cast<size_t>(x)] += k * p[x];
    }
    for (int64_t x = 0; x < row; ++x) to_row[x] = rounded(sum[static_cast<size_t>(x)]);
  }
  return out;
}

}  // namespace

Image resized(const Image& image, const Window& w, int64_t height, int64_t width) {
  SIGMA_CHECK(image.channels == 1 || image.channels == 3, "resize", "expected 1 or 3 channels, got {}",
              image.channels);
  SIGMA_CHECK(w.top >= 0 && w.left >= 0 && w.height > 0 && w.width > 0 && w.top + w.height <= image.height &&
                  w.left + w.width <= image.width && height > 0 && width > 0,
              "resize",
              "expected a window within {}x{} and a size of at least 1x1, got {}x{} at {}, {} to {}x{}",
              image.height, image.width, w.height, w.width, w.top, w.left, height, width);
  return rendered(image, w, {height, width}, {0, 0, height, width});
}

Image resized(const Image& image, int64_t height, int64_t width) {
  return resized(image, {0, 0, image.height, image.width}, height, width);
}

Image fitted(const Image& image, int64_t height, int64_t width) {
  if (image.height == height && image.width == width) return image;
  const int64_t h = image.height, w = image.width;
  SIGMA_CHECK(h > 0 && w > 0 && height > 0 && width > 0 && (image.channels == 1 || image.channels == 3),
              "resize", "expected images of 1 or 3 channels and at least 1x1 pixels, got {}x{}x{} to {}x{}",
              image.channels, h, w, height, width);
  // One side fits exactly: the width of an image that is narrower than the target, else the height.
  const bool narrow = w * height <= h * width;
  const Size whole{narrow ? std::max(height, h * width / w) : height,
                   narrow ? width : std::max(width, w * height / h)};
  const auto begin = [](int64_t all, int64_t part) {  // halves to even, as Python rounds
    const int64_t rest = all - part, half = rest / 2;
    return rest % 2 && half % 2 ? half + 1 : half;
  };
  return rendered(image, {0, 0, h, w}, whole,
                  {begin(whole.height, height), begin(whole.width, width), height, width});
}

ImageSize parse_image_size(const std::string& text) {
  ImageSize size;
  const char *at = text.data(), *end = at + text.size();
  auto number = [&](int64_t& value) {
    const auto [next, error] = std::from_chars(at, end, value);
    at = next;
    return error == std::errc() && value >= 1 && value <= kMaxFitted;
  };
  bool good = number(size.height);
  size.width = size.height;
  if (good && at != end) good = *at++ == 'x' && number(size.width) && at == end;
  if (!good)
    fail(ErrorKind::usage, "image-size",
         "expected a size such as 48 or 32x48, of 1 to {} pixels a side, got \"{}\"", kMaxFitted, text);
  return size;
}

}  // namespace sigma
