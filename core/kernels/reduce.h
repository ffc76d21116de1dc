// Reductions. Sums are accumulated in float64 over leaves of fixed size, merged in a fixed tree, so that
// their bits depend on neither the threads nor the SIMD target. Twins in reference_map.h.
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/bfloat16.h"

namespace sigma::kernels {

// float64 for floating-point values, int64 (modulo 2^64) for integers.
template <class X>
using SumOf = std::conditional_t<std::is_integral_v<X>, int64_t, double>;

// y[o][i] = sum_k x[o][k][i]. X is float, double, bfloat16, uint8_t or int64_t; Y is X or SumOf<X>.
template <class X, class Y>
void sum(int64_t outer, int64_t size, int64_t inner, const X* x /*[outer][size][inner]*/,
         Y* y /*[outer][inner]*/);

// The largest (or smallest) x[o][k][i] over k, and the first k that has it; a NaN counts as larger (smaller)
// than all. `y` or `index` may be null. All types but complex ones; size at least 1.
template <class X>
void extremes(bool largest, int64_t outer, int64_t size, int64_t inner, const X* x /*[outer][size][inner]*/,
              X* y /*[outer][inner]*/, int64_t* index /*[outer][inner]*/);

// Sum over rows: y[i] = sum_r x[r][i], in float64, rows merged in a fixed order: what layers sum their
// biases' gradients with.
template <class X>
void column_sums(const X* x, int64_t rows, int64_t n, Compute<X>* y);
// Sum of squares in float64; the order of summation is fixed.
template <class T>
double sum_of_squares(const T* x, int64_t n);
template <class X>
bool all_finite(const X* x, int64_t n);

}  // namespace sigma::kernels
