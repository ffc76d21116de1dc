#include "core/kernels/pool.h"

#include <algorithm>
#include <type_traits>

#include "core/kernels/scratch.h"
#include "core/kernels/simd_table.h"
#include "core/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/pool.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "core/kernels/convert-inl.h"

#ifndef SIGMA_POOL_TABLE
#define SIGMA_POOL_TABLE
namespace sigma::kernels {
// One image each.
template <class T>
struct PoolTable {
  void (*max_forward)(const PoolSize& s, const T* x, T* y, int32_t* index);
  void (*max_backward)(const PoolSize& s, const T* dy, const int32_t* index, T* dx);
  void (*mean_forward)(const PoolSize& s, int mode, const T* x, T* y);
  void (*mean_backward)(const PoolSize& s, int mode, const T* dy, T* dx);
};
enum PoolMode { kIgnorePadding, kCountPadding, kAdaptive };

struct Window {
  int64_t y0, y1, x0, x1, count;
};
inline Window window_at(const PoolSize& s, int mode, int64_t oy, int64_t ox) {
  if (mode == kAdaptive) {
    Window v{oy * s.h / s.oh, ((oy + 1) * s.h + s.oh - 1) / s.oh, ox * s.w / s.ow,
             ((ox + 1) * s.w + s.ow - 1) / s.ow, 0};
    v.count = (v.y1 - v.y0) * (v.x1 - v.x0);
    return v;
  }
  int64_t y0 = oy * s.stride_h - s.pad_h, x0 = ox * s.stride_w - s.pad_w;
  int64_t y1 = std::min(y0 + s.kh, s.h + s.pad_h), x1 = std::min(x0 + s.kw, s.w + s.pad_w);
  int64_t padded = (y1 - y0) * (x1 - x0);
  Window v{std::max<int64_t>(y0, 0), std::min(y1, s.h), std::max<int64_t>(x0, 0), std::min(x1, s.w), 0};
  v.count = mode == kCountPadding ? padded : (v.y1 - v.y0) * (v.x1 - v.x0);
  return v;
}
}  // namespace sigma::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace sigma::kernels::HWY_NAMESPACE {
namespace {

// The usual case in float32, 2x2 windows that do not overlap and lie inside: maximum and position stay in
// registers, and the backward pass writes every pixel once.
template <class T>
bool is_halving(const PoolSize& s) {
  return !std::is_same_v<T, double> && s.kh == 2 && s.kw == 2 && s.stride_h == 2 && s.stride_w == 2 &&
         s.pad_h == 0 && s.pad_w == 0;
}

// Calls fn(pixel of the window's first corner, offset of the output, channel, mask of the channels that
// exist).
template <class D, class Fn>
HWY_INLINE void each_window(D d, const PoolSize& s, Fn fn) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t out = 0;
  for (int64_t oy = 0; oy < s.oh; ++oy)
    for (int64_t ox = 0; ox < s.ow; ++ox, out += s.c)
      for (int64_t c = 0; c < s.c; c += lanes)
        fn(2 * oy * s.w + 2 * ox, out, c, hn::FirstN(d, static_cast<size_t>(std::min(lanes, s.c - c))),
           std::min(lanes, s.c - c));
}

template <class X>
void halve(const PoolSize& s, const X* HWY_RESTRICT x, X* HWY_RESTRICT y, int32_t* HWY_RESTRICT index) {
  const hn::CappedTag<float, 16> d;
  const hn::RebindToSigned<decltype(d)> di;
  each_window(d, s, [&](int64_t pixel, int64_t out, int64_t c, auto some, int64_t count) HWY_ATTR {
    const X* corner = x + pixel * s.c + c;
    auto best = load_some(d, corner, some, count);
    auto at = hn::Set(di, static_cast<int32_t>(pixel));
    for (int64_t step : {int64_t{1}, s.w, s.w + 1}) {
      const auto v = load_some(d, corner + step * s.c, some, count);
      const auto take = hn::Or(v > best, hn::Not(v == v));  // a NaN wins
      best = hn::IfThenElse(take, v, best);
      at = hn::IfThenElse(hn::RebindMask(di, take), hn::Set(di, static_cast<int32_t>(pixel + step)), at);
    }
    store_some(best, d, y + out + c, some, count);
    store_some(at, di, index + out + c, hn::RebindMask(di, some), count);
  });
}

template <class X>
void halve_backward(const PoolSize& s, const X* HWY_RESTRICT dy, const int32_t* HWY_RESTRICT index,
                    X* HWY_RESTRICT dx) {
  const hn::CappedTag<float, 16> d;
  const hn::RebindToSigned<decltype(d)> di;
  if (s.h % 2 || s.w % 2)
    std::fill_n(dx, s.h * s.w * s.c, X(0));  // the last row or column belongs to no window
  each_window(d, s, [&](int64_t pixel, int64_t out, int64_t c, auto some, int64_t count) HWY_ATTR {
    const auto g = load_some(d, dy + out + c, some, count);
    const auto at = load_some(di, index + out + c, hn::RebindMask(di, some), count);
    for (int64_t step : {int64_t{0}, int64_t{1}, s.w, s.w + 1}) {
      const auto here = hn::RebindMask(d, at == hn::Set(di, static_cast<int32_t>(pixel + step)));
      store_some(hn::IfThenElseZero(here, g), d, dx + (pixel + step) * s.c + c, some, count);
    }
  });
}

template <class T>
void max_forward(const PoolSize& s, const T* __restrict x, T* __restrict y, int32_t* __restrict index) {
  if constexpr (!std::is_same_v<T, double>)
    if (is_halving<T>(s)) return halve(s, x, y, index);
  for (int64_t oy = 0; oy < s.oh; ++oy)
    for (int64_t ox = 0; ox < s.ow; ++ox, y += s.c, index += s.c) {
      Window v = window_at(s, kIgnorePadding, oy, ox);
      bool first = true;
      for (int64_t iy = v.y0; iy < v.y1; ++iy)
        for (int64_t ix = v.x0; ix < v.x1; ++ix, first = false) {
          const T* __restrict row = x + (iy * s.w + ix) * s.c;
          int32_t here = static_cast<int32_t>(iy * s.w + ix);
          if (first) {
            for (int64_t c = 0; c < s.c; ++c) {
              y[c] = row[c];
              index[c] = here;
            }
          } else {
            for (int64_t c = 0; c < s.c; ++c) {
              bool take = row[c] > y[c] || row[c] != row[c];
              y[c] = take ? row[c] : y[c];
              index[c] = take ? here : index[c];
            }
          }
        }
    }
}

// Where n sums that will be kept as T are added up: in place, or beside it where storage would round every
// one of them. A mean of 32 x 32 ones in bfloat16 would stop at 256.
struct SumScratch {};
template <class T>
Compute<T>* sums_of(T* out, int64_t n) {
  if constexpr (std::is_same_v<T, Compute<T>>)
    return out;
  else
    return scratch<SumScratch, Compute<T>>(n);
}
template <class T>
void keep_sums(const Compute<T>* __restrict sums, int64_t n, T* __restrict out) {
  if constexpr (!std::is_same_v<T, Compute<T>>)
    for (int64_t i = 0; i < n; ++i) out[i] = T(sums[i]);
}

template <class T>
void max_backward(const PoolSize& s, const T* __restrict dy, const int32_t* __restrict index,
                  T* __restrict dx) {
  if constexpr (!std::is_same_v<T, double>)
    if (is_halving<T>(s)) return halve_backward(s, dy, index, dx);
  const int64_t size = s.h * s.w * s.c;
  Compute<T>* __restrict sums = sums_of(dx, size);
  std::fill_n(sums, size, Compute<T>(0));
  for (int64_t p = 0; p < s.oh * s.ow; ++p, dy += s.c, index += s.c)
    for (int64_t c = 0; c < s.c; ++c) sums[index[c] * s.c + c] += dy[c];
  keep_sums(sums, size, dx);
}

template <class T>
void mean_forward(const PoolSize& s, int mode, const T* __restrict x, T* __restrict y) {
  for (int64_t oy = 0; oy < s.oh; ++oy)
    for (int64_t ox = 0; ox < s.ow; ++ox, y += s.c) {
      Window v = window_at(s, mode, oy, ox);
      const Compute<T> scale = Compute<T>(1) / static_cast<Compute<T>>(v.count);
      Compute<T>* __restrict sums = sums_of(y, s.c);
      for (int64_t c = 0; c < s.c; ++c) sums[c] = 0;
      for (int64_t iy = v.y0; iy < v.y1; ++iy)
        for (int64_t ix = v.x0; ix < v.x1; ++ix) {
          const T* __restrict row = x + (iy * s.w + ix) * s.c;
          for (int64_t c = 0; c < s.c; ++c) sums[c] += row[c];
        }
      for (int64_t c = 0; c < s.c; ++c) y[c] = T(sums[c] * scale);
    }
}

template <class T>
void mean_backward(const PoolSize& s, int mode, const T* __restrict dy, T* __restrict dx) {
  const int64_t size = s.h * s.w * s.c;
  Compute<T>* sums = sums_of(dx, size);
  std::fill_n(sums, size, Compute<T>(0));
  for (int64_t oy = 0; oy < s.oh; ++oy)
    for (int64_t ox = 0; ox < s.ow; ++ox, dy += s.c) {
      Window v = window_at(s, mode, oy, ox);
      const Compute<T> scale = Compute<T>(1) / static_cast<Compute<T>>(v.count);
      for (int64_t iy = v.y0; iy < v.y1; ++iy)
        for (int64_t ix = v.x0; ix < v.x1; ++ix) {
          Compute<T>* __restrict row = sums + (iy * s.w + ix) * s.c;
          for (int64_t c = 0; c < s.c; ++c) row[c] += dy[c] * scale;
        }
    }
  keep_sums(sums, size, dx);
}

template <class T>
PoolTable<T> table() {
  return {max_forward<T>, max_backward<T>, mean_forward<T>, mean_backward<T>};
}
SimdTables<PoolTable, float, double, bfloat16> pool_tables() {
  return {table<float>(), table<double>(), table<bfloat16>()};
}

}  // namespace
}  // namespace sigma::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sigma::kernels {
namespace {

HWY_EXPORT(pool_tables);
template <class T>
PoolTable<T> table() {
  return HWY_DYNAMIC_DISPATCH(pool_tables)();
}

// Calls fn(image, offset of its input, offset of its output) on the pool.
template <class Fn>
void each_image(const PoolSize& s, Fn&& fn) {
  int64_t in = s.h * s.w * s.c, out = s.oh * s.ow * s.c;
  parallel_ranges(s.n, std::max<int64_t>(1, 16384 / std::max<int64_t>(1, in)), [&](int64_t n0, int64_t n1) {
    for (int64_t i = n0; i < n1; ++i) fn(i * in, i * out);
  });
}

}  // namespace

template <class T>
void max_pool_forward(const PoolSize& s, const T* x, T* y, int32_t* index) {
  auto kernel = table<T>().max_forward;
  each_image(s, [&](int64_t in, int64_t out) { kernel(s, x + in, y + out, index + out); });
}

template <class T>
void max_pool_backward(const PoolSize& s, const T* dy, const int32_t* index, T* dx) {
  auto kernel = table<T>().max_backward;
  each_image(s, [&](int64_t in, int64_t out) { kernel(s, dy + out, index + out, dx + in); });
}

template <class T>
void avg_pool_forward(const PoolSize& s, bool count_padding, const T* x, T* y) {
  auto kernel = table<T>().mean_forward;
  each_image(s, [&](int64_t in, int64_t out) {
    kernel(s, count_padding ? kCountPadding : kIgnorePadding, x + in, y + out);
  });
}

template <class T>
void avg_pool_backward(const PoolSize& s, bool count_padding, const T* dy, T* dx) {
  auto kernel = table<T>().mean_backward;
  each_image(s, [&](int64_t in, int64_t out) {
    kernel(s, count_padding ? kCountPadding : kIgnorePadding, dy + out, dx + in);
  });
}

template <class T>
void adaptive_avg_pool_forward(const PoolSize& s, const T* x, T* y) {
  auto kernel = table<T>().mean_forward;
  each_image(s, [&](int64_t in, int64_t out) { kernel(s, kAdaptive, x + in, y + out); });
}

template <class T>
void adaptive_avg_pool_backward(const PoolSize& s, const T* dy, T* dx) {
  auto kernel = table<T>().mean_backward;
  each_image(s, [&](int64_t in, int64_t out) { kernel(s, kAdaptive, dy + out, dx + in); });
}

#define SIGMA_INSTANTIATE(T)                                                      \
  template void max_pool_forward(const PoolSize&, const T*, T*, int32_t*);        \
  template void max_pool_backward(const PoolSize&, const T*, const int32_t*, T*); \
  template void avg_pool_forward(const PoolSize&, bool, const T*, T*);            \
  template void avg_pool_backward(const PoolSize&, bool, const T*, T*);           \
  template void adaptive_avg_pool_forward(const PoolSize&, const T*, T*);         \
  template void adaptive_avg_pool_backward(const PoolSize&, const T*, T*);
SIGMA_INSTANTIATE(float)
SIGMA_INSTANTIATE(double)
SIGMA_INSTANTIATE(bfloat16)
#undef SIGMA_INSTANTIATE

}  // namespace sigma::kernels
#endif
