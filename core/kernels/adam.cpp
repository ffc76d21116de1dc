#include "core/kernels/adam.h"

#include <cmath>

#include "core/kernels/simd_table.h"
#include "core/kernels/update.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/adam.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#ifndef SIGMA_ADAM_TABLE
#define SIGMA_ADAM_TABLE
namespace sigma::kernels {
template <class T>
struct AdamTable {
  void (*update)(int64_t n, const AdamStep& step, const T* g, T* m, T* v, T* w, T* p);
};
}  // namespace sigma::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace sigma::kernels::HWY_NAMESPACE {
namespace {

template <bool kLargest, class T>
void adam_range(int64_t n, const AdamStep& step, const T* __restrict g, T* __restrict m, T* __restrict v,
                [[maybe_unused]] T* __restrict w, T* __restrict p) {
  const T size = static_cast<T>(step.step_size), root = static_cast<T>(step.root);
  const T beta1 = static_cast<T>(step.beta1), rest1 = static_cast<T>(1 - step.beta1);
  const T beta2 = static_cast<T>(step.beta2), rest2 = static_cast<T>(1 - step.beta2);
  const T epsilon = static_cast<T>(step.epsilon), decay = static_cast<T>(step.weight_decay);
  const T shrink = static_cast<T>(step.shrink);
  for (int64_t i = 0; i < n; ++i) {
    const T x = p[i] * shrink;
    const T d = g[i] + decay * x;
    const T mean = beta1 * m[i] + rest1 * d;
    T square = beta2 * v[i] + rest2 * (d * d);
    m[i] = mean;
    v[i] = square;
    if constexpr (kLargest) w[i] = square = w[i] < square ? square : w[i];
    p[i] = x - size * (mean / (std::sqrt(square) / root + epsilon));
  }
}

template <class T>
void adam(int64_t n, const AdamStep& step, const T* g, T* m, T* v, T* w, T* p) {
  if (w)
    adam_range<true>(n, step, g, m, v, w, p);
  else
    adam_range<false>(n, step, g, m, v, w, p);
}

SimdTables<AdamTable, float, double> adam_tables() { return {{adam<float>}, {adam<double>}}; }

}  // namespace
}  // namespace sigma::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sigma::kernels {
namespace {

HWY_EXPORT(adam_tables);
template <class T>
AdamTable<T> table() {
  return HWY_DYNAMIC_DISPATCH(adam_tables)();
}

}  // namespace

template <class T>
void adam_update(const AdamParameter<T>* parameters, int64_t count) {
  auto kernel = table<T>().update;
  for_each_range(parameters, count, [&](const AdamParameter<T>& q, int64_t begin, int64_t end) {
    kernel(end - begin, q.step, q.g + begin, q.m + begin, q.v + begin, q.w ? q.w + begin : nullptr,
           q.p + begin);
  });
}

template void adam_update(const AdamParameter<float>*, int64_t);
template void adam_update(const AdamParameter<double>*, int64_t);

}  // namespace sigma::kernels
#endif
