// Element by element: arithmetic of one, two or three operands. One loop a function, compiled for every SIMD
// target and cut into fixed tasks. What is rounded is rounded once, so that results are the same bits on
// every target and for every number of threads. Twins in reference_map.h.
#pragma once

#include <cstdint>

#include "core/bfloat16.h"
#include "core/kernels/walk.h"

namespace sigma::kernels {

enum class Unary : uint8_t { neg, abs, sign, sqrt, square, exp, log, tanh, sigmoid };
enum class Binary : uint8_t { add, sub, mul, div, maximum, minimum };
enum class Comparison : uint8_t { eq, ne, lt, le, gt, ge };

// y = op(x); y may be x. float, double and bfloat16; complex numbers have neg and square only. Of a NaN
// comes a NaN, but from sign 0. exp, log, tanh and sigmoid of float32 are computed in float64 and rounded (at
// most 0.501 ulp off); of float64 they are the C library's.
template <class X>
void map(Unary op, int64_t n, const X* x, X* y);
// y = min(max(x, low), high); a NaN stays one.
template <class X>
void clamp(int64_t n, const X* x, Compute<X> low, Compute<X> high, X* y);
// y = x^exponent, as the C library's pow.
template <class X>
void power(int64_t n, const X* x, Compute<X> exponent, X* y);

// y = a op b, walked. float, double, bfloat16 and complex, the latter without maximum and minimum. A NaN in
// either operand of maximum and minimum is the result.
template <class X>
void map(Binary op, const Walk& w, const X* a, const X* b, X* y);
// The same for operands that lie as the result does.
template <class X>
void map(Binary op, int64_t n, const X* a, const X* b, X* y);
// y = x op s, or s op x. The scalar is not rounded to storage first.
template <class X>
void map_scalar(Binary op, int64_t n, const X* x, Compute<X> s, bool scalar_first, X* y);

// y = 1 where a op b holds, else 0; with a NaN only ne holds. All types but complex ones.
template <class X>
void compare(Comparison op, const Walk& w, const X* a, const X* b, uint8_t* y);
// y = condition ? a : b; the condition is the third operand of the walk. All types.
template <class X>
void where(const Walk& w, const X* a, const X* b, const uint8_t* condition, X* y);

}  // namespace sigma::kernels
