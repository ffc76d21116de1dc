// Differentiable functions of complex Variables. The gradient of a real loss L with respect to z = x + iy is
// dL/dx + i dL/dy, PyTorch's convention: what steepest descent subtracts.
#pragma once

#include "autograd/variable.h"

namespace sigma {

Variable conj(const Variable& a);  // a itself when real
Variable real(const Variable& a);  // a itself when real
Variable imag(const Variable& a);
Variable complex(const Variable& re, const Variable& im);
Variable complex_abs(const Variable& a);  // abs() of a complex Variable; gradient 0 at 0

}  // namespace sigma
