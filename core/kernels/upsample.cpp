#include "core/kernels/upsample.h"

#include <algorithm>
#include <vector>

#include "core/parallel.h"

namespace sigma::kernels {
namespace {

// Where a place of the large axis lies on the small one: (1 - t) of `low` and t of `high`.
template <class T>
struct Tap {
  int64_t low, high;
  T t;
};

template <class T>
Tap<T> tap(int64_t i, int64_t size, int64_t scale, bool bilinear) {
  if (!bilinear) return {i / scale, i / scale, T(0)};
  const T at = std::max(T(0), (static_cast<T>(i) + T(0.5)) / static_cast<T>(scale) - T(0.5));
  const auto low = std::min(static_cast<int64_t>(at), size - 1);
  return {low, std::min(low + 1, size - 1), at - static_cast<T>(low)};
}

template <class T>
std::vector<Tap<T>> taps(int64_t size, int64_t scale, bool bilinear) {
  std::vector<Tap<T>> all;
  for (int64_t i = 0; i < size * scale; ++i) all.push_back(tap<T>(i, size, scale, bilinear));
  return all;
}

// What place `i` of the large axis takes of place `from` of the small one.
template <class T>
T share(const Tap<T>& tap, int64_t from) {
  return (tap.low == from ? 1 - tap.t : T(0)) + (tap.high == from ? tap.t : T(0));
}

constexpr int64_t kChannels = 64;  // whose sums are kept at a time

}  // namespace

template <class X>
void upsample_forward(const UpsampleSize& s, const X* x, X* y) {
  using T = Compute<X>;
  const auto rows = taps<T>(s.h, s.scale_h, s.bilinear), columns = taps<T>(s.w, s.scale_w, s.bilinear);
  const int64_t oh = s.h * s.scale_h, ow = s.w * s.scale_w;
  parallel_for(s.n * oh, [&](int64_t row) {
    const Tap<T>& v = rows[static_cast<size_t>(row % oh)];
    const X* image = x + row / oh * s.h * s.w * s.c;
    for (int64_t ox = 0; ox < ow; ++ox) {
      const Tap<T>& u = columns[static_cast<size_t>(ox)];
      const X *a = image + (v.low * s.w + u.low) * s.c, *b = image + (v.low * s.w + u.high) * s.c,
              *c = image + (v.high * s.w + u.low) * s.c, *d = image + (v.high * s.w + u.high) * s.c;
      X* out = y + (row * ow + ox) * s.c;
      if (!s.bilinear) {
        std::copy(a, a + s.c, out);
        continue;
      }
      for (int64_t k = 0; k < s.c; ++k)
        out[k] = X((1 - v.t) * ((1 - u.t) * static_cast<T>(a[k]) + u.t * static_cast<T>(b[k])) +
                   v.t * ((1 - u.t) * static_cast<T>(c[k]) + u.t * static_cast<T>(d[k])));
    }
  });
}

template <class X>
void upsample_backward(const UpsampleSize& s, const X* dy, X* dx) {
  using T = Compute<X>;
  const auto rows = taps<T>(s.h, s.scale_h, s.bilinear), columns = taps<T>(s.w, s.scale_w, s.bilinear);
  const int64_t oh = s.h * s.scale_h, ow = s.w * s.scale_w;
  // The large pixels that may see a small one.
  auto range = [&](int64_t i, int64_t scale, int64_t size) {
    const int64_t reach = s.bilinear ? scale : 0;
    return std::pair(std::max<int64_t>(0, i * scale - reach), std::min(size, (i + 1) * scale + reach));
  };
  parallel_for(s.n * s.h, [&](int64_t row) {
    const int64_t iy = row % s.h;
    const X* image = dy + row / s.h * oh * ow * s.c;
    const auto [y0, y1] = range(iy, s.scale_h, oh);
    T sums[kChannels];
    for (int64_t ix = 0; ix < s.w; ++ix) {
      const auto [x0, x1] = range(ix, s.scale_w, ow);
      for (int64_t first = 0; first < s.c; first += kChannels) {
        const int64_t count = std::min(kChannels, s.c - first);
        std::fill(sums, sums + count, T(0));
        for (int64_t oy = y0; oy < y1; ++oy) {
          const T v = share(rows[static_cast<size_t>(oy)], iy);
          for (int64_t ox = x0; ox < x1; ++ox) {
            const T weight = v * share(columns[static_cast<size_t>(ox)], ix);
            if (weight == 0) continue;  // 0 times infinity is no number
            const X* g = image + (oy * ow + ox) * s.c + first;
            for (int64_t k = 0; k < count; ++k) sums[k] += weight * static_cast<T>(g[k]);
          }
        }
        X* out = dx + (row * s.w + ix) * s.c + first;
        for (int64_t k = 0; k < count; ++k) out[k] = X(sums[k]);
      }
    }
  });
}

#define SIGMA_INSTANTIATE(X)                                         \
  template void upsample_forward(const UpsampleSize&, const X*, X*); \
  template void upsample_backward(const UpsampleSize&, const X*, X*);
SIGMA_INSTANTIATE(float)
SIGMA_INSTANTIATE(double)
SIGMA_INSTANTIATE(bfloat16)
#undef SIGMA_INSTANTIATE

}  // namespace sigma::kernels
