// The functions of math.h that work element by element.
#include <cmath>

#include "core/broadcast.h"
#include "core/kernels/elementwise.h"
#include "core/kernels/map.h"
#include "core/math.h"

namespace sigma {
namespace {

using kernels::Binary;
using kernels::Comparison;
using kernels::Unary;

void expect_one_dtype(const char* tag, const Tensor& a, const Tensor& b) {
  SIGMA_CHECK(a.dtype() == b.dtype(), tag, "expected one dtype, got {} and {}", name_of(a.dtype()),
              name_of(b.dtype()));
}

Tensor binary(const char* tag, Binary op, const Tensor& a, const Tensor& b) {
  expect_one_dtype(tag, a, b);
  return dispatch_numeric(a.dtype(), tag, [&](auto zero) {
    using T = decltype(zero);
    if (a.shape() == b.shape() && a.layout() == b.layout()) {
      Tensor y = Tensor::empty_like(a);
      kernels::map(op, a.numel(), a.data<T>(), b.data<T>(), y.mutable_data<T>());
      return y;
    }
    const Broadcast in = broadcast(tag, {a, b});
    Tensor y = in.result(a.dtype());
    kernels::map(op, in.walk, in.operands[0].data<T>(), in.operands[1].data<T>(), y.mutable_data<T>());
    return y;
  });
}

// Of real values, and of complex ones too.
Tensor unary(const char* tag, Unary op, const Tensor& a) {
  return dispatch_stored(a.dtype(), tag, [&](auto zero) {
    using T = decltype(zero);
    Tensor y = Tensor::empty_like(a);
    kernels::map(op, a.numel(), a.data<T>(), y.mutable_data<T>());
    return y;
  });
}
Tensor unary_numeric(const char* tag, Unary op, const Tensor& a) {
  return dispatch_numeric(a.dtype(), tag, [&](auto zero) {
    using T = decltype(zero);
    Tensor y = Tensor::empty_like(a);
    kernels::map(op, a.numel(), a.data<T>(), y.mutable_data<T>());
    return y;
  });
}

// into = a op value, or value op a. `into` may be a.
void with_scalar_into(const char* tag, Binary op, const Tensor& a, double value, bool first, Tensor& into) {
  dispatch_numeric(a.dtype(), tag, [&](auto zero) {
    using T = decltype(zero);
    Compute<T> scalar;
    if constexpr (is_complex_type<T>)
      scalar = T(static_cast<typename T::value_type>(value));
    else
      scalar = static_cast<Compute<T>>(value);
    kernels::map_scalar(op, a.numel(), a.data<T>(), scalar, first, into.mutable_data<T>());
  });
}
Tensor with_scalar(const char* tag, Binary op, const Tensor& a, double value, bool first = false) {
  Tensor y = Tensor::empty_like(a);
  with_scalar_into(tag, op, a, value, first, y);
  return y;
}

Tensor compare(const char* tag, Comparison op, const Tensor& a, const Tensor& b) {
  expect_one_dtype(tag, a, b);
  return dispatch_all(a.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const Broadcast in = broadcast(tag, {a, b});
    Tensor y = in.result(DType::uint8);
    kernels::compare(op, in.walk, in.operands[0].data<T>(), in.operands[1].data<T>(),
                     y.mutable_data<uint8_t>());
    return y;
  });
}
Tensor compare(const char* tag, Comparison op, const Tensor& a, double b) {
  if (is_floating(a.dtype())) {
    const Tensor wide = a.to(compute_dtype(a.dtype()));
    return compare(tag, op, wide, Tensor::scalar(b, wide.dtype()));
  }
  const bool whole = a.dtype() == DType::int64 && std::floor(b) == b && std::fabs(b) < 0x1p62;
  if (whole) return compare(tag, op, a, Tensor::scalar(b, a.dtype()));
  return compare(tag, op, a.to(DType::float64), Tensor::scalar(b, DType::float64));
}

// a = a op b, where b may be stretched but a may not.
Tensor& in_place(const char* tag, Binary op, Tensor& a, const Tensor& b) {
  expect_one_dtype(tag, a, b);
  SIGMA_CHECK(broadcast_shapes(a.shape(), b.shape(), tag) == a.shape(), tag,
              "expected a shape that stretches to {}, got {}", a.shape().str(), b.shape().str());
  dispatch_numeric(a.dtype(), tag, [&](auto zero) {
    using T = decltype(zero);
    const Broadcast in = broadcast(tag, {a, b});
    T* p = a.mutable_data<T>();
    kernels::map(op, in.walk, p, in.operands[1].data<T>(), p);
  });
  return a;
}
Tensor& in_place(const char* tag, Binary op, Tensor& a, double b) {
  with_scalar_into(tag, op, a, b, false, a);
  return a;
}

}  // namespace

Tensor add(const Tensor& a, const Tensor& b) {
  if (a.shape() == b.shape() && a.dtype() == b.dtype() && is_floating(a.dtype())) {
    Tensor other = b.to(a.layout()), y = Tensor::empty_like(a);
    dispatch_stored(a.dtype(), "add", [&](auto zero) {
      using T = decltype(zero);
      kernels::add(a.numel(), a.data<T>(), other.data<T>(), y.mutable_data<T>());
    });
    return y;
  }
  return binary("add", Binary::add, a, b);
}
Tensor sub(const Tensor& a, const Tensor& b) { return binary("sub", Binary::sub, a, b); }
Tensor mul(const Tensor& a, const Tensor& b) { return binary("mul", Binary::mul, a, b); }
Tensor div(const Tensor& a, const Tensor& b) { return binary("div", Binary::div, a, b); }

Tensor add_scalar(const Tensor& a, double value) { return with_scalar("add_scalar", Binary::add, a, value); }
Tensor scale(const Tensor& a, double factor) { return with_scalar("scale", Binary::mul, a, factor); }
Tensor operator-(double a, const Tensor& b) { return with_scalar("sub", Binary::sub, b, a, true); }
Tensor operator/(const Tensor& a, double b) { return with_scalar("div", Binary::div, a, b); }
Tensor operator/(double a, const Tensor& b) { return with_scalar("div", Binary::div, b, a, true); }

Tensor& operator+=(Tensor& a, const Tensor& b) { return in_place("+=", Binary::add, a, b); }
Tensor& operator-=(Tensor& a, const Tensor& b) { return in_place("-=", Binary::sub, a, b); }
Tensor& operator*=(Tensor& a, const Tensor& b) { return in_place("*=", Binary::mul, a, b); }
Tensor& operator/=(Tensor& a, const Tensor& b) { return in_place("/=", Binary::div, a, b); }
Tensor& operator+=(Tensor& a, double b) { return in_place("+=", Binary::add, a, b); }
Tensor& operator-=(Tensor& a, double b) { return in_place("-=", Binary::sub, a, b); }
Tensor& operator*=(Tensor& a, double b) { return in_place("*=", Binary::mul, a, b); }
Tensor& operator/=(Tensor& a, double b) { return in_place("/=", Binary::div, a, b); }

Tensor neg(const Tensor& a) { return unary_numeric("neg", Unary::neg, a); }
Tensor exp(const Tensor& a) { return unary("exp", Unary::exp, a); }
Tensor log(const Tensor& a) { return unary("log", Unary::log, a); }
Tensor sqrt(const Tensor& a) { return unary("sqrt", Unary::sqrt, a); }
Tensor tanh(const Tensor& a) { return unary("tanh", Unary::tanh, a); }
Tensor sigmoid(const Tensor& a) { return unary("sigmoid", Unary::sigmoid, a); }
Tensor abs(const Tensor& a) {
  if (is_complex(a.dtype())) return complex_abs(a);
  return unary("abs", Unary::abs, a);
}
Tensor sign(const Tensor& a) { return unary("sign", Unary::sign, a); }
Tensor pow(const Tensor& a, double exponent) {
  return dispatch_stored(a.dtype(), "pow", [&](auto zero) {
    using T = decltype(zero);
    Tensor y = Tensor::empty_like(a);
    kernels::power(a.numel(), a.data<T>(), static_cast<Compute<T>>(exponent), y.mutable_data<T>());
    return y;
  });
}

void add_(Tensor& a, const Tensor& b) {
  SIGMA_CHECK(a.shape() == b.shape() && a.dtype() == b.dtype(), "add_", "expected {} {}, got {} {}",
              name_of(a.dtype()), a.shape().str(), name_of(b.dtype()), b.shape().str());
  if (is_complex(a.dtype())) {
    in_place("add_", Binary::add, a, b);
    return;
  }
  Tensor other = b.to(a.layout());
  dispatch_stored(a.dtype(), "add_", [&](auto zero) {
    using T = decltype(zero);
    T* pa = a.mutable_data<T>();
    kernels::add(a.numel(), pa, other.data<T>(), pa);
  });
}

Tensor maximum(const Tensor& a, const Tensor& b) {
  SIGMA_CHECK(!is_complex(a.dtype()), "maximum", "expected real numbers, got {}", name_of(a.dtype()));
  return binary("maximum", Binary::maximum, a, b);
}
Tensor minimum(const Tensor& a, const Tensor& b) {
  SIGMA_CHECK(!is_complex(a.dtype()), "minimum", "expected real numbers, got {}", name_of(a.dtype()));
  return binary("minimum", Binary::minimum, a, b);
}

Tensor clamp(const Tensor& a, double low, double high) {
  SIGMA_CHECK(low == low && high == high, "clamp", "expected numbers as bounds, got a NaN");
  return dispatch_stored(a.dtype(), "clamp", [&](auto zero) {
    using T = decltype(zero);
    Tensor y = Tensor::empty_like(a);
    kernels::clamp(a.numel(), a.data<T>(), static_cast<Compute<T>>(low), static_cast<Compute<T>>(high),
                   y.mutable_data<T>());
    return y;
  });
}

Tensor eq(const Tensor& a, const Tensor& b) { return compare("eq", Comparison::eq, a, b); }
Tensor ne(const Tensor& a, const Tensor& b) { return compare("ne", Comparison::ne, a, b); }
Tensor lt(const Tensor& a, const Tensor& b) { return compare("lt", Comparison::lt, a, b); }
Tensor le(const Tensor& a, const Tensor& b) { return compare("le", Comparison::le, a, b); }
Tensor gt(const Tensor& a, const Tensor& b) { return compare("gt", Comparison::gt, a, b); }
Tensor ge(const Tensor& a, const Tensor& b) { return compare("ge", Comparison::ge, a, b); }
Tensor eq(const Tensor& a, double b) { return compare("eq", Comparison::eq, a, b); }
Tensor ne(const Tensor& a, double b) { return compare("ne", Comparison::ne, a, b); }
Tensor lt(const Tensor& a, double b) { return compare("lt", Comparison::lt, a, b); }
Tensor le(const Tensor& a, double b) { return compare("le", Comparison::le, a, b); }
Tensor gt(const Tensor& a, double b) { return compare("gt", Comparison::gt, a, b); }
Tensor ge(const Tensor& a, double b) { return compare("ge", Comparison::ge, a, b); }

Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b) {
  expect_one_dtype("where", a, b);
  SIGMA_CHECK(condition.dtype() == DType::uint8, "where",
              "expected a uint8 condition, as comparisons give it, got {}", name_of(condition.dtype()));
  // Of two operands in their full shape the first decides on the layout, so the condition comes last.
  const Broadcast in = broadcast("where", {a, b, condition});
  Tensor y = in.result(a.dtype());
  dispatch_any(a.dtype(), [&](auto zero) {
    using T = decltype(zero);
    kernels::where(in.walk, in.operands[0].data<T>(), in.operands[1].data<T>(),
                   in.operands[2].data<uint8_t>(), y.mutable_data<T>());
  });
  return y;
}

}  // namespace sigma
