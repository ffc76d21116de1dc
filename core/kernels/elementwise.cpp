#include "core/kernels/elementwise.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/elementwise.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#ifndef SIGMA_ELEMENTWISE_TABLE
#define SIGMA_ELEMENTWISE_TABLE
namespace sigma::kernels {
template <class T>
struct ElementwiseTable {
  void (*forward)(Activation kind, int64_t n, const T* x, T slope, T* y);
  void (*backward)(Activation kind, int64_t n, const T* g, const T* saved, T slope, T* dx);
  void (*add)(int64_t n, const T* a, const T* b, T* y);
  void (*scale)(int64_t n, const T* x, T factor, T* y);
  void (*sgd)(int64_t n, const SgdStep& step, const T* g, T* velocity, T* p);
  void (*column_sums)(const T* x, int64_t rows, int64_t n, double* sums);
  double (*sum_of_squares)(const T* x, int64_t n);
};
inline constexpr double kInvSqrt2 = 0.70710678118654752440;
inline constexpr double kInvSqrt2Pi = 0.39894228040143267794;
}  // namespace sigma::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace sigma::kernels::HWY_NAMESPACE {
namespace {

// sigmoid without overflow: exp of a non-positive number only.
template <class T>
inline T sigmoid(T x) {
  T e = std::exp(x < 0 ? x : -x);
  return (x < 0 ? e : T(1)) / (T(1) + e);
}

template <class T>
void forward(Activation kind, int64_t n, const T* __restrict x, T slope, T* __restrict y) {
  switch (kind) {
    case Activation::relu:  // written so that a NaN stays a NaN
      for (int64_t i = 0; i < n; ++i) y[i] = x[i] < T(0) ? T(0) : x[i];
      break;
    case Activation::leaky_relu:
      for (int64_t i = 0; i < n; ++i) y[i] = x[i] < T(0) ? x[i] * slope : x[i];
      break;
    case Activation::sigmoid:
      for (int64_t i = 0; i < n; ++i) y[i] = sigmoid(x[i]);
      break;
    case Activation::tanh:
      for (int64_t i = 0; i < n; ++i) y[i] = std::tanh(x[i]);
      break;
    case Activation::gelu:
      for (int64_t i = 0; i < n; ++i) y[i] = T(0.5) * x[i] * (T(1) + std::erf(x[i] * T(kInvSqrt2)));
      break;
  }
}

template <class T>
void backward(Activation kind, int64_t n, const T* __restrict g, const T* __restrict s, T slope,
              T* __restrict dx) {
  switch (kind) {
    case Activation::relu:
      for (int64_t i = 0; i < n; ++i) dx[i] = s[i] > T(0) ? g[i] : T(0);
      break;
    case Activation::leaky_relu:
      for (int64_t i = 0; i < n; ++i) dx[i] = s[i] > T(0) ? g[i] : g[i] * slope;
      break;
    case Activation::sigmoid:
      for (int64_t i = 0; i < n; ++i) dx[i] = g[i] * s[i] * (T(1) - s[i]);
      break;
    case Activation::tanh:
      for (int64_t i = 0; i < n; ++i) dx[i] = g[i] * (T(1) - s[i] * s[i]);
      break;
    case Activation::gelu:
      for (int64_t i = 0; i < n; ++i) {
        T cdf = T(0.5) * (T(1) + std::erf(s[i] * T(kInvSqrt2)));
        T pdf = T(kInvSqrt2Pi) * std::exp(T(-0.5) * s[i] * s[i]);
        dx[i] = g[i] * (cdf + s[i] * pdf);
      }
      break;
  }
}

template <class T>
void add_range(int64_t n, const T* a, const T* b, T* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = a[i] + b[i];
}

template <class T>
void scale_range(int64_t n, const T* x, T factor, T* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] * factor;
}

template <class T>
void sgd(int64_t n, const SgdStep& step, const T* __restrict g, T* __restrict v, T* __restrict p) {
  const T lr = static_cast<T>(step.lr), momentum = static_cast<T>(step.momentum);
  const T keep = static_cast<T>(1 - step.dampening), decay = static_cast<T>(step.weight_decay);
  if (step.momentum == 0) {
    for (int64_t i = 0; i < n; ++i) p[i] -= lr * (g[i] + decay * p[i]);
  } else if (step.first) {
    const T factor = step.nesterov ? 1 + momentum : T(1);
    for (int64_t i = 0; i < n; ++i) {
      T d = g[i] + decay * p[i];
      v[i] = d;
      p[i] -= lr * (factor * d);
    }
  } else if (step.nesterov) {
    for (int64_t i = 0; i < n; ++i) {
      T d = g[i] + decay * p[i];
      v[i] = momentum * v[i] + keep * d;
      p[i] -= lr * (d + momentum * v[i]);
    }
  } else {
    for (int64_t i = 0; i < n; ++i) {
      T d = g[i] + decay * p[i];
      v[i] = momentum * v[i] + keep * d;
      p[i] -= lr * v[i];
    }
  }
}

template <class T>
void column_sums_range(const T* __restrict x, int64_t rows, int64_t n, double* __restrict sums) {
  for (int64_t i = 0; i < n; ++i) sums[i] = 0;
  for (int64_t r = 0; r < rows; ++r, x += n)
    for (int64_t i = 0; i < n; ++i) sums[i] += static_cast<double>(x[i]);
}

template <class T>
double sum_of_squares_range(const T* __restrict x, int64_t n) {
  double lanes[8] = {};
  for (int64_t i = 0; i + 8 <= n; i += 8)
    for (int64_t k = 0; k < 8; ++k) lanes[k] += static_cast<double>(x[i + k]) * static_cast<double>(x[i + k]);
  double sum =
      ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
  for (int64_t i = n / 8 * 8; i < n; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return sum;
}

template <class T>
ElementwiseTable<T> table() {
  return {forward<T>, backward<T>,          add_range<T>,           scale_range<T>,
          sgd<T>,     column_sums_range<T>, sum_of_squares_range<T>};
}
ElementwiseTable<float> elementwise_f32() { return table<float>(); }
ElementwiseTable<double> elementwise_f64() { return table<double>(); }

}  // namespace
}  // namespace sigma::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sigma::kernels {
namespace {

HWY_EXPORT(elementwise_f32);
HWY_EXPORT(elementwise_f64);
template <class T>
ElementwiseTable<T> table() {
  if constexpr (sizeof(T) == 4)
    return HWY_DYNAMIC_DISPATCH(elementwise_f32)();
  else
    return HWY_DYNAMIC_DISPATCH(elementwise_f64)();
}

constexpr int64_t kGrain = 32768;  // elements of a task

}  // namespace

template <class T>
void activation_forward(Activation kind, int64_t n, const T* x, T slope, T* y) {
  auto kernel = table<T>().forward;
  parallel_ranges(n, kGrain, [&](int64_t i, int64_t end) { kernel(kind, end - i, x + i, slope, y + i); });
}

template <class T>
void activation_backward(Activation kind, int64_t n, const T* g, const T* saved, T slope, T* dx) {
  auto kernel = table<T>().backward;
  parallel_ranges(n, kGrain,
                  [&](int64_t i, int64_t end) { kernel(kind, end - i, g + i, saved + i, slope, dx + i); });
}

template <class T>
void add(int64_t n, const T* a, const T* b, T* y) {
  auto kernel = table<T>().add;
  parallel_ranges(n, kGrain, [&](int64_t i, int64_t end) { kernel(end - i, a + i, b + i, y + i); });
}

template <class T>
void scale(int64_t n, const T* x, T factor, T* y) {
  auto kernel = table<T>().scale;
  parallel_ranges(n, kGrain, [&](int64_t i, int64_t end) { kernel(end - i, x + i, factor, y + i); });
}

template <class T>
void add_rows(int64_t rows, int64_t n, const T* bias, T* y) {
  auto kernel = table<T>().add;
  parallel_ranges(rows, std::max<int64_t>(1, kGrain / std::max<int64_t>(1, n)), [&](int64_t r, int64_t end) {
    for (; r < end; ++r) kernel(n, y + r * n, bias, y + r * n);
  });
}

template <class T>
void sgd_update(int64_t n, const SgdStep& step, const T* g, T* velocity, T* p) {
  auto kernel = table<T>().sgd;
  parallel_ranges(n, kGrain, [&](int64_t i, int64_t end) {
    kernel(end - i, step, g + i, velocity ? velocity + i : nullptr, p + i);
  });
}

template <class T>
void column_sums(const T* x, int64_t rows, int64_t n, T* y) {
  auto kernel = table<T>().column_sums;
  int64_t per_task = std::max({int64_t{1}, kGrain / std::max<int64_t>(1, n), (rows + 63) / 64});
  int64_t tasks = std::max<int64_t>(1, (rows + per_task - 1) / per_task);
  std::vector<double> partial(static_cast<size_t>(tasks * n), 0.0);
  parallel_ranges(rows, per_task, [&](int64_t r, int64_t end) {
    kernel(x + r * n, end - r, n, partial.data() + r / per_task * n);
  });
  for (int64_t i = 0; i < n; ++i) {
    double sum = 0;
    for (int64_t t = 0; t < tasks; ++t) sum += partial[static_cast<size_t>(t * n + i)];
    y[i] = static_cast<T>(sum);
  }
}

template <class T>
double sum_of_squares(const T* x, int64_t n) {
  auto kernel = table<T>().sum_of_squares;
  std::vector<double> partial(static_cast<size_t>((n + kGrain - 1) / kGrain), 0.0);
  parallel_ranges(n, kGrain, [&](int64_t i, int64_t end) {
    partial[static_cast<size_t>(i / kGrain)] = kernel(x + i, end - i);
  });
  double sum = 0;
  for (double p : partial) sum += p;
  return sum;
}

template <class T>
bool all_finite(const T* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    if (!std::isfinite(x[i])) return false;
  return true;
}

#define SIGMA_INSTANTIATE(T)                                                         \
  template void activation_forward(Activation, int64_t, const T*, T, T*);            \
  template void activation_backward(Activation, int64_t, const T*, const T*, T, T*); \
  template void add(int64_t, const T*, const T*, T*);                                \
  template void scale(int64_t, const T*, T, T*);                                     \
  template void add_rows(int64_t, int64_t, const T*, T*);                            \
  template void sgd_update(int64_t, const SgdStep&, const T*, T*, T*);               \
  template void column_sums(const T*, int64_t, int64_t, T*);                         \
  template double sum_of_squares(const T*, int64_t);                                 \
  template bool all_finite(const T*, int64_t);
SIGMA_INSTANTIATE(float)
SIGMA_INSTANTIATE(double)
#undef SIGMA_INSTANTIATE

}  // namespace sigma::kernels
#endif
