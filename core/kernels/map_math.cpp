// Exponentials and logarithms. float32 and bfloat16 go through Highway's functions in float64, whose error of
// at most 4 ulp there is 1e-8 of a float32 ulp: the result is the exact one rounded, but for values that near
// to a tie. For float64 they would be less exact than the C library (0.5 ulp), which is called instead.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/kernels/map.h"
#include "core/kernels/simd_table.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/map_math.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// After them: it is included once a target.
#include <hwy/contrib/math/math-inl.h>

#ifndef SIGMA_MAP_MATH_TABLE
#define SIGMA_MAP_MATH_TABLE
namespace sigma::kernels {
template <class X>
struct MapMathTable {
  void (*map)(Unary op, int64_t n, const X* x, X* y);
};
}  // namespace sigma::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace sigma::kernels::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<double>;
using V = hn::Vec<D>;

// e^x. Beyond what a float32 can hold it is infinite or 0, which rounding makes of these.
HWY_INLINE V exp_of(D d, V x) {
  const V inside = hn::Min(hn::Max(x, hn::Set(d, -200.0)), hn::Set(d, 200.0));
  return hn::IfThenElse(x == x, hn::Exp(d, inside), x);
}

HWY_INLINE V log_of(D d, V x) {
  const V zero = hn::Zero(d), infinity = hn::Set(d, HUGE_VAL),
          nan = hn::Set(d, std::numeric_limits<double>::quiet_NaN());
  V y = hn::Log(d, x);
  y = hn::IfThenElse(x == infinity, x, y);
  y = hn::IfThenElse(x == zero, hn::Neg(infinity), y);
  return hn::IfThenElse(x >= zero, y, nan);
}

HWY_INLINE V tanh_of(D d, V x) {  // 1 - 2^-58 at 20
  const V inside = hn::Min(hn::Max(x, hn::Set(d, -20.0)), hn::Set(d, 20.0));
  return hn::IfThenElse(x == x, hn::CopySign(hn::Tanh(d, inside), x), x);
}

HWY_INLINE V sigmoid_of(D d, V x) {
  const V one = hn::Set(d, 1.0);
  return one / (one + exp_of(d, hn::Neg(x)));
}

// y = fn(x) for float32, by way of a buffer in float64. Rounding is left to the compiler: Highway's DemoteTo
// gives the largest number for infinity on some targets.
template <class Fn>
HWY_INLINE void each_wide(int64_t n, const float* x, float* y, Fn fn) {
  constexpr int64_t kBuffer = 256;
  HWY_ALIGN double wide[kBuffer];
  const D d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t i = 0; i < n; i += kBuffer) {
    const int64_t count = std::min(kBuffer, n - i);
    for (int64_t k = 0; k < count; ++k) wide[k] = static_cast<double>(x[i + k]);
    for (int64_t k = count; k % lanes != 0; ++k) wide[k] = 1;  // whole vectors are computed
    for (int64_t k = 0; k < count; k += lanes) hn::Store(fn(d, hn::Load(d, wide + k)), d, wide + k);
    for (int64_t k = 0; k < count; ++k) y[i + k] = static_cast<float>(wide[k]);
  }
}

void map_float(Unary op, int64_t n, const float* x, float* y) {
  if (op == Unary::exp) return each_wide(n, x, y, [](D d, V v) HWY_ATTR { return exp_of(d, v); });
  if (op == Unary::log) return each_wide(n, x, y, [](D d, V v) HWY_ATTR { return log_of(d, v); });
  if (op == Unary::tanh) return each_wide(n, x, y, [](D d, V v) HWY_ATTR { return tanh_of(d, v); });
  each_wide(n, x, y, [](D d, V v) HWY_ATTR { return sigmoid_of(d, v); });
}

void map_bfloat16(Unary op, int64_t n, const bfloat16* x, bfloat16* y) {
  constexpr int64_t kBuffer = 512;
  HWY_ALIGN float buffer[kBuffer];
  for (int64_t i = 0; i < n; i += kBuffer) {
    const int64_t count = std::min(kBuffer, n - i);
    for (int64_t k = 0; k < count; ++k) buffer[k] = static_cast<float>(x[i + k]);
    map_float(op, count, buffer, buffer);
    for (int64_t k = 0; k < count; ++k) y[i + k] = bfloat16(buffer[k]);
  }
}

SimdTables<MapMathTable, float, bfloat16> map_math_tables() { return {{map_float}, {map_bfloat16}}; }

}  // namespace
}  // namespace sigma::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sigma::kernels {
namespace {

HWY_EXPORT(map_math_tables);

double sigmoid(double x) {  // without overflow: exp of a non-positive number only
  const double e = std::exp(x < 0 ? x : -x);
  return (x < 0 ? e : 1) / (1 + e);
}

void map_double(Unary op, int64_t n, const double* x, double* y) {
  auto each = [&](auto fn) {
    for (int64_t i = 0; i < n; ++i) y[i] = fn(x[i]);
  };
  if (op == Unary::exp) return each([](double v) { return std::exp(v); });
  if (op == Unary::log) return each([](double v) { return std::log(v); });
  if (op == Unary::tanh) return each([](double v) { return std::tanh(v); });
  each(sigmoid);
}

// How many values a task takes: each costs as much as thirty additions.
template <class X, class Fn>
void in_tasks(int64_t n, const X* x, X* y, Fn fn) {
  constexpr int64_t kGrain = 4096;
  auto task = [&](int64_t i, int64_t end) {
    const KeepDenormals keep;
    fn(end - i, x + i, y + i);
  };
  if (n <= kGrain)
    task(0, n);
  else
    parallel_ranges(n, kGrain, task);
}

}  // namespace

template <class X>
void map_transcendental(Unary op, int64_t n, const X* x, X* y);

template <>
void map_transcendental(Unary op, int64_t n, const double* x, double* y) {
  in_tasks(n, x, y, [op](int64_t count, const double* from, double* to) { map_double(op, count, from, to); });
}
template <>
void map_transcendental(Unary op, int64_t n, const float* x, float* y) {
  auto kernel = MapMathTable<float>(HWY_DYNAMIC_DISPATCH(map_math_tables)()).map;
  in_tasks(n, x, y, [=](int64_t count, const float* from, float* to) { kernel(op, count, from, to); });
}
template <>
void map_transcendental(Unary op, int64_t n, const bfloat16* x, bfloat16* y) {
  auto kernel = MapMathTable<bfloat16>(HWY_DYNAMIC_DISPATCH(map_math_tables)()).map;
  in_tasks(n, x, y, [=](int64_t count, const bfloat16* from, bfloat16* to) { kernel(op, count, from, to); });
}

template <class X>
void power(int64_t n, const X* x, Compute<X> exponent, X* y) {
  if (exponent == 2) return map(Unary::square, n, x, y);
  in_tasks(n, x, y, [exponent](int64_t count, const X* from, X* to) {
    for (int64_t i = 0; i < count; ++i) to[i] = X(std::pow(static_cast<Compute<X>>(from[i]), exponent));
  });
}
template void power(int64_t, const float*, float, float*);
template void power(int64_t, const double*, double, double*);
template void power(int64_t, const bfloat16*, float, bfloat16*);

}  // namespace sigma::kernels
#endif
