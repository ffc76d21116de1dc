#include "core/kernels/norm.h"

#include <algorithm>

#include "core/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/norm.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "core/kernels/convert-inl.h"

#ifndef SIGMA_NORM_TABLE
#define SIGMA_NORM_TABLE
namespace sigma::kernels {
// One range of rows each.
template <class X>
struct NormTable {
  using T = Compute<X>;
  void (*statistics)(const X* x, int64_t rows, int64_t channels, double* sum, double* sum2);
  // Adds such sums of `columns` columns, `rows` long and around x, to those of the channels around pivot.
  void (*fold_moments)(const X* x, const double* wide, int64_t rows, int64_t columns, int64_t channels,
                       const double* pivot, double* sum, double* sum2);
  void (*apply)(const X* x, int64_t rows, int64_t channels, NormAffine<T> f, const X* skip, bool relu, X* y);
  void (*backward_reduce)(const X* g, const X* x, int64_t rows, int64_t channels, const double* mean,
                          NormMask<X> mask, X* masked, double* sum_g, double* sum_gx);
  void (*backward_apply)(const X* g, const X* x, int64_t rows, int64_t channels, NormAffine<T> f,
                         NormMask<X> mask, const T* a, const T* b, const T* k, X* dx);
};
}  // namespace sigma::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace sigma::kernels::HWY_NAMESPACE {
namespace {

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

template <class X>
NormTable<X> table() {
  return {statistics<X>, fold_moments<X>, apply<X>, backward_reduce<X>, backward_apply<X>};
}
NormTable<float> norm_f32() { return table<float>(); }
NormTable<double> norm_f64() { return table<double>(); }
NormTable<bfloat16> norm_bf16() { return table<bfloat16>(); }

}  // namespace
}  // namespace sigma::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sigma::kernels {
namespace {

HWY_EXPORT(norm_f32);
HWY_EXPORT(norm_f64);
HWY_EXPORT(norm_bf16);
template <class X>
NormTable<X> table() {
  if constexpr (sizeof(X) == 2)
    return HWY_DYNAMIC_DISPATCH(norm_bf16)();
  else if constexpr (sizeof(X) == 4)
    return HWY_DYNAMIC_DISPATCH(norm_f32)();
  else
    return HWY_DYNAMIC_DISPATCH(norm_f64)();
}

constexpr int64_t kTaskElements = 16384;  // 64 KiB of float: a task's share stays in L2
constexpr int64_t kMaxTasks = 64;

// Several rows side by side count as one row of as many times the channels, so that few channels still fill
// whole vectors; per-channel constants are repeated, and sums are folded back.
int64_t repeats(int64_t channels) {
  for (int64_t r = 1; r <= 16; r *= 2)
    if (r * channels >= 64 && r * channels % 16 == 0) return r;
  return 1;
}

int64_t rows_per_task(int64_t rows, int64_t channels) {
  int64_t by_size = std::max<int64_t>(1, kTaskElements / std::max<int64_t>(1, channels));
  return round_up(std::max(by_size, (rows + kMaxTasks - 1) / kMaxTasks), 16);
}

struct ConstantScratch {};
struct SumScratch {};
struct PartScratch {};

template <class X>
double value_at(X x) {
  return static_cast<double>(static_cast<Compute<X>>(x));
}

// Copies of per-channel constants, `repeats` times each.
template <class V>
const V* repeated(const V* values, int64_t channels, int64_t times, V*& free) {
  V* start = free;
  for (int64_t t = 0; t < times; ++t) free = std::copy_n(values, channels, free);
  return start;
}

// Calls fn(row, rows, columns) for the wide part of a range of rows, then for the rest.
template <class Fn>
void wide_rows(int64_t r0, int64_t r1, int64_t channels, int64_t times, Fn&& fn) {
  int64_t wide = (r1 - r0) / times;
  if (wide > 0) fn(r0, wide, channels * times);
  if (r0 + wide * times < r1) fn(r0 + wide * times, r1 - r0 - wide * times, channels);
}

// sums[c] = sum over repeats of wide[t][c].
void fold(const double* wide, int64_t channels, int64_t times, double* sums) {
  for (int64_t c = 0; c < channels; ++c) sums[c] = wide[c];
  for (int64_t t = 1; t < times; ++t)
    for (int64_t c = 0; c < channels; ++c) sums[c] += wide[t * channels + c];
}

}  // namespace

int64_t norm_tasks(int64_t rows, int64_t channels) {
  int64_t per_task = rows_per_task(rows, channels);
  return (rows + per_task - 1) / per_task;
}

PartialMoments::PartialMoments(int64_t parts, int64_t channels)
    : parts_(parts),
      channels_(channels),
      sums_(scratch<PartScratch, double>(std::max<int64_t>(1, parts * (1 + 3 * channels)))) {}

template <class X>
void PartialMoments::add(int64_t part, const X* x, int64_t rows) {
  double *count = sums_ + part * (1 + 3 * channels_), *pivot = count + 1, *sum = pivot + channels_,
         *sum2 = sum + channels_;
  const NormTable<X> kernels = table<X>();
  auto kernel = kernels.statistics;
  auto fold = kernels.fold_moments;
  const int64_t times = rows >= 16 ? repeats(channels_) : 1, size = channels_ * times;
  double* wide = scratch<SumScratch, double>(4 * size);
  *count = static_cast<double>(rows);
  for (int64_t c = 0; c < channels_; ++c) pivot[c] = value_at(x[c]), sum[c] = sum2[c] = 0;
  // The kernel's pivot is the first row it sees: with rows side by side, each repeat has its own.
  wide_rows(0, rows, channels_, times, [&](int64_t r, int64_t count_rows, int64_t columns) {
    kernel(x + r * channels_, count_rows, columns, wide, wide + columns);
    fold(x + r * channels_, wide, count_rows, columns, channels_, pivot, sum, sum2);
  });
}

void PartialMoments::merge(double* mean, double* var) const {
  for (int64_t c = 0; c < channels_; ++c) mean[c] = var[c] = 0;
  const double* origin = sums_ + 1;  // means are kept relative to the first pivot, where they are small
  double total = 0;
  for (int64_t part = 0; part < parts_; ++part) {
    const double *count = sums_ + part * (1 + 3 * channels_), *pivot = count + 1, *sum = pivot + channels_,
                 *sum2 = sum + channels_;
    double n = *count, all = total + n;
    for (int64_t c = 0; c < channels_; ++c) {
      double shift = sum[c] / n, m2 = sum2[c] - sum[c] * shift;
      m2 = m2 < 0 ? 0 : m2;  // not max(): a NaN must stay a NaN
      double delta = pivot[c] - origin[c] + shift - mean[c];
      mean[c] += delta * (n / all);
      var[c] += m2 + delta * delta * (total * n / all);
    }
    total = all;
  }
  for (int64_t c = 0; c < channels_; ++c) mean[c] += origin[c], var[c] /= total;
}

template <class X>
void norm_statistics(const X* x, int64_t rows, int64_t channels, double* mean, double* var) {
  int64_t per_task = rows_per_task(rows, channels);
  PartialMoments parts(norm_tasks(rows, channels), channels);
  parallel_ranges(rows, per_task,
                  [&](int64_t r0, int64_t r1) { parts.add(r0 / per_task, x + r0 * channels, r1 - r0); });
  parts.merge(mean, var);
}

template <class X>
void norm_apply(const X* x, int64_t rows, int64_t channels, const NormAffine<Compute<X>>& affine,
                const X* skip, bool relu, X* y) {
  using T = Compute<X>;
  auto kernel = table<X>().apply;
  const int64_t times = repeats(channels), size = channels * times;
  T* free = scratch<ConstantScratch, T>(3 * size);
  NormAffine<T> f;
  f.mean = repeated(affine.mean, channels, times, free);
  f.scale = repeated(affine.scale, channels, times, free);
  f.shift = repeated(affine.shift, channels, times, free);
  parallel_ranges(rows, rows_per_task(rows, channels), [&](int64_t r0, int64_t r1) {
    wide_rows(r0, r1, channels, times, [&](int64_t r, int64_t count, int64_t columns) {
      int64_t at = r * channels;
      kernel(x + at, count, columns, f, skip ? skip + at : nullptr, relu, y + at);
    });
  });
}

template <class X>
void norm_backward_reduce(const X* g, const X* x, int64_t rows, int64_t channels, const double* mean,
                          const NormMask<X>& mask, X* masked, double* sum_g, double* sum_gx) {
  using T = Compute<X>;
  auto kernel = table<X>().backward_reduce;
  const int64_t times = repeats(channels), size = channels * times, per_task = rows_per_task(rows, channels);
  const int64_t tasks = norm_tasks(rows, channels);
  struct Constants {};
  T* free = scratch<ConstantScratch, T>(3 * size);
  double* free_mean = scratch<Constants, double>(size);
  const double* m = repeated(mean, channels, times, free_mean);
  NormAffine<T> f{};
  if (mask.affine)
    f = {repeated(mask.affine->mean, channels, times, free),
         repeated(mask.affine->scale, channels, times, free),
         repeated(mask.affine->shift, channels, times, free)};
  double* sums = scratch<PartScratch, double>(std::max<int64_t>(1, tasks * 2 * channels));
  parallel_ranges(rows, per_task, [&](int64_t r0, int64_t r1) {
    double *own = sums + r0 / per_task * 2 * channels, *wide = scratch<SumScratch, double>(4 * size);
    std::fill_n(own, 2 * channels, 0.0);
    wide_rows(r0, r1, channels, times, [&](int64_t r, int64_t count, int64_t columns) {
      int64_t at = r * channels;
      NormMask<X> here{mask.affine ? &f : nullptr, mask.y ? mask.y + at : nullptr};
      kernel(g + at, x + at, count, columns, m, here, masked ? masked + at : nullptr, wide, wide + columns);
      double* folded = wide + 2 * size;
      fold(wide, channels, columns / channels, folded);
      fold(wide + columns, channels, columns / channels, folded + channels);
      for (int64_t i = 0; i < 2 * channels; ++i) own[i] += folded[i];
    });
  });
  for (int64_t c = 0; c < channels; ++c) {
    sum_g[c] = sum_gx[c] = 0;
    for (int64_t t = 0; t < tasks; ++t) sum_g[c] += sums[2 * t * channels + c];
    for (int64_t t = 0; t < tasks; ++t) sum_gx[c] += sums[(2 * t + 1) * channels + c];
  }
}

template <class X>
void norm_backward_apply(const X* g, const X* x, int64_t rows, int64_t channels,
                         const NormAffine<Compute<X>>& xhat, const NormMask<X>& mask, const Compute<X>* a,
                         const Compute<X>* b, const Compute<X>* k, X* dx) {
  using T = Compute<X>;
  auto kernel = table<X>().backward_apply;
  const int64_t times = repeats(channels), size = channels * times;
  T* free = scratch<ConstantScratch, T>(9 * size);
  auto wide = [&](const T* values) { return repeated(values, channels, times, free); };
  const NormAffine<T> f{wide(xhat.mean), wide(xhat.scale), wide(xhat.shift)};
  const T *wa = wide(a), *wb = wide(b), *wk = wide(k);
  NormAffine<T> m{};
  if (mask.affine) m = {wide(mask.affine->mean), wide(mask.affine->scale), wide(mask.affine->shift)};
  const NormMask<X> wide_mask{mask.affine ? &m : nullptr, nullptr};
  parallel_ranges(rows, rows_per_task(rows, channels), [&](int64_t r0, int64_t r1) {
    wide_rows(r0, r1, channels, times, [&](int64_t r, int64_t count, int64_t columns) {
      int64_t at = r * channels;
      kernel(g + at, x + at, count, columns, f, wide_mask, wa, wb, wk, dx + at);
    });
  });
}

template <class T>
void merge_tree(T* parts, int64_t count, int64_t size) {
  parallel_ranges(size, 8192, [&](int64_t i0, int64_t i1) {
    for (int64_t step = 1; step < count; step *= 2)
      for (int64_t part = 0; part + step < count; part += 2 * step) {
        T* __restrict to = parts + part * size, * __restrict from = parts + (part + step) * size;
        for (int64_t i = i0; i < i1; ++i) to[i] += from[i];
      }
  });
}

#define SIGMA_INSTANTIATE(X)                                                                               \
  template void PartialMoments::add(int64_t, const X*, int64_t);                                           \
  template void norm_statistics(const X*, int64_t, int64_t, double*, double*);                             \
  template void norm_apply(const X*, int64_t, int64_t, const NormAffine<Compute<X>>&, const X*, bool, X*); \
  template void norm_backward_reduce(const X*, const X*, int64_t, int64_t, const double*,                  \
                                     const NormMask<X>&, X*, double*, double*);                            \
  template void norm_backward_apply(const X*, const X*, int64_t, int64_t, const NormAffine<Compute<X>>&,   \
                                    const NormMask<X>&, const Compute<X>*, const Compute<X>*,              \
                                    const Compute<X>*, X*);
SIGMA_INSTANTIATE(float)
SIGMA_INSTANTIATE(double)
SIGMA_INSTANTIATE(bfloat16)
#undef SIGMA_INSTANTIATE
template void merge_tree(float*, int64_t, int64_t);
template void merge_tree(double*, int64_t, int64_t);

}  // namespace sigma::kernels
#endif
