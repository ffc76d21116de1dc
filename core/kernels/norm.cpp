#include "core/kernels/norm.h"

#include <algorithm>

#include "core/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/norm.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#ifndef SIGMA_NORM_TABLE
#define SIGMA_NORM_TABLE
namespace sigma::kernels {
// One range of rows each; channel loops have unit stride and no carried dependence, so they vectorise as
// written.
template <class T>
struct NormTable {
  void (*statistics)(const T* x, const T* pivot, int64_t rows, int64_t channels, double* sum, double* sum2);
  void (*apply)(const T* x, int64_t rows, int64_t channels, const T* mean, const T* scale, const T* shift,
                T* y);
  void (*backward_reduce)(const T* g, const T* x, int64_t rows, int64_t channels, const T* mean,
                          const T* scale, const T* shift, double* sum_g, double* sum_gx);
  void (*backward_apply)(const T* g, const T* x, int64_t rows, int64_t channels, const T* mean,
                         const T* scale, const T* shift, const T* a, const T* b, const T* c, T* dx);
};
}  // namespace sigma::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace sigma::kernels::HWY_NAMESPACE {
namespace {

inline float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline double fused(double a, double b, double c) { return __builtin_fma(a, b, c); }

template <class T>
void statistics(const T* __restrict x, const T* __restrict pivot, int64_t rows, int64_t channels,
                double* __restrict sum, double* __restrict sum2) {
  for (int64_t c = 0; c < channels; ++c) sum[c] = sum2[c] = 0;
  for (int64_t r = 0; r < rows; ++r, x += channels)
    for (int64_t c = 0; c < channels; ++c) {
      double d = static_cast<double>(x[c]) - static_cast<double>(pivot[c]);
      sum[c] += d;
      sum2[c] += d * d;
    }
}

template <class T>
void apply(const T* __restrict x, int64_t rows, int64_t channels, const T* __restrict mean,
           const T* __restrict scale, const T* __restrict shift, T* __restrict y) {
  for (int64_t r = 0; r < rows; ++r, x += channels, y += channels)
    for (int64_t c = 0; c < channels; ++c) y[c] = fused(x[c] - mean[c], scale[c], shift[c]);
}

template <class T>
void backward_reduce(const T* __restrict g, const T* __restrict x, int64_t rows, int64_t channels,
                     const T* __restrict mean, const T* __restrict scale, const T* __restrict shift,
                     double* __restrict sum_g, double* __restrict sum_gx) {
  for (int64_t c = 0; c < channels; ++c) sum_g[c] = sum_gx[c] = 0;
  for (int64_t r = 0; r < rows; ++r, x += channels, g += channels)
    for (int64_t c = 0; c < channels; ++c) {
      T xhat = fused(x[c] - mean[c], scale[c], shift[c]);
      sum_g[c] += static_cast<double>(g[c]);
      sum_gx[c] += static_cast<double>(g[c]) * static_cast<double>(xhat);
    }
}

template <class T>
void backward_apply(const T* __restrict g, const T* __restrict x, int64_t rows, int64_t channels,
                    const T* __restrict mean, const T* __restrict scale, const T* __restrict shift,
                    const T* __restrict a, const T* __restrict b, const T* __restrict k, T* __restrict dx) {
  for (int64_t r = 0; r < rows; ++r, x += channels, g += channels, dx += channels)
    for (int64_t c = 0; c < channels; ++c) {
      T xhat = fused(x[c] - mean[c], scale[c], shift[c]);
      dx[c] = fused(a[c], g[c], -b[c]) - k[c] * xhat;
    }
}

template <class T>
NormTable<T> table() {
  return {statistics<T>, apply<T>, backward_reduce<T>, backward_apply<T>};
}
NormTable<float> norm_f32() { return table<float>(); }
NormTable<double> norm_f64() { return table<double>(); }

}  // namespace
}  // namespace sigma::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sigma::kernels {
namespace {

HWY_EXPORT(norm_f32);
HWY_EXPORT(norm_f64);
template <class T>
NormTable<T> table() {
  if constexpr (sizeof(T) == 4)
    return HWY_DYNAMIC_DISPATCH(norm_f32)();
  else
    return HWY_DYNAMIC_DISPATCH(norm_f64)();
}

constexpr int64_t kTaskElements = 16384;  // 64 KiB of float: a task's share stays in L2
constexpr int64_t kMaxTasks = 64;

}  // namespace

int64_t norm_rows_per_task(int64_t rows, int64_t channels) {
  int64_t by_size = std::max<int64_t>(1, kTaskElements / std::max<int64_t>(1, channels));
  return std::max(by_size, (rows + kMaxTasks - 1) / kMaxTasks);
}

int64_t norm_tasks(int64_t rows, int64_t channels) {
  int64_t per_task = norm_rows_per_task(rows, channels);
  return (rows + per_task - 1) / per_task;
}

int64_t norm_scratch_size(int64_t rows, int64_t channels) {
  return 2 * norm_tasks(rows, channels) * channels;
}

template <class T>
void norm_statistics(const T* x, int64_t rows, int64_t channels, double* scratch, double* mean, double* var) {
  auto kernel = table<T>().statistics;
  int64_t per_task = norm_rows_per_task(rows, channels);
  parallel_ranges(rows, per_task, [&](int64_t r0, int64_t r1) {
    double* sums = scratch + r0 / per_task * 2 * channels;
    kernel(x + r0 * channels, x, r1 - r0, channels, sums, sums + channels);
  });
  int64_t tasks = norm_tasks(rows, channels);
  double count = static_cast<double>(rows);
  for (int64_t c = 0; c < channels; ++c) {
    double sum = 0, sum2 = 0;
    for (int64_t t = 0; t < tasks; ++t) {
      sum += scratch[2 * t * channels + c];
      sum2 += scratch[(2 * t + 1) * channels + c];
    }
    double shift = sum / count;
    mean[c] = static_cast<double>(x[c]) + shift;
    double v = (sum2 - sum * shift) / count;
    var[c] = v < 0 ? 0 : v;  // not max(): a NaN must stay a NaN
  }
}

template <class T>
void norm_apply(const T* x, int64_t rows, int64_t channels, const T* mean, const T* scale, const T* shift,
                T* y) {
  auto kernel = table<T>().apply;
  parallel_ranges(rows, norm_rows_per_task(rows, channels), [&](int64_t r0, int64_t r1) {
    kernel(x + r0 * channels, r1 - r0, channels, mean, scale, shift, y + r0 * channels);
  });
}

template <class T>
void norm_backward_reduce(const T* g, const T* x, int64_t rows, int64_t channels, const T* mean,
                          const T* scale, const T* shift, double* scratch, double* sum_g, double* sum_gx) {
  auto kernel = table<T>().backward_reduce;
  int64_t per_task = norm_rows_per_task(rows, channels);
  parallel_ranges(rows, per_task, [&](int64_t r0, int64_t r1) {
    double* sums = scratch + r0 / per_task * 2 * channels;
    kernel(g + r0 * channels, x + r0 * channels, r1 - r0, channels, mean, scale, shift, sums,
           sums + channels);
  });
  int64_t tasks = norm_tasks(rows, channels);
  for (int64_t c = 0; c < channels; ++c) {
    sum_g[c] = sum_gx[c] = 0;
    for (int64_t t = 0; t < tasks; ++t) {
      sum_g[c] += scratch[2 * t * channels + c];
      sum_gx[c] += scratch[(2 * t + 1) * channels + c];
    }
  }
}

template <class T>
void norm_backward_apply(const T* g, const T* x, int64_t rows, int64_t channels, const T* mean,
                         const T* scale, const T* shift, const T* a, const T* b, const T* c, T* dx) {
  auto kernel = table<T>().backward_apply;
  parallel_ranges(rows, norm_rows_per_task(rows, channels), [&](int64_t r0, int64_t r1) {
    int64_t at = r0 * channels;
    kernel(g + at, x + at, r1 - r0, channels, mean, scale, shift, a, b, c, dx + at);
  });
}

#define SIGMA_INSTANTIATE(T)                                                                             \
  template void norm_statistics(const T*, int64_t, int64_t, double*, double*, double*);                  \
  template void norm_apply(const T*, int64_t, int64_t, const T*, const T*, const T*, T*);                \
  template void norm_backward_reduce(const T*, const T*, int64_t, int64_t, const T*, const T*, const T*, \
                                     double*, double*, double*);                                         \
  template void norm_backward_apply(const T*, const T*, int64_t, int64_t, const T*, const T*, const T*,  \
                                    const T*, const T*, const T*, T*);
SIGMA_INSTANTIATE(float)
SIGMA_INSTANTIATE(double)
#undef SIGMA_INSTANTIATE

}  // namespace sigma::kernels
#endif
