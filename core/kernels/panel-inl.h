// Register-blocked products, the inner loops of every convolution. Included once a SIMD target.
//
// C (rows x n) = A (rows x k) * B (k x n), both packed:
//   A in panels of 8 rows, [panel][k / 16][8][16]: the 16 values of a row lie next to each other, as a
//   pixel's
//     channels do, and every address in the loop is the panel's pointer plus a constant;
//   B in blocks of 2 vectors of columns, [block][k][2 L], L lanes; a last block of at most L columns is
//   [k][L].
// 8 rows x 2 vectors hold 16 accumulators: two FMAs a cycle need 8 in flight, and each step loads 2 vectors
// and broadcasts 8 values for its 16 FMAs. One vector of columns takes two panels at once instead.
#if defined(SIGMA_KERNELS_PANEL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SIGMA_KERNELS_PANEL_INL_H_
#undef SIGMA_KERNELS_PANEL_INL_H_
#else
#define SIGMA_KERNELS_PANEL_INL_H_
#endif

#include <hwy/highway.h>

#include "core/kernels/panel.h"

HWY_BEFORE_NAMESPACE();
namespace sigma::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// At most 16 lanes: the packed layouts count on it.
template <class T>
using Wide = hn::CappedTag<T, 16>;
template <class T>
constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(Wide<T>()));
// Rows of one register block: 32 registers hold 8 x 2 accumulators, 16 hold 4 x 2.
constexpr int64_t kRegisterRows = HWY_TARGET == HWY_AVX3 ? 8 : 4;

// kRows rows of one panel (or of two: rows from 8 on come from `a1`) times V vectors of columns. kNext
// elements lie between one block of 16 k's and the next; out(row, vector) says where results go.
template <int kRows, int V, int64_t kNext, class T, class Out>
HWY_INLINE void panel_block(const T* HWY_RESTRICT a0, const T* HWY_RESTRICT a1, const T* HWY_RESTRICT b,
                            int64_t k, Out out) {
  const Wide<T> d;
  constexpr int64_t lanes = kLanes<T>;
  hn::Vec<Wide<T>> sum[kRows][V];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) sum[r][v] = hn::Zero(d);
  for (; k > 0; k -= kPanelDepth, a0 += kNext, a1 += kNext) {
    const int64_t steps = k < kPanelDepth ? k : kPanelDepth;
    for (int64_t j = 0; j < steps; ++j, b += V * lanes) {
      hn::Vec<Wide<T>> column[V];
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) column[v] = hn::Load(d, b + v * lanes);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const auto value =
            hn::Set(d, r < kPanelRows ? a0[r * kPanelDepth + j] : a1[(r - kPanelRows) * kPanelDepth + j]);
#pragma GCC unroll 2
        for (int v = 0; v < V; ++v) sum[r][v] = hn::MulAdd(value, column[v], sum[r][v]);
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) hn::StoreU(sum[r][v], d, out(r, v));
}

// `panels` panels of A, `size` elements apart, times one block of B with V vectors; out(row, vector) with
// rows counted over all panels.
template <int V, int64_t kNext, class T, class Out>
HWY_INLINE void panels_times_block(const T* a, int64_t panels, int64_t size, const T* b, int64_t k, Out out) {
  int64_t p = 0;
  if constexpr (V == 1 && kRegisterRows == kPanelRows)
    for (; p + 2 <= panels; p += 2)
      panel_block<2 * kPanelRows, V, kNext>(
          a + p * size, a + (p + 1) * size, b, k,
          [&](int r, int v) HWY_ATTR { return out(p + r / kPanelRows, r % kPanelRows, v); });
  for (; p < panels; ++p)
    for (int64_t r0 = 0; r0 < kPanelRows; r0 += kRegisterRows) {
      const T* rows = a + p * size + r0 * kPanelDepth;
      panel_block<kRegisterRows, V, kNext>(rows, rows, b, k,
                                           [&](int r, int v) HWY_ATTR { return out(p, r0 + r, v); });
    }
}

// out(panel, row of the panel, column) = A * B for all n columns, which are rounded up to whole vectors.
template <int64_t kNext, class T, class Out>
HWY_INLINE void panels_product(const T* a, int64_t panels, int64_t size, const T* b, int64_t k, int64_t n,
                               Out out) {
  constexpr int64_t lanes = kLanes<T>;
  for (int64_t column = 0; column < n; column += 2 * lanes) {
    auto to = [&](int64_t p, int64_t r, int v) HWY_ATTR { return out(p, r, column + v * lanes); };
    if (n - column > lanes) {
      panels_times_block<2, kNext>(a, panels, size, b, k, to);
      b += k * 2 * lanes;
    } else {
      panels_times_block<1, kNext>(a, panels, size, b, k, to);
    }
  }
}

// C[r][v] += sum over `count` groups of kInner steps of a[step][r] * b[step][v], kRows x V vectors of a sum
// of outer products. Steps of a group are 16 elements apart, groups next_a and next_b; the second vector of
// columns is `second` elements after the first.
template <int kRows, int V, int kInner, class T>
HWY_INLINE void outer_block(const T* HWY_RESTRICT a, int64_t next_a, const T* HWY_RESTRICT b, int64_t next_b,
                            int64_t second, int64_t count, T* HWY_RESTRICT c, int64_t ldc) {
  const Wide<T> d;
  constexpr int64_t lanes = kLanes<T>;
  hn::Vec<Wide<T>> sum[kRows][V];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) sum[r][v] = hn::LoadU(d, c + r * ldc + v * lanes);
  for (; count > 0; --count, a += next_a, b += next_b) {
#pragma GCC unroll 8
    for (int t = 0; t < kInner; ++t) {
      hn::Vec<Wide<T>> column[V];
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) column[v] = hn::LoadU(d, b + t * kPanelDepth + v * second);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const auto value = hn::Set(d, a[t * kPanelDepth + r]);
#pragma GCC unroll 2
        for (int v = 0; v < V; ++v) sum[r][v] = hn::MulAdd(value, column[v], sum[r][v]);
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) hn::StoreU(sum[r][v], d, c + r * ldc + v * lanes);
}

// C (m x n) += A^T B over `count` groups; m a multiple of 8, n of the lanes. a_at(row) and b_at(column) say
// where a row of A^T and a column of B begin.
template <int kInner, class T, class A, class B>
HWY_INLINE void outer_product(A a_at, int64_t next_a, int64_t m, B b_at, int64_t next_b, int64_t n,
                              int64_t count, T* c, int64_t ldc) {
  constexpr int64_t lanes = kLanes<T>;
  for (int64_t j = 0; j < n; j += 2 * lanes) {
    const T* b = b_at(j);
    if (n - j >= 2 * lanes) {
      const int64_t second = b_at(j + lanes) - b;
      for (int64_t i = 0; i < m; i += kRegisterRows)
        outer_block<kRegisterRows, 2, kInner>(a_at(i), next_a, b, next_b, second, count, c + i * ldc + j,
                                              ldc);
      continue;
    }
    int64_t i = 0;
    for (; i + 2 * kRegisterRows <= m; i += 2 * kRegisterRows)
      outer_block<2 * kRegisterRows, 1, kInner>(a_at(i), next_a, b, next_b, 0, count, c + i * ldc + j, ldc);
    for (; i < m; i += kRegisterRows)
      outer_block<kRegisterRows, 1, kInner>(a_at(i), next_a, b, next_b, 0, count, c + i * ldc + j, ldc);
  }
}

// Adds up partial sums in a fixed tree: parts[0][i] = sum over p < count of parts[p][i] for i from begin to
// end, with `size` elements from one part to the next. The other parts are overwritten.
template <class T>
void merge_parts(T* parts, int64_t count, int64_t size, int64_t begin, int64_t end) {
  for (int64_t step = 1; step < count; step *= 2)
    for (int64_t part = 0; part + step < count; part += 2 * step) {
      T* HWY_RESTRICT to = parts + part * size;
      const T* HWY_RESTRICT from = to + step * size;
      for (int64_t i = begin; i < end; ++i) to[i] += from[i];
    }
}

}  // namespace sigma::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
