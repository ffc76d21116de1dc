// Plain twins of the kernels: one loop nest each, no blocking, no threads, no SIMD. Tests compare the kernels
// with them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "core/kernels/conv.h"
#include "core/kernels/gemm.h"
#include "core/kernels/pool.h"

namespace sigma::kernels::reference {

template <class T>
void gemm(Trans ta, Trans tb, int64_t m, int64_t n, int64_t k, T alpha, const T* a, int64_t lda, const T* b,
          int64_t ldb, T beta, T* c, int64_t ldc) {
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      T sum = 0;
      for (int64_t p = 0; p < k; ++p)
        sum += (ta == Trans::yes ? a[p * lda + i] : a[i * lda + p]) *
               (tb == Trans::yes ? b[j * ldb + p] : b[p * ldb + j]);
      c[i * ldc + j] = alpha * sum + (beta == 0 ? T(0) : beta * c[i * ldc + j]);
    }
}

// Calls fn(x index, weight index, y index) for every multiply-accumulate of a convolution.
template <class Fn>
void each_conv_term(const ConvSize& s, Fn&& fn) {
  int64_t ig = s.c_in / s.groups, og = s.c_out / s.groups;
  for (int64_t n = 0; n < s.n; ++n)
    for (int64_t oy = 0; oy < s.oh; ++oy)
      for (int64_t ox = 0; ox < s.ow; ++ox)
        for (int64_t o = 0; o < s.c_out; ++o)
          for (int64_t ky = 0; ky < s.kh; ++ky)
            for (int64_t kx = 0; kx < s.kw; ++kx) {
              int64_t iy = oy * s.stride_h - s.pad_h + ky * s.dilation_h;
              int64_t ix = ox * s.stride_w - s.pad_w + kx * s.dilation_w;
              if (iy < 0 || iy >= s.h || ix < 0 || ix >= s.w) continue;
              for (int64_t c = 0; c < ig; ++c)
                fn(((n * s.h + iy) * s.w + ix) * s.c_in + o / og * ig + c,
                   ((o * s.kh + ky) * s.kw + kx) * ig + c, ((n * s.oh + oy) * s.ow + ox) * s.c_out + o);
            }
}

template <class T>
void conv_forward(const ConvSize& s, const T* x, const T* weight, const T* bias, T* y) {
  for (int64_t i = 0; i < s.n * s.pixels_out() * s.c_out; ++i) y[i] = bias ? bias[i % s.c_out] : T(0);
  each_conv_term(s, [&](int64_t ix, int64_t iw, int64_t iy) { y[iy] += x[ix] * weight[iw]; });
}
template <class T>
void conv_backward_data(const ConvSize& s, const T* dy, const T* weight, T* dx) {
  std::fill_n(dx, s.n * s.pixels_in() * s.c_in, T(0));
  each_conv_term(s, [&](int64_t ix, int64_t iw, int64_t iy) { dx[ix] += dy[iy] * weight[iw]; });
}
template <class T>
void conv_backward_weight(const ConvSize& s, const T* dy, const T* x, T* dweight, T* dbias) {
  std::fill_n(dweight, s.c_out * s.taps(), T(0));
  each_conv_term(s, [&](int64_t ix, int64_t iw, int64_t iy) { dweight[iw] += dy[iy] * x[ix]; });
  if (!dbias) return;
  std::fill_n(dbias, s.c_out, T(0));
  for (int64_t i = 0; i < s.n * s.pixels_out() * s.c_out; ++i) dbias[i % s.c_out] += dy[i];
}

// Mean and biased variance of each channel, two passes in long double.
template <class T>
void norm_statistics(const T* x, int64_t rows, int64_t channels, double* mean, double* var) {
  for (int64_t c = 0; c < channels; ++c) {
    long double sum = 0, sum2 = 0;
    for (int64_t r = 0; r < rows; ++r) sum += x[r * channels + c];
    long double m = sum / rows;
    for (int64_t r = 0; r < rows; ++r) sum2 += (x[r * channels + c] - m) * (x[r * channels + c] - m);
    mean[c] = static_cast<double>(m);
    var[c] = static_cast<double>(sum2 / rows);
  }
}

template <class T>
void max_pool_forward(const PoolSize& s, const T* x, T* y, int32_t* index) {
  for (int64_t n = 0; n < s.n; ++n)
    for (int64_t oy = 0; oy < s.oh; ++oy)
      for (int64_t ox = 0; ox < s.ow; ++ox)
        for (int64_t c = 0; c < s.c; ++c) {
          int64_t best = -1;
          for (int64_t iy = oy * s.stride_h - s.pad_h; iy < oy * s.stride_h - s.pad_h + s.kh; ++iy)
            for (int64_t ix = ox * s.stride_w - s.pad_w; ix < ox * s.stride_w - s.pad_w + s.kw; ++ix) {
              if (iy < 0 || iy >= s.h || ix < 0 || ix >= s.w) continue;
              T v = x[((n * s.h + iy) * s.w + ix) * s.c + c];
              if (best < 0 || v > x[(n * s.h * s.w + best) * s.c + c] || std::isnan(v)) best = iy * s.w + ix;
            }
          int64_t out = ((n * s.oh + oy) * s.ow + ox) * s.c + c;
          y[out] = x[(n * s.h * s.w + best) * s.c + c];
          index[out] = static_cast<int32_t>(best);
        }
}

}  // namespace sigma::kernels::reference
