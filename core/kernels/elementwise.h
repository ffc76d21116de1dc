// Elementwise kernels over n contiguous values, cut into fixed ranges on the pool.
#pragma once

#include <cstdint>

#include "core/bfloat16.h"

namespace sigma::kernels {

enum class Activation : uint8_t { relu, leaky_relu, sigmoid, tanh, gelu, silu };

// y = f(x). `slope` is leaky_relu's. Values are float, double or bfloat16.
template <class X>
void activation_forward(Activation kind, int64_t n, const X* x, Compute<X> slope, X* y);
// dx = g * f'. `saved` is y for relu, sigmoid and tanh, and x for leaky_relu, gelu and silu.
template <class X>
void activation_backward(Activation kind, int64_t n, const X* g, const X* saved, Compute<X> slope, X* dx);

template <class X>
void add(int64_t n, const X* a, const X* b, X* y);  // y = a + b; y may be a or b
template <class X>
void scale(int64_t n, const X* x, Compute<X> factor, X* y);  // y = factor * x; y may be x
template <class X>
void convert(int64_t n, const X* from, Compute<X>* to);  // between storage and the type that is computed with
template <class X>
void round(int64_t n, const Compute<X>* from, X* to);  // to the nearest
// y[r][i] = from[r][i] + bias[i], then max(y, 0) if asked; bias may be null; y may be from.
template <class X>
void add_rows(int64_t rows, int64_t n, const Compute<X>* from, const Compute<X>* bias, bool relu, X* y);

}  // namespace sigma::kernels
