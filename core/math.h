// Arithmetic on tensors, without gradients (autograd/ops.h has the differentiable forms): broadcasting,
// reductions, products, rearranging. Operands share a dtype, floating-point or complex. Shapes broadcast as
// in NumPy.
#pragma once

#include <vector>

#include "core/tensor.h"

namespace sigma {

Shape broadcast_shapes(const Shape& a, const Shape& b, const char* tag);

Tensor add(const Tensor& a, const Tensor& b);
Tensor sub(const Tensor& a, const Tensor& b);
Tensor mul(const Tensor& a, const Tensor& b);
Tensor div(const Tensor& a, const Tensor& b);
Tensor scale(const Tensor& a, double factor);
Tensor neg(const Tensor& a);
Tensor exp(const Tensor& a);
Tensor log(const Tensor& a);
Tensor sqrt(const Tensor& a);
Tensor abs(const Tensor& a);
Tensor sign(const Tensor& a);
Tensor pow(const Tensor& a, double exponent);
void add_(Tensor& a, const Tensor& b);  // a += b, same shape

// Reductions over `dims` (all when empty); `keepdim` leaves sizes of one. Sums are accumulated in float64.
Tensor sum(const Tensor& a, const std::vector<int>& dims = {}, bool keepdim = false);
Tensor mean(const Tensor& a, const std::vector<int>& dims = {}, bool keepdim = false);
Tensor max(const Tensor& a, int dim, bool keepdim = false);
Tensor argmax(const Tensor& a, int dim);             // int64; the first of equals; a NaN wins
Tensor sum_to(const Tensor& a, const Shape& shape);  // undoes broadcasting
Tensor broadcast_to(const Tensor& a, const Shape& shape);

// Complex numbers. real, imag and abs give real tensors; conj and real of a real tensor are the tensor
// itself.
Tensor complex(const Tensor& re, const Tensor& im);
Tensor real(const Tensor& a);
Tensor imag(const Tensor& a);
Tensor conj(const Tensor& a);
Tensor complex_abs(const Tensor& a);  // abs() of a complex tensor

Tensor matmul(const Tensor& a, const Tensor& b);  // (..., m, k) x (..., k, n), equal leading sizes or 2-D
Tensor permute(const Tensor& a, const std::vector<int>& order);  // copies
Tensor transpose(const Tensor& a, int d0, int d1);               // copies
Tensor slice(const Tensor& a, int dim, int64_t start, int64_t length);
Tensor cat(const std::vector<Tensor>& tensors, int dim);
Tensor index_rows(const Tensor& a, const std::vector<int64_t>& rows);  // any dtype

double max_abs_difference(const Tensor& a, const Tensor& b);  // NaN when either holds one
double norm2(const Tensor& a);                                // square root of the sum of squares
bool all_finite(const Tensor& a);
bool identical(const Tensor& a, const Tensor& b);  // shape, dtype and every bit

}  // namespace sigma
