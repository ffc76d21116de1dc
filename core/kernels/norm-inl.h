// The loops of norm.cpp over one range of rows. Included once a SIMD target.
#if defined(SIGMA_KERNELS_NORM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SIGMA_KERNELS_NORM_INL_H_
#undef SIGMA_KERNELS_NORM_INL_H_
#else
#define SIGMA_KERNELS_NORM_INL_H_
#endif

#include <hwy/highway.h>

#include "core/kernels/convert-inl.h"
#include "core/kernels/norm.h"

HWY_BEFORE_NAMESPACE();
namespace sigma::kernels::HWY_NAMESPACE {

using DD = hn::CappedTag<double, 8>;
using VD = hn::Vec<DD>;
constexpr int64_t kL = static_cast<int64_t>(hn::MaxLanes(DD()));
constexpr bool kManyRegisters = HWY_TARGET == HWY_AVX3;

// As many values as a vector of float64 has lanes, in their own precision and widened.
template <class X>
using Narrow = hn::Rebind<Compute<X>, DD>;
HWY_INLINE VD widen(hn::Vec<Narrow<float>> v) { return hn::PromoteTo(DD(), v); }
HWY_INLINE VD widen(hn::Vec<Narrow<double>> v) { return v; }

inline float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline double fused(double a, double b, double c) { return __builtin_fma(a, b, c); }
// a * b + c rounded once, as the scalar code does: the mask of a ReLU must be the same wherever it is
// computed.
template <class D, class V>
HWY_INLINE V fused(D d, V a, V b, V c) {
  if constexpr (HWY_NATIVE_FMA) return hn::MulAdd(a, b, c);
  constexpr size_t lanes = hn::MaxLanes(D());  // MulAdd would round the product
  alignas(64) hn::TFromD<D> x[lanes], y[lanes], z[lanes];
  hn::Store(a, d, x), hn::Store(b, d, y), hn::Store(c, d, z);
  for (size_t i = 0; i < lanes; ++i) x[i] = fused(x[i], y[i], z[i]);
  return hn::Load(d, x);
}
template <class X>
inline double value_of(X x) {
  return static_cast<double>(static_cast<Compute<X>>(x));
}

// Sums of S vectors of columns, held in registers while the rows pass.
template <int S, class X>
HWY_INLINE void statistics_strip(const X* HWY_RESTRICT x, int64_t rows, int64_t stride,
                                 const X* HWY_RESTRICT pivot, double* HWY_RESTRICT sum,
                                 double* HWY_RESTRICT sum2) {
  const DD dd;
  const Narrow<X> d;
  VD p[S], s[S], q[S];
#pragma GCC unroll 8
  for (int i = 0; i < S; ++i) p[i] = widen(load(d, pivot + i * kL)), s[i] = q[i] = hn::Zero(dd);
  for (int64_t r = 0; r < rows; ++r, x += stride) {
#pragma GCC unroll 8
    for (int i = 0; i < S; ++i) {
      const VD v = widen(load(d, x + i * kL)) - p[i];
      s[i] = s[i] + v;
      q[i] = hn::MulAdd(v, v, q[i]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < S; ++i) hn::StoreU(s[i], dd, sum + i * kL), hn::StoreU(q[i], dd, sum2 + i * kL);
}

// Around the first row.
template <class X>
void statistics(const X* x, int64_t rows, int64_t channels, double* sum, double* sum2) {
  constexpr int S = kManyRegisters ? 8 : 2;
  int64_t c = 0;
  for (; c + S * kL <= channels; c += S * kL)
    statistics_strip<S>(x + c, rows, channels, x + c, sum + c, sum2 + c);
  for (; c + kL <= channels; c += kL) statistics_strip<1>(x + c, rows, channels, x + c, sum + c, sum2 + c);
  for (; c < channels; ++c) {
    double s = 0, q = 0, p = value_of(x[c]);
    for (int64_t r = 0; r < rows; ++r) {
      double v = value_of(x[r * channels + c]) - p;
      s += v, q = fused(v, v, q);
    }
    sum[c] = s, sum2[c] = q;
  }
}

template <class X>
void fold_moments(const X* __restrict x, const double* __restrict wide, int64_t rows, int64_t columns,
                  int64_t channels, const double* __restrict pivot, double* __restrict sum,
                  double* __restrict sum2) {
  const double n = static_cast<double>(rows);
  for (int64_t i = 0; i < columns; i += channels)
    for (int64_t c = 0; c < channels; ++c) {
      double d = value_of(x[i + c]) - pivot[c], first = wide[i + c];
      sum[c] += first + n * d;
      sum2[c] += wide[columns + i + c] + d * (2 * first + n * d);
    }
}

template <class X>
void apply(const X* __restrict x, int64_t rows, int64_t channels, NormAffine<Compute<X>> f, const X* skip,
           bool relu, X* __restrict y) {
  using T = Compute<X>;
  const T* __restrict mean = f.mean, * __restrict scale = f.scale, * __restrict shift = f.shift;
  auto finish = [relu](T v) { return X(relu && v < T(0) ? T(0) : v); };  // so that a NaN stays a NaN
  for (int64_t r = 0; r < rows; ++r, x += channels, y += channels) {
    if (skip) {
      const X* __restrict add = skip + r * channels;
      for (int64_t c = 0; c < channels; ++c)
        y[c] = finish(fused(static_cast<T>(x[c]) - mean[c], scale[c], shift[c]) + static_cast<T>(add[c]));
    } else {
      for (int64_t c = 0; c < channels; ++c)
        y[c] = finish(fused(static_cast<T>(x[c]) - mean[c], scale[c], shift[c]));
    }
  }
}

enum class Mask { none, affine, output };

template <int S, Mask kMask, class X>
HWY_INLINE void reduce_strip(const X* HWY_RESTRICT g, const X* HWY_RESTRICT x, int64_t rows, int64_t stride,
                             const double* HWY_RESTRICT mean, const NormAffine<Compute<X>>& f,
                             const X* HWY_RESTRICT y, X* HWY_RESTRICT masked, double* HWY_RESTRICT sum_g,
                             double* HWY_RESTRICT sum_gx) {
  const DD dd;
  const Narrow<X> d;
  using VT = hn::Vec<Narrow<X>>;
  const VT zero = hn::Zero(d);
  VD m[S], s[S], q[S];
  VT fm[S], fs[S], fb[S];
#pragma GCC unroll 8
  for (int i = 0; i < S; ++i) {
    m[i] = hn::LoadU(dd, mean + i * kL), s[i] = q[i] = hn::Zero(dd);
    if constexpr (kMask == Mask::affine) {
      fm[i] = hn::LoadU(d, f.mean + i * kL);
      fs[i] = hn::LoadU(d, f.scale + i * kL);
      fb[i] = hn::LoadU(d, f.shift + i * kL);
    }
  }
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t at = r * stride;
#pragma GCC unroll 8
    for (int i = 0; i < S; ++i) {
      VT grad = load(d, g + at + i * kL);
      const VT value = load(d, x + at + i * kL);
      if constexpr (kMask == Mask::affine)
        grad = hn::IfThenElseZero(fused(d, value - fm[i], fs[i], fb[i]) > zero, grad);
      if constexpr (kMask == Mask::output) grad = hn::IfThenElseZero(load(d, y + at + i * kL) > zero, grad);
      if (masked) store(grad, d, masked + at + i * kL);
      const VD wide = widen(grad);
      s[i] = s[i] + wide;
      q[i] = hn::MulAdd(wide, widen(value) - m[i], q[i]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < S; ++i) hn::StoreU(s[i], dd, sum_g + i * kL), hn::StoreU(q[i], dd, sum_gx + i * kL);
}

template <Mask kMask, class X>
void reduce(const X* g, const X* x, int64_t rows, int64_t channels, const double* mean,
            const NormMask<X>& mask, X* masked, double* sum_g, double* sum_gx) {
  using T = Compute<X>;
  constexpr int S = kManyRegisters ? 8 : 2;
  int64_t c = 0;
  auto strip = [&](auto width) {
    NormAffine<T> f{};
    if (mask.affine) f = {mask.affine->mean + c, mask.affine->scale + c, mask.affine->shift + c};
    reduce_strip<width.value, kMask>(g + c, x + c, rows, channels, mean + c, f, mask.y ? mask.y + c : nullptr,
                                     masked ? masked + c : nullptr, sum_g + c, sum_gx + c);
  };
  for (; c + S * kL <= channels; c += S * kL) strip(std::integral_constant<int, S>());
  for (; c + kL <= channels; c += kL) strip(std::integral_constant<int, 1>());
  for (; c < channels; ++c) {
    double s = 0, q = 0;
    for (int64_t r = 0; r < rows; ++r) {
      int64_t at = r * channels + c;
      T grad = static_cast<T>(g[at]), value = static_cast<T>(x[at]);
      if (kMask == Mask::affine)
        grad = fused(value - mask.affine->mean[c], mask.affine->scale[c], mask.affine->shift[c]) > T(0)
                   ? grad
                   : T(0);
      if (kMask == Mask::output) grad = static_cast<T>(mask.y[at]) > T(0) ? grad : T(0);
      if (masked) masked[at] = X(grad);
      s += static_cast<double>(grad);
      q = fused(static_cast<double>(grad), static_cast<double>(value) - mean[c], q);
    }
    sum_g[c] = s, sum_gx[c] = q;
  }
}

template <class X>
void backward_reduce(const X* g, const X* x, int64_t rows, int64_t channels, const double* mean,
                     NormMask<X> mask, X* masked, double* sum_g, double* sum_gx) {
  auto kernel = mask.y        ? reduce<Mask::output, X>
                : mask.affine ? reduce<Mask::affine, X>
                              : reduce<Mask::none, X>;
  kernel(g, x, rows, channels, mean, mask, masked, sum_g, sum_gx);
}

template <class X>
void backward_apply(const X* g, const X* __restrict x, int64_t rows, int64_t channels,
                    NormAffine<Compute<X>> f, NormMask<X> mask, const Compute<X>* __restrict a,
                    const Compute<X>* __restrict b, const Compute<X>* __restrict k, X* dx) {
  using T = Compute<X>;
  const T* __restrict mean = f.mean, * __restrict scale = f.scale, * __restrict shift = f.shift;
  for (int64_t r = 0; r < rows; ++r, x += channels, g += channels, dx += channels) {
    if (mask.affine) {
      const T *__restrict m = mask.affine->mean, *__restrict s = mask.affine->scale, *__restrict h = mask.affine->shift;
#pragma GCC ivdep
      for (int64_t c = 0; c < channels; ++c) {  // dx may be g
        T value = static_cast<T>(x[c]),
          grad = fused(value - m[c], s[c], h[c]) > T(0) ? static_cast<T>(g[c]) : T(0);
        T xhat = fused(value - mean[c], scale[c], shift[c]);
        dx[c] = X(fused(a[c], grad, -b[c]) - k[c] * xhat);
      }
    } else {
#pragma GCC ivdep
      for (int64_t c = 0; c < channels; ++c) {  // dx may be g
        T xhat = fused(static_cast<T>(x[c]) - mean[c], scale[c], shift[c]);
        dx[c] = X(fused(a[c], static_cast<T>(g[c]), -b[c]) - k[c] * xhat);
      }
    }
  }
}

}  // namespace sigma::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
