#include "core/kernels/elementwise.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/kernels/scratch.h"
#include "core/kernels/simd_table.h"
#include "core/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/elementwise.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#ifndef SIGMA_ELEMENTWISE_TABLE
#define SIGMA_ELEMENTWISE_TABLE
namespace sigma::kernels {
template <class X>
struct ElementwiseTable {
  using T = Compute<X>;
  void (*forward)(Activation kind, int64_t n, const X* x, T slope, X* y);
  void (*backward)(Activation kind, int64_t n, const X* g, const X* saved, T slope, X* dx);
  void (*add)(int64_t n, const X* a, const X* b, X* y);
  void (*scale)(int64_t n, const X* x, T factor, X* y);
  void (*convert)(int64_t n, const X* from, T* to);
  void (*round)(int64_t n, const T* from, X* to);
  void (*add_rows)(int64_t rows, int64_t n, const T* from, const T* bias, bool relu, X* y);
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

// y = f(x) with x and y in storage; written so that the loop vectorises for every storage type.
template <class X, class Fn>
inline void each(int64_t n, const X* __restrict x, X* __restrict y, Fn fn) {
  for (int64_t i = 0; i < n; ++i) y[i] = X(fn(static_cast<Compute<X>>(x[i])));
}
template <class X, class Fn>
inline void each(int64_t n, const X* __restrict a, const X* __restrict b, X* __restrict y, Fn fn) {
  for (int64_t i = 0; i < n; ++i) y[i] = X(fn(static_cast<Compute<X>>(a[i]), static_cast<Compute<X>>(b[i])));
}

template <class X>
void forward(Activation kind, int64_t n, const X* x, Compute<X> slope, X* y) {
  using T = Compute<X>;
  switch (kind) {
    case Activation::relu:  // written so that a NaN stays a NaN
      return each(n, x, y, [](T v) { return v < T(0) ? T(0) : v; });
    case Activation::leaky_relu:
      return each(n, x, y, [slope](T v) { return v < T(0) ? v * slope : v; });
    case Activation::sigmoid:
      return each(n, x, y, [](T v) { return sigmoid(v); });
    case Activation::tanh:
      return each(n, x, y, [](T v) { return std::tanh(v); });
    case Activation::gelu:
      return each(n, x, y, [](T v) { return T(0.5) * v * (T(1) + std::erf(v * T(kInvSqrt2))); });
    case Activation::silu:
      return each(n, x, y, [](T v) { return v * sigmoid(v); });
  }
}

template <class X>
void backward(Activation kind, int64_t n, const X* g, const X* saved, Compute<X> slope, X* dx) {
  using T = Compute<X>;
  switch (kind) {
    case Activation::relu:
      return each(n, g, saved, dx, [](T d, T s) { return s > T(0) ? d : T(0); });
    case Activation::leaky_relu:
      return each(n, g, saved, dx, [slope](T d, T s) { return s > T(0) ? d : d * slope; });
    case Activation::sigmoid:
      return each(n, g, saved, dx, [](T d, T s) { return d * s * (T(1) - s); });
    case Activation::tanh:
      return each(n, g, saved, dx, [](T d, T s) { return d * (T(1) - s * s); });
    case Activation::gelu:
      return each(n, g, saved, dx, [](T d, T s) {
        T cdf = T(0.5) * (T(1) + std::erf(s * T(kInvSqrt2)));
        T pdf = T(kInvSqrt2Pi) * std::exp(T(-0.5) * s * s);
        return d * (cdf + s * pdf);
      });
    case Activation::silu:
      return each(n, g, saved, dx, [](T d, T s) {
        const T sig = sigmoid(s);
        return d * (sig + s * sig * (T(1) - sig));
      });
  }
}

template <class X>
void add_range(int64_t n, const X* a, const X* b, X* y) {
  using T = Compute<X>;
  for (int64_t i = 0; i < n; ++i) y[i] = X(static_cast<T>(a[i]) + static_cast<T>(b[i]));
}

template <class X>
void scale_range(int64_t n, const X* x, Compute<X> factor, X* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = X(static_cast<Compute<X>>(x[i]) * factor);
}

template <class X>
void convert_range(int64_t n, const X* __restrict from, Compute<X>* __restrict to) {
  for (int64_t i = 0; i < n; ++i) to[i] = static_cast<Compute<X>>(from[i]);
}

template <class X>
void round_range(int64_t n, const Compute<X>* __restrict from, X* __restrict to) {
  for (int64_t i = 0; i < n; ++i) to[i] = X(from[i]);
}

template <class X>
void add_rows_range(int64_t rows, int64_t n, const Compute<X>* from, const Compute<X>* __restrict bias,
                    bool relu, X* y) {
  using T = Compute<X>;
  for (int64_t r = 0; r < rows; ++r, from += n, y += n)
    for (int64_t i = 0; i < n; ++i) {
      T v = bias ? from[i] + bias[i] : from[i];
      y[i] = X(relu && v < T(0) ? T(0) : v);
    }
}

template <class X>
ElementwiseTable<X> table() {
  return {forward<X>,       backward<X>,    add_range<X>,     scale_range<X>,
          convert_range<X>, round_range<X>, add_rows_range<X>};
}
SimdTables<ElementwiseTable, float, double, bfloat16> elementwise_tables() {
  return {table<float>(), table<double>(), table<bfloat16>()};
}

}  // namespace
}  // namespace sigma::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sigma::kernels {
namespace {

HWY_EXPORT(elementwise_tables);
template <class X>
ElementwiseTable<X> table() {
  return HWY_DYNAMIC_DISPATCH(elementwise_tables)();
}

constexpr int64_t kGrain = 32768;  // elements of a task

}  // namespace

template <class X>
void activation_forward(Activation kind, int64_t n, const X* x, Compute<X> slope, X* y) {
  auto kernel = table<X>().forward;
  parallel_ranges(n, kGrain, [&](int64_t i, int64_t end) { kernel(kind, end - i, x + i, slope, y + i); });
}

template <class X>
void activation_backward(Activation kind, int64_t n, const X* g, const X* saved, Compute<X> slope, X* dx) {
  auto kernel = table<X>().backward;
  parallel_ranges(n, kGrain,
                  [&](int64_t i, int64_t end) { kernel(kind, end - i, g + i, saved + i, slope, dx + i); });
}

template <class X>
void add(int64_t n, const X* a, const X* b, X* y) {
  auto kernel = table<X>().add;
  parallel_ranges(n, kGrain, [&](int64_t i, int64_t end) { kernel(end - i, a + i, b + i, y + i); });
}

template <class X>
void scale(int64_t n, const X* x, Compute<X> factor, X* y) {
  auto kernel = table<X>().scale;
  parallel_ranges(n, kGrain, [&](int64_t i, int64_t end) { kernel(end - i, x + i, factor, y + i); });
}

template <class X>
void convert(int64_t n, const X* from, Compute<X>* to) {
  auto kernel = table<X>().convert;
  parallel_ranges(n, kGrain, [&](int64_t i, int64_t end) { kernel(end - i, from + i, to + i); });
}

template <class X>
void round(int64_t n, const Compute<X>* from, X* to) {
  auto kernel = table<X>().round;
  parallel_ranges(n, kGrain, [&](int64_t i, int64_t end) { kernel(end - i, from + i, to + i); });
}

template <class X>
void add_rows(int64_t rows, int64_t n, const Compute<X>* from, const Compute<X>* bias, bool relu, X* y) {
  auto kernel = table<X>().add_rows;
  parallel_ranges(rows, std::max<int64_t>(1, kGrain / std::max<int64_t>(1, n)),
                  [&](int64_t r, int64_t end) { kernel(end - r, n, from + r * n, bias, relu, y + r * n); });
}

#define SIGMA_INSTANTIATE(X)                                                                  \
  template void activation_forward(Activation, int64_t, const X*, Compute<X>, X*);            \
  template void activation_backward(Activation, int64_t, const X*, const X*, Compute<X>, X*); \
  template void add(int64_t, const X*, const X*, X*);                                         \
  template void scale(int64_t, const X*, Compute<X>, X*);                                     \
  template void convert(int64_t, const X*, Compute<X>*);                                      \
  template void round(int64_t, const Compute<X>*, X*);                                        \
  template void add_rows(int64_t, int64_t, const Compute<X>*, const Compute<X>*, bool, X*);
SIGMA_INSTANTIATE(float)
SIGMA_INSTANTIATE(double)
SIGMA_INSTANTIATE(bfloat16)
#undef SIGMA_INSTANTIATE

}  // namespace sigma::kernels
#endif
