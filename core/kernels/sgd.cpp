#include "core/kernels/sgd.h"

#include "core/kernels/simd_table.h"
#include "core/kernels/update.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/sgd.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#ifndef SIGMA_SGD_TABLE
#define SIGMA_SGD_TABLE
namespace sigma::kernels {
template <class T>
struct SgdTable {
  void (*update)(int64_t n, const SgdStep& step, const T* g, T* velocity, T* p);
};
}  // namespace sigma::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace sigma::kernels::HWY_NAMESPACE {
namespace {

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

SimdTables<SgdTable, float, double> sgd_tables() { return {{sgd<float>}, {sgd<double>}}; }

}  // namespace
}  // namespace sigma::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sigma::kernels {
namespace {

HWY_EXPORT(sgd_tables);
template <class T>
SgdTable<T> table() {
  return HWY_DYNAMIC_DISPATCH(sgd_tables)();
}

}  // namespace

template <class T>
void sgd_update(const SgdParameter<T>* parameters, int64_t count) {
  auto kernel = table<T>().update;
  for_each_range(parameters, count, [&](const SgdParameter<T>& q, int64_t begin, int64_t end) {
    kernel(end - begin, q.step, q.g + begin, q.v ? q.v + begin : nullptr, q.p + begin);
  });
}

template void sgd_update(const SgdParameter<float>*, int64_t);
template void sgd_update(const SgdParameter<double>*, int64_t);

}  // namespace sigma::kernels
#endif
