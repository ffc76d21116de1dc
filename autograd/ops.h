// Differentiable arithmetic on Variables under PyTorch's names, broadcasting as in NumPy. Every function here
// can be differentiated any number of times. Shapes, dtypes and errors are those of the functions of the same
// name in core/math.h. Layers with kernels of their own live in layers/; decompositions in
// autograd/linalg.h, complex numbers in autograd/complex.h.
#pragma once

#include <vector>

#include "autograd/variable.h"
#include "core/math.h"

namespace sigma {

// Element by element.
Variable add(const Variable& a, const Variable& b);
Variable sub(const Variable& a, const Variable& b);
Variable mul(const Variable& a, const Variable& b);
Variable div(const Variable& a, const Variable& b);
Variable scale(const Variable& a, double factor);
Variable add_scalar(const Variable& a, double value);
Variable neg(const Variable& a);
Variable exp(const Variable& a);
Variable log(const Variable& a);
Variable sqrt(const Variable& a);
Variable abs(const Variable& a);  // gradient sign(a), 0 at 0
Variable pow(const Variable& a, double exponent);
// Where both are equal each gets half of the gradient.
Variable maximum(const Variable& a, const Variable& b);
Variable minimum(const Variable& a, const Variable& b);
Variable clamp(const Variable& a, double low, double high = kUnbounded);  // gradient 1 at the bounds
Variable where(const Tensor& condition, const Variable& a, const Variable& b);

inline Variable operator+(const Variable& a, const Variable& b) { return add(a, b); }
inline Variable operator-(const Variable& a, const Variable& b) { return sub(a, b); }
inline Variable operator*(const Variable& a, const Variable& b) { return mul(a, b); }
inline Variable operator/(const Variable& a, const Variable& b) { return div(a, b); }
inline Variable operator-(const Variable& a) { return neg(a); }
inline Variable operator+(const Variable& a, double b) { return add_scalar(a, b); }
inline Variable operator+(double a, const Variable& b) { return add_scalar(b, a); }
inline Variable operator-(const Variable& a, double b) { return add_scalar(a, -b); }
inline Variable operator-(double a, const Variable& b) { return add_scalar(neg(b), a); }
inline Variable operator*(const Variable& a, double b) { return scale(a, b); }
inline Variable operator*(double a, const Variable& b) { return scale(b, a); }
Variable operator/(const Variable& a, double b);
Variable operator/(double a, const Variable& b);
// a becomes a new Variable; others that held it keep the old value.
inline Variable& operator+=(Variable& a, const Variable& b) { return a = add(a, b); }
inline Variable& operator-=(Variable& a, const Variable& b) { return a = sub(a, b); }
inline Variable& operator*=(Variable& a, const Variable& b) { return a = mul(a, b); }
inline Variable& operator/=(Variable& a, const Variable& b) { return a = div(a, b); }
inline Variable& operator+=(Variable& a, double b) { return a = a + b; }
inline Variable& operator-=(Variable& a, double b) { return a = a - b; }
inline Variable& operator*=(Variable& a, double b) { return a = a * b; }
inline Variable& operator/=(Variable& a, double b) { return a = a / b; }

// Comparisons and positions have no gradient: tensors of uint8 and int64.
inline Tensor eq(const Variable& a, const Variable& b) { return eq(a.value(), b.value()); }
inline Tensor ne(const Variable& a, const Variable& b) { return ne(a.value(), b.value()); }
inline Tensor lt(const Variable& a, const Variable& b) { return lt(a.value(), b.value()); }
inline Tensor le(const Variable& a, const Variable& b) { return le(a.value(), b.value()); }
inline Tensor gt(const Variable& a, const Variable& b) { return gt(a.value(), b.value()); }
inline Tensor ge(const Variable& a, const Variable& b) { return ge(a.value(), b.value()); }
inline Tensor eq(const Variable& a, double b) { return eq(a.value(), b); }
inline Tensor ne(const Variable& a, double b) { return ne(a.value(), b); }
inline Tensor lt(const Variable& a, double b) { return lt(a.value(), b); }
inline Tensor le(const Variable& a, double b) { return le(a.value(), b); }
inline Tensor gt(const Variable& a, double b) { return gt(a.value(), b); }
inline Tensor ge(const Variable& a, double b) { return ge(a.value(), b); }
inline Tensor argmax(const Variable& a, int dim, bool keepdim = false) {
  return argmax(a.value(), dim, keepdim);
}
inline Tensor argmin(const Variable& a, int dim, bool keepdim = false) {
  return argmin(a.value(), dim, keepdim);
}

// Reductions over `dims`, all when empty.
Variable sum(const Variable& a, const std::vector<int>& dims = {}, bool keepdim = false);
Variable mean(const Variable& a, const std::vector<int>& dims = {}, bool keepdim = false);
Variable sum_to(const Variable& a, const Shape& shape);
// Elements that share the extreme share its gradient equally.
Variable amax(const Variable& a, const std::vector<int>& dims = {}, bool keepdim = false);
Variable amin(const Variable& a, const std::vector<int>& dims = {}, bool keepdim = false);
inline Variable max(const Variable& a) { return amax(a); }
inline Variable min(const Variable& a) { return amin(a); }
struct VariableAndIndices {
  Variable values;
  Tensor indices;
};
// The first of equals gets the gradient.
VariableAndIndices max(const Variable& a, int dim, bool keepdim = false);
VariableAndIndices min(const Variable& a, int dim, bool keepdim = false);

// With y = softmax(x): dx = y (g - sum g y). With y = log_softmax(x): dx = g - e^y sum g. With
// y = logsumexp(x): dx = g e^(x - y). The results are what is saved.
Variable softmax(const Variable& a, int dim);
Variable log_softmax(const Variable& a, int dim);
Variable logsumexp(const Variable& a, const std::vector<int>& dims, bool keepdim = false);

// Products and rearranging.
Variable matmul(const Variable& a, const Variable& b);
Variable transpose(const Variable& a, int d0, int d1);
Variable permute(const Variable& a, const std::vector<int>& order);
Variable reshape(const Variable& a, const Shape& shape);
Variable broadcast_to(const Variable& a, const Shape& shape);
Variable slice(const Variable& a, int dim, int64_t start, int64_t length);
Variable cat(const Variables& parts, int dim);
Variable stack(const Variables& parts, int dim);

// Picking by index: gather and scatter_add are each other's gradients, as are index_select and index_add.
Variable gather(const Variable& a, int dim, const Tensor& index);
Variable scatter_add(const Variable& a, int dim, const Tensor& index, const Variable& source);
Variable index_select(const Variable& a, int dim, const Tensor& index);
Variable index_add(const Variable& a, int dim, const Tensor& index, const Variable& source);
Variable index_rows(const Variable& a, const std::vector<int64_t>& rows);

}  // namespace sigma
