// Differentiable arithmetic on Variables, broadcasting as in NumPy. Every function here can be differentiated
// any number of times. Layers with kernels of their own live in layers/.
#pragma once

#include <vector>

#include "autograd/variable.h"

namespace sigma {

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
Variable matmul(const Variable& a, const Variable& b);
Variable transpose(const Variable& a, int d0, int d1);
Variable permute(const Variable& a, const std::vector<int>& order);
Variable reshape(const Variable& a, const Shape& shape);
Variable sum(const Variable& a, const std::vector<int>& dims = {}, bool keepdim = false);
Variable mean(const Variable& a, const std::vector<int>& dims = {}, bool keepdim = false);
Variable broadcast_to(const Variable& a, const Shape& shape);
Variable sum_to(const Variable& a, const Shape& shape);
Variable slice(const Variable& a, int dim, int64_t start, int64_t length);
Variable cat(const Variables& parts, int dim);

inline Variable operator+(const Variable& a, const Variable& b) { return add(a, b); }
inline Variable operator-(const Variable& a, const Variable& b) { return sub(a, b); }
inline Variable operator*(const Variable& a, const Variable& b) { return mul(a, b); }
inline Variable operator/(const Variable& a, const Variable& b) { return div(a, b); }
inline Variable operator-(const Variable& a) { return neg(a); }
inline Variable operator*(const Variable& a, double factor) { return scale(a, factor); }

}  // namespace sigma
