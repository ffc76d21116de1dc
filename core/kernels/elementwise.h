// Elementwise kernels over n contiguous values, cut into fixed ranges on the pool.
#pragma once

#include <cstdint>

namespace sigma::kernels {

enum class Activation : uint8_t { relu, leaky_relu, sigmoid, tanh, gelu };

// y = f(x). `slope` is leaky_relu's.
template <class T>
void activation_forward(Activation kind, int64_t n, const T* x, T slope, T* y);
// dx = g * f'. `saved` is y for relu, sigmoid and tanh, and x for leaky_relu and gelu.
template <class T>
void activation_backward(Activation kind, int64_t n, const T* g, const T* saved, T slope, T* dx);

template <class T>
void add(int64_t n, const T* a, const T* b, T* y);  // y = a + b; y may be a or b
template <class T>
void scale(int64_t n, const T* x, T factor, T* y);  // y = factor * x; y may be x
template <class T>
void add_rows(int64_t rows, int64_t n, const T* bias, T* y);  // y[r][i] += bias[i]

struct SgdStep {
  double lr, momentum, dampening, weight_decay;
  bool nesterov, first;  // first: the velocity is set to the gradient, as in PyTorch
};
// One pass of SGD over a parameter p with gradient g; velocity may be null when momentum is 0.
template <class T>
void sgd_update(int64_t n, const SgdStep& step, const T* g, T* velocity, T* p);

// Sum over rows: y[i] = sum_r x[r][i], in float64, rows merged in a fixed order.
template <class T>
void column_sums(const T* x, int64_t rows, int64_t n, T* y);
// Sum of squares in float64; the order of summation is fixed.
template <class T>
double sum_of_squares(const T* x, int64_t n);
template <class T>
bool all_finite(const T* x, int64_t n);

}  // namespace sigma::kernels
