// Arithmetic on tensors, without gradients (autograd/ops.h has the differentiable forms), under PyTorch's
// names. Operands share a dtype, floating-point or complex unless a comment says otherwise; shapes broadcast
// as in NumPy, and the result of channels_last images and whatever is stretched to them is channels_last.
// Errors are of kind usage and name the function. Results do not depend on the number of threads.
#pragma once

#include <limits>
#include <vector>

#include "core/tensor.h"

namespace sigma {

Shape broadcast_shapes(const Shape& a, const Shape& b, const char* tag);

// Element by element. The functions of one argument and pow are for real numbers, but neg and scale.
Tensor add(const Tensor& a, const Tensor& b);
Tensor sub(const Tensor& a, const Tensor& b);
Tensor mul(const Tensor& a, const Tensor& b);
Tensor div(const Tensor& a, const Tensor& b);
Tensor add_scalar(const Tensor& a, double value);  // a + value
Tensor scale(const Tensor& a, double factor);      // a * factor
Tensor neg(const Tensor& a);
Tensor exp(const Tensor& a);
Tensor log(const Tensor& a);
Tensor sqrt(const Tensor& a);
Tensor tanh(const Tensor& a);
Tensor sigmoid(const Tensor& a);  // 1 / (1 + e^-a)
Tensor abs(const Tensor& a);
Tensor sign(const Tensor& a);  // -1, 0 or 1; 0 of a NaN
Tensor pow(const Tensor& a, double exponent);
void add_(Tensor& a, const Tensor& b);  // a += b, same shape

// The larger or smaller of two real numbers; a NaN if either is one.
Tensor maximum(const Tensor& a, const Tensor& b);
Tensor minimum(const Tensor& a, const Tensor& b);
// min(max(a, low), high) of real numbers; a NaN stays one.
constexpr double kUnbounded = std::numeric_limits<double>::infinity();
Tensor clamp(const Tensor& a, double low, double high = kUnbounded);

// Comparisons of real numbers, integers too: uint8, 1 where it holds and 0 elsewhere. With a NaN only ne
// holds. A scalar is rounded to a floating-point dtype; integers are compared with its exact value.
Tensor eq(const Tensor& a, const Tensor& b);
Tensor ne(const Tensor& a, const Tensor& b);
Tensor lt(const Tensor& a, const Tensor& b);
Tensor le(const Tensor& a, const Tensor& b);
Tensor gt(const Tensor& a, const Tensor& b);
Tensor ge(const Tensor& a, const Tensor& b);
Tensor eq(const Tensor& a, double b);
Tensor ne(const Tensor& a, double b);
Tensor lt(const Tensor& a, double b);
Tensor le(const Tensor& a, double b);
Tensor gt(const Tensor& a, double b);
Tensor ge(const Tensor& a, double b);
// condition ? a : b, all three broadcast; condition is uint8, a and b share any dtype.
Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b);

inline Tensor operator+(const Tensor& a, const Tensor& b) { return add(a, b); }
inline Tensor operator-(const Tensor& a, const Tensor& b) { return sub(a, b); }
inline Tensor operator*(const Tensor& a, const Tensor& b) { return mul(a, b); }
inline Tensor operator/(const Tensor& a, const Tensor& b) { return div(a, b); }
inline Tensor operator-(const Tensor& a) { return neg(a); }
inline Tensor operator+(const Tensor& a, double b) { return add_scalar(a, b); }
inline Tensor operator+(double a, const Tensor& b) { return add_scalar(b, a); }
inline Tensor operator-(const Tensor& a, double b) { return add_scalar(a, -b); }
Tensor operator-(double a, const Tensor& b);
inline Tensor operator*(const Tensor& a, double b) { return scale(a, b); }
inline Tensor operator*(double a, const Tensor& b) { return scale(b, a); }
Tensor operator/(const Tensor& a, double b);
Tensor operator/(double a, const Tensor& b);
// In place: what else holds the tensor sees it, and autograd that it was changed. The result must have a's
// shape.
Tensor& operator+=(Tensor& a, const Tensor& b);
Tensor& operator-=(Tensor& a, const Tensor& b);
Tensor& operator*=(Tensor& a, const Tensor& b);
Tensor& operator/=(Tensor& a, const Tensor& b);
Tensor& operator+=(Tensor& a, double b);
Tensor& operator-=(Tensor& a, double b);
Tensor& operator*=(Tensor& a, double b);
Tensor& operator/=(Tensor& a, double b);

// Reductions over `dims` (all when empty); `keepdim` leaves sizes of one. Sums are accumulated in float64 in
// a fixed tree; of uint8 and int64 they are exact and int64.
Tensor sum(const Tensor& a, const std::vector<int>& dims = {}, bool keepdim = false);
Tensor mean(const Tensor& a, const std::vector<int>& dims = {}, bool keepdim = false);
Tensor sum_to(const Tensor& a, const Shape& shape);  // undoes broadcasting
Tensor broadcast_to(const Tensor& a, const Shape& shape);

// Extremes of real numbers, integers too; a NaN wins. At least one element.
Tensor amax(const Tensor& a, const std::vector<int>& dims = {}, bool keepdim = false);
Tensor amin(const Tensor& a, const std::vector<int>& dims = {}, bool keepdim = false);
inline Tensor max(const Tensor& a) { return amax(a); }
inline Tensor min(const Tensor& a) { return amin(a); }
struct ValuesAndIndices {
  Tensor values;
  Tensor indices;  // int64: the first of equals
};
ValuesAndIndices max(const Tensor& a, int dim, bool keepdim = false);
ValuesAndIndices min(const Tensor& a, int dim, bool keepdim = false);
Tensor argmax(const Tensor& a, int dim, bool keepdim = false);
Tensor argmin(const Tensor& a, int dim, bool keepdim = false);

// Along one dimension, without overflow: with m = max a,
//   softmax = e^(a - m) / sum e^(a - m),   log_softmax = a - m - log sum e^(a - m),
//   logsumexp = m + log sum e^(a - m).
// float32, float64, and bfloat16 by way of float32. A row of -inf alone gives NaN, and -inf from logsumexp.
Tensor softmax(const Tensor& a, int dim);
Tensor log_softmax(const Tensor& a, int dim);
Tensor logsumexp(const Tensor& a, const std::vector<int>& dims, bool keepdim = false);

// Complex numbers. real, imag and abs give real tensors; conj and real of a real tensor are the tensor
// itself.
Tensor complex(const Tensor& re, const Tensor& im);
Tensor real(const Tensor& a);
Tensor imag(const Tensor& a);
Tensor conj(const Tensor& a);
Tensor complex_abs(const Tensor& a);  // abs() of a complex tensor

Tensor matmul(const Tensor& a, const Tensor& b);  // (..., m, k) x (..., k, n), equal leading sizes or 2-D

// Rearranging, of any dtype; all copy.
Tensor permute(const Tensor& a, const std::vector<int>& order);
Tensor transpose(const Tensor& a, int d0, int d1);
Tensor slice(const Tensor& a, int dim, int64_t start, int64_t length);
Tensor cat(const std::vector<Tensor>& tensors, int dim);
Tensor stack(const std::vector<Tensor>& tensors, int dim);  // equal shapes, along a new dimension
Tensor index_rows(const Tensor& a, const std::vector<int64_t>& rows);

// Picking by index, of any dtype. Indices are int64 and at least 0.
// The slices index[0], index[1], ... of dimension `dim`; index has one dimension.
Tensor index_select(const Tensor& a, int dim, const Tensor& index);
// y[..., i, ...] = a[..., index[..., i, ...], ...] with i in dimension `dim`: the result has the shape of
// index, which has the rank of a and elsewhere sizes of at most a's.
Tensor gather(const Tensor& a, int dim, const Tensor& index);
// A copy of a with source[..., i, ...] added at [..., index[..., i, ...], ...], in the order of i; source has
// index's shape. Numbers only.
Tensor scatter_add(const Tensor& a, int dim, const Tensor& index, const Tensor& source);
// A copy of a with slice i of source added to slice index[i], in the order of i.
Tensor index_add(const Tensor& a, int dim, const Tensor& index, const Tensor& source);

double max_abs_difference(const Tensor& a, const Tensor& b);  // NaN when either holds one
double norm2(const Tensor& a);                                // square root of the sum of squares
bool all_finite(const Tensor& a);
bool identical(const Tensor& a, const Tensor& b);  // shape, dtype and every bit

}  // namespace sigma
