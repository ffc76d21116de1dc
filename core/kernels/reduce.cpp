#include "core/kernels/reduce.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <vector>

#include "core/kernels/scratch.h"
#include "core/kernels/simd_table.h"
#include "core/kernels/walk.h"
#include "core/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/reduce.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#ifndef SIGMA_REDUCE_TABLE
#define SIGMA_REDUCE_TABLE
namespace sigma::kernels {
template <class X>
struct SumTable {
  SumOf<X> (*run)(const X* x, int64_t n);                                             // sum of n values
  void (*columns)(const X* x, int64_t rows, int64_t n, int64_t row, SumOf<X>* sums);  // of n columns
};
template <class X>
struct ExtremeTable {
  X (*run)(bool largest, const X* x, int64_t n);
  void (*columns)(bool largest, const X* x, int64_t rows, int64_t n, int64_t row, X* y);
};
template <class X>
struct ScanTable {
  double (*sum_of_squares)(const X* x, int64_t n);
  bool (*all_finite)(const X* x, int64_t n);
};
}  // namespace sigma::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace sigma::kernels::HWY_NAMESPACE {
namespace {

// A fixed number of partial sums, whatever the vectors' width.
template <class X>
SumOf<X> run_sum(const X* x, int64_t n) {
  constexpr int64_t kLanes = 16;
  using S = SumOf<X>;
  if (n < kLanes) {  // rows of a few classes
    S total = 0;
    for (int64_t k = 0; k < n; ++k) total += static_cast<S>(static_cast<Compute<X>>(x[k]));
    return total;
  }
  S lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int64_t k = 0; k < kLanes; ++k) lanes[k] += static_cast<S>(static_cast<Compute<X>>(x[i + k]));
  for (int64_t k = 0; i + k < n; ++k) lanes[k] += static_cast<S>(static_cast<Compute<X>>(x[i + k]));
  for (int64_t half = kLanes / 2; half > 0; half /= 2)
    for (int64_t k = 0; k < half; ++k) lanes[k] += lanes[k + half];
  return lanes[0];
}

template <class X>
void columns_sum(const X* __restrict x, int64_t rows, int64_t n, int64_t row, SumOf<X>* __restrict sums) {
  using S = SumOf<X>;
  for (int64_t i = 0; i < n; ++i) sums[i] = 0;
  for (int64_t r = 0; r < rows; ++r, x += row)
    for (int64_t i = 0; i < n; ++i) sums[i] += static_cast<S>(static_cast<Compute<X>>(x[i]));
}

template <bool largest, class T>
inline bool beats(T value, T best) {
  return (largest ? value > best : value < best) || value != value;
}

template <bool largest, class X>
X run_extreme_of(const X* x, int64_t n) {
  using T = Compute<X>;
  constexpr int64_t kLanes = 16;
  if (n < kLanes) {
    T best = static_cast<T>(x[0]);
    for (int64_t k = 1; k < n; ++k)
      best = beats<largest>(static_cast<T>(x[k]), best) ? static_cast<T>(x[k]) : best;
    return X(best);
  }
  T lanes[kLanes];
  for (int64_t k = 0; k < kLanes; ++k) lanes[k] = static_cast<T>(x[k]);
  int64_t i = kLanes;
  for (; i + kLanes <= n; i += kLanes)
    for (int64_t k = 0; k < kLanes; ++k) {
      const T v = static_cast<T>(x[i + k]);
      lanes[k] = beats<largest>(v, lanes[k]) ? v : lanes[k];
    }
  for (; i < n; ++i)
    lanes[0] = beats<largest>(static_cast<T>(x[i]), lanes[0]) ? static_cast<T>(x[i]) : lanes[0];
  T best = lanes[0];
  for (int64_t k = 1; k < kLanes; ++k) best = beats<largest>(lanes[k], best) ? lanes[k] : best;
  return X(best);
}
template <class X>
X run_extreme(bool largest, const X* x, int64_t n) {
  return largest ? run_extreme_of<true>(x, n) : run_extreme_of<false>(x, n);
}

template <bool largest, class X>
void columns_extreme_of(const X* __restrict x, int64_t rows, int64_t n, int64_t row, X* __restrict y) {
  using T = Compute<X>;
  for (int64_t i = 0; i < n; ++i) y[i] = x[i];
  for (int64_t r = 1; r < rows; ++r)
    for (int64_t i = 0; i < n; ++i) {
      const X v = x[r * row + i];
      y[i] = beats<largest>(static_cast<T>(v), static_cast<T>(y[i])) ? v : y[i];
    }
}
template <class X>
void columns_extreme(bool largest, const X* x, int64_t rows, int64_t n, int64_t row, X* y) {
  largest ? columns_extreme_of<true>(x, rows, n, row, y) : columns_extreme_of<false>(x, rows, n, row, y);
}

// The order of summation that clipped training runs depend on.
template <class X>
double sum_of_squares_range(const X* __restrict x, int64_t n) {
  double lanes[8] = {};
  for (int64_t i = 0; i + 8 <= n; i += 8)
    for (int64_t k = 0; k < 8; ++k) {
      const double v = static_cast<double>(static_cast<Compute<X>>(x[i + k]));
      lanes[k] += v * v;
    }
  double sum =
      ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
  for (int64_t i = n / 8 * 8; i < n; ++i) {
    const double v = static_cast<double>(static_cast<Compute<X>>(x[i]));
    sum += v * v;
  }
  return sum;
}

template <class X>
bool all_finite_range(const X* x, int64_t n) {
  int bad = 0;  // x - x is 0 for finite x and NaN for others
  for (int64_t i = 0; i < n; ++i) {
    const Compute<X> v = static_cast<Compute<X>>(x[i]);
    bad |= static_cast<int>(!(v - v == 0));
  }
  return bad == 0;
}

template <class X>
SumTable<X> sums() {
  return {run_sum<X>, columns_sum<X>};
}
template <class X>
ExtremeTable<X> extremes_of() {
  return {run_extreme<X>, columns_extreme<X>};
}
template <class X>
ScanTable<X> scans() {
  return {sum_of_squares_range<X>, all_finite_range<X>};
}
SimdTables<SumTable, float, double, bfloat16, uint8_t, int64_t> sum_tables() {
  return {sums<float>(), sums<double>(), sums<bfloat16>(), sums<uint8_t>(), sums<int64_t>()};
}
SimdTables<ExtremeTable, float, double, bfloat16, uint8_t, int64_t> extreme_tables() {
  return {extremes_of<float>(), extremes_of<double>(), extremes_of<bfloat16>(), extremes_of<uint8_t>(),
          extremes_of<int64_t>()};
}
SimdTables<ScanTable, float, double, bfloat16> scan_tables() {
  return {scans<float>(), scans<double>(), scans<bfloat16>()};
}

}  // namespace
}  // namespace sigma::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sigma::kernels {
namespace {

HWY_EXPORT(sum_tables);
HWY_EXPORT(extreme_tables);
HWY_EXPORT(scan_tables);
template <class X>
SumTable<X> sum_table() {
  return HWY_DYNAMIC_DISPATCH(sum_tables)();
}
template <class X>
ExtremeTable<X> extreme_table() {
  return HWY_DYNAMIC_DISPATCH(extreme_tables)();
}
template <class X>
ScanTable<X> scan_table() {
  return HWY_DYNAMIC_DISPATCH(scan_tables)();
}

constexpr int64_t kGrain = 32768;  // elements of a task
constexpr int64_t kWidth = 4096;   // columns of a leaf

// A reduction is cut into leaves: pieces of `length` of the `size` elements, each over `width` columns. The
// lengths depend on the sizes alone.
struct Leaves {
  int64_t length, count;    // along the reduced dimension
  int64_t blocks;           // of kWidth columns, across
  int64_t items, per_task;  // leaves in all, and those of one task

  Leaves(int64_t outer, int64_t size, int64_t inner) {
    length = inner == 1 ? 4096 : std::max<int64_t>(64, 4096 / inner);
    count = std::max<int64_t>(1, (size + length - 1) / length);
    blocks = (inner + kWidth - 1) / kWidth;
    items = outer * count * blocks;
    per_task =
        std::max<int64_t>(1, kGrain / std::max<int64_t>(1, std::min(size, length) * std::min(inner, kWidth)));
  }
};

// Calls fn(outer index, first k, number of k, first column, columns, leaf) for every leaf.
template <class Fn>
void each_leaf(const Leaves& l, int64_t size, int64_t inner, Fn&& fn) {
  auto task = [&](int64_t begin, int64_t end) {
    const KeepDenormals keep;
    for (int64_t item = begin; item < end; ++item) {
      const int64_t column = item % l.blocks * kWidth;
      const int64_t leaf = item / l.blocks % l.count;
      const int64_t k = leaf * l.length;
      fn(item / l.blocks / l.count, k, std::min(l.length, size - k), column, std::min(kWidth, inner - column),
         leaf);
    }
  };
  if (l.items <= l.per_task)
    task(0, l.items);
  else
    parallel_ranges(l.items, l.per_task, task);
}

// Calls fn(o) for every o, a task for as many as bring it work.
template <class Fn>
void each_outer(const Leaves& l, int64_t outer, int64_t inner, Fn&& fn) {
  parallel_ranges(outer, std::max<int64_t>(1, kGrain / std::max<int64_t>(1, l.count * inner)),
                  [&](int64_t begin, int64_t end) {
                    const KeepDenormals keep;
                    for (int64_t o = begin; o < end; ++o) fn(o);
                  });
}

template <class T>
bool replaces(bool largest, T value, T best) {
  return best == best && (value != value || (largest ? value > best : value < best));
}

// The first k from `k` on at which x[k][0] is `extreme`; there is one.
template <class X>
int64_t first_equal(const X* x, int64_t row, int64_t k, X extreme) {
  const auto wanted = static_cast<Compute<X>>(extreme);
  for (;; ++k) {
    const auto v = static_cast<Compute<X>>(x[k * row]);
    if (v == wanted || (v != v && wanted != wanted)) return k;
  }
}

// partial[0] += partial[1] + ... as a binary tree: `count` rows of n.
template <class S>
void merge(S* partial, int64_t count, int64_t n) {
  for (int64_t step = 1; step < count; step *= 2)
    for (int64_t leaf = 0; leaf + step < count; leaf += 2 * step)
      for (int64_t i = 0; i < n; ++i) partial[leaf * n + i] += partial[(leaf + step) * n + i];
}

}  // namespace

template <class X, class Y>
void sum(int64_t outer, int64_t size, int64_t inner, const X* x, Y* y) {
  using S = SumOf<X>;
  if (outer == 0 || inner == 0) return;
  struct Partial {};
  const SumTable<X> table = sum_table<X>();
  const Leaves l(outer, size, inner);
  S* partial = l.count == 1 ? nullptr : scratch<Partial, S>(outer * l.count * inner);
  each_leaf(l, size, inner, [&](int64_t o, int64_t k, int64_t rows, int64_t column, int64_t n, int64_t leaf) {
    const X* from = x + (o * size + k) * inner + column;
    S here[kWidth];
    S* to = partial ? partial + (o * l.count + leaf) * inner + column : here;
    if (inner == 1)
      *to = table.run(from, rows);
    else
      table.columns(from, rows, n, inner, to);
    if (!partial) std::transform(to, to + n, y + o * inner + column, [](S v) { return Y(v); });
  });
  if (!partial) return;
  each_outer(l, outer, inner, [&](int64_t o) {
    S* p = partial + o * l.count * inner;
    merge(p, l.count, inner);
    std::transform(p, p + inner, y + o * inner, [](S v) { return Y(v); });
  });
}

template <class X>
void extremes(bool largest, int64_t outer, int64_t size, int64_t inner, const X* x, X* y, int64_t* index) {
  using T = Compute<X>;
  if (outer == 0 || inner == 0) return;
  struct Partial {};
  const ExtremeTable<X> table = extreme_table<X>();
  const Leaves l(outer, size, inner);
  X* partial = scratch<Partial, X>(outer * l.count * inner);
  each_leaf(l, size, inner, [&](int64_t o, int64_t k, int64_t rows, int64_t column, int64_t n, int64_t leaf) {
    const X* from = x + (o * size + k) * inner + column;
    X* to = partial + (o * l.count + leaf) * inner + column;
    if (inner == 1)
      *to = table.run(largest, from, rows);
    else
      table.columns(largest, from, rows, n, inner, to);
  });
  each_outer(l, outer, inner, [&](int64_t o) {
    const X* p = partial + o * l.count * inner;
    for (int64_t i = 0; i < inner; ++i) {
      int64_t best = 0;  // the first leaf that has the extreme
      for (int64_t leaf = 1; leaf < l.count; ++leaf)
        if (replaces(largest, static_cast<T>(p[leaf * inner + i]), static_cast<T>(p[best * inner + i])))
          best = leaf;
      const X extreme = p[best * inner + i];
      if (y) y[o * inner + i] = extreme;
      if (index)
        index[o * inner + i] = first_equal(x + o * size * inner + i, inner, best * l.length, extreme);
    }
  });
}

template <class X>
void column_sums(const X* x, int64_t rows, int64_t n, Compute<X>* y) {
  auto kernel = sum_table<X>().columns;
  int64_t per_task = std::max({int64_t{1}, kGrain / std::max<int64_t>(1, n), (rows + 63) / 64});
  int64_t tasks = std::max<int64_t>(1, (rows + per_task - 1) / per_task);
  struct Sums {};
  double* partial = scratch<Sums, double>(std::max<int64_t>(1, tasks * n));
  std::fill_n(partial, tasks * n, 0.0);
  parallel_ranges(rows, per_task, [&](int64_t r, int64_t end) {
    kernel(x + r * n, end - r, n, n, partial + r / per_task * n);
  });
  for (int64_t i = 0; i < n; ++i) {
    double total = 0;
    for (int64_t t = 0; t < tasks; ++t) total += partial[t * n + i];
    y[i] = static_cast<Compute<X>>(total);
  }
}

template <class X>
double sum_of_squares(const X* x, int64_t n) {
  auto kernel = scan_table<X>().sum_of_squares;
  std::vector<double> partial(static_cast<size_t>((n + kGrain - 1) / kGrain), 0.0);
  parallel_ranges(n, kGrain, [&](int64_t i, int64_t end) {
    partial[static_cast<size_t>(i / kGrain)] = kernel(x + i, end - i);
  });
  double total = 0;
  for (double p : partial) total += p;
  return total;
}

template <class X>
bool all_finite(const X* x, int64_t n) {
  auto kernel = scan_table<X>().all_finite;
  if (n <= kGrain) return kernel(x, n);
  std::atomic<bool> finite{true};
  parallel_ranges(n, kGrain, [&](int64_t i, int64_t end) {
    if (finite && !kernel(x + i, end - i)) finite = false;
  });
  return finite;
}

#define SIGMA_INSTANTIATE(X)                                  \
  template void sum(int64_t, int64_t, int64_t, const X*, X*); \
  template void extremes(bool, int64_t, int64_t, int64_t, const X*, X*, int64_t*);
SIGMA_INSTANTIATE(float)
SIGMA_INSTANTIATE(double)
SIGMA_INSTANTIATE(bfloat16)
SIGMA_INSTANTIATE(uint8_t)
SIGMA_INSTANTIATE(int64_t)
#undef SIGMA_INSTANTIATE
template void sum(int64_t, int64_t, int64_t, const float*, double*);
template void sum(int64_t, int64_t, int64_t, const double*, float*);
template void sum(int64_t, int64_t, int64_t, const double*, bfloat16*);
template void sum(int64_t, int64_t, int64_t, const bfloat16*, double*);
template void sum(int64_t, int64_t, int64_t, const uint8_t*, int64_t*);
#define SIGMA_INSTANTIATE(X)                                          \
  template void column_sums(const X*, int64_t, int64_t, Compute<X>*); \
  template double sum_of_squares(const X*, int64_t);                  \
  template bool all_finite(const X*, int64_t);
SIGMA_INSTANTIATE(float)
SIGMA_INSTANTIATE(double)
SIGMA_INSTANTIATE(bfloat16)
#undef SIGMA_INSTANTIATE

}  // namespace sigma::kernels
#endif
