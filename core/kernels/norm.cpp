#include "core/kernels/norm.h"

#include <algorithm>

#include "core/kernels/simd_table.h"
#include "core/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/norm.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "core/kernels/norm-inl.h"

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

template <class X>
NormTable<X> table() {
  return {statistics<X>, fold_moments<X>, apply<X>, backward_reduce<X>, backward_apply<X>};
}
SimdTables<NormTable, float, double, bfloat16> norm_tables() {
  return {table<float>(), table<double>(), table<bfloat16>()};
}

}  // namespace
}  // namespace sigma::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sigma::kernels {
namespace {

HWY_EXPORT(norm_tables);
template <class X>
NormTable<X> table() {
  return HWY_DYNAMIC_DISPATCH(norm_tables)();
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

}  // namespace sigma::kernels
#endif
