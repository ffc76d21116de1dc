// The functions of ops.h that work element by element.
//
// Closures build their gradients from these same functions, so that derivatives of any order come for free:
// under create_graph the calls are recorded, otherwise they are plain arithmetic.
#include "autograd/complex.h"
#include "autograd/node.h"
#include "autograd/ops.h"

namespace sigma {
namespace {

Variable zero(DType dtype) { return Variable(Tensor::zeros({}, dtype)); }

// The gradient of an operand that wins where `loses` is 0: half of it where `tie` holds.
Variable share(const Variable& g, const Tensor& loses, const Tensor& tie, const Shape& shape) {
  return sum_to(where(loses, zero(g.dtype()), where(tie, scale(g, 0.5), g)), shape);
}
Variable record_extreme(const char* name, Tensor value, const Variable& a, const Variable& b,
                        const Tensor& a_loses, const Tensor& b_loses) {
  return record(
      name, std::move(value), {a, b},
      [=, tie = eq(a, b), sa = a.shape(), sb = b.shape()](const Variables& g, const Node& self) -> Variables {
        return {self.needs(0) ? share(g[0], a_loses, tie, sa) : Variable(),
                self.needs(1) ? share(g[0], b_loses, tie, sb) : Variable()};
      });
}

}  // namespace

Variable add(const Variable& a, const Variable& b) {
  return record(
      "add", add(a.value(), b.value()), {a, b},
      [sa = a.shape(), sb = b.shape()](const Variables& g, const Node& self) -> Variables {
        return {self.needs(0) ? sum_to(g[0], sa) : Variable(), self.needs(1) ? sum_to(g[0], sb) : Variable()};
      });
}

Variable sub(const Variable& a, const Variable& b) {
  return record("sub", sub(a.value(), b.value()), {a, b},
                [sa = a.shape(), sb = b.shape()](const Variables& g, const Node& self) -> Variables {
                  return {self.needs(0) ? sum_to(g[0], sa) : Variable(),
                          self.needs(1) ? sum_to(neg(g[0]), sb) : Variable()};
                });
}

Variable mul(const Variable& a, const Variable& b) {
  return record("mul", mul(a.value(), b.value()), {a, b},
                [sa = SavedTensor(a.value()), sb = SavedTensor(b.value())](const Variables& g,
                                                                           const Node& self) -> Variables {
                  Variable va = self.input(0, sa.get(self)), vb = self.input(1, sb.get(self));
                  return {self.needs(0) ? sum_to(mul(g[0], conj(vb)), va.shape()) : Variable(),
                          self.needs(1) ? sum_to(mul(g[0], conj(va)), vb.shape()) : Variable()};
                });
}

Variable div(const Variable& a, const Variable& b) {
  return record(
      "div", div(a.value(), b.value()), {a, b},
      [sa = SavedTensor(a.value()), sb = SavedTensor(b.value())](const Variables& g,
                                                                 const Node& self) -> Variables {
        Variable va = self.input(0, sa.get(self)), vb = self.input(1, sb.get(self));
        return {self.needs(0) ? sum_to(div(g[0], conj(vb)), va.shape()) : Variable(),
                self.needs(1) ? sum_to(neg(mul(g[0], conj(div(va, mul(vb, vb))))), vb.shape()) : Variable()};
      });
}

Variable scale(const Variable& a, double factor) {
  return record("scale", scale(a.value(), factor), {a},
                [factor](const Variables& g, const Node&) -> Variables { return {scale(g[0], factor)}; });
}

Variable add_scalar(const Variable& a, double value) {
  return record("add_scalar", add_scalar(a.value(), value), {a},
                [](const Variables& g, const Node&) -> Variables { return {g[0]}; });
}

Variable neg(const Variable& a) {
  return record("neg", neg(a.value()), {a},
                [](const Variables& g, const Node&) -> Variables { return {neg(g[0])}; });
}

Variable exp(const Variable& a) {
  return record("exp", exp(a.value()), {a},
                [sa = SavedTensor(a.value())](const Variables& g, const Node& self) -> Variables {
                  return {mul(g[0], exp(self.input(0, sa.get(self))))};
                });
}

Variable log(const Variable& a) {
  return record("log", log(a.value()), {a},
                [sa = SavedTensor(a.value())](const Variables& g, const Node& self) -> Variables {
                  return {div(g[0], self.input(0, sa.get(self)))};
                });
}

Variable sqrt(const Variable& a) {
  return record("sqrt", sqrt(a.value()), {a},
                [sa = SavedTensor(a.value())](const Variables& g, const Node& self) -> Variables {
                  return {scale(div(g[0], sqrt(self.input(0, sa.get(self)))), 0.5)};
                });
}

Variable abs(const Variable& a) {
  if (is_complex(a.dtype())) return complex_abs(a);
  return record("abs", abs(a.value()), {a},
                [sa = SavedTensor(a.value())](const Variables& g, const Node& self) -> Variables {
                  return {mul(g[0], Variable(sign(sa.get(self))))};
                });
}

Variable pow(const Variable& a, double exponent) {
  return record("pow", pow(a.value(), exponent), {a},
                [sa = SavedTensor(a.value()), exponent](const Variables& g, const Node& self) -> Variables {
                  // The rule would give 0 * 0^-1 = NaN at 0, here and in higher derivatives of x and x^2.
                  if (exponent == 0) return {Variable(Tensor::zeros(sa.get(self).shape(), self.dtype))};
                  return {scale(mul(g[0], pow(self.input(0, sa.get(self)), exponent - 1)), exponent)};
                });
}

Variable operator/(const Variable& a, double b) {
  return record("div", a.value() / b, {a},
                [b](const Variables& g, const Node&) -> Variables { return {g[0] / b}; });
}
Variable operator/(double a, const Variable& b) { return div(Variable(Tensor::scalar(a, b.dtype())), b); }

Variable maximum(const Variable& a, const Variable& b) {
  return record_extreme("maximum", maximum(a.value(), b.value()), a, b, lt(a, b), lt(b, a));
}
Variable minimum(const Variable& a, const Variable& b) {
  return record_extreme("minimum", minimum(a.value(), b.value()), a, b, gt(a, b), gt(b, a));
}

Variable clamp(const Variable& a, double low, double high) {
  Tensor y = clamp(a.value(), low, high);
  return record("clamp", y, {a}, [inside = eq(a.value(), y)](const Variables& g, const Node&) -> Variables {
    return {where(inside, g[0], zero(g[0].dtype()))};
  });
}

Variable where(const Tensor& condition, const Variable& a, const Variable& b) {
  return record("where", where(condition, a.value(), b.value()), {a, b},
                [saved = SavedTensor(condition), sa = a.shape(), sb = b.shape()](
                    const Variables& g, const Node& self) -> Variables {
                  const Tensor& c = saved.get(self);
                  const Variable none = zero(g[0].dtype());
                  return {self.needs(0) ? sum_to(where(c, g[0], none), sa) : Variable(),
                          self.needs(1) ? sum_to(where(c, none, g[0]), sb) : Variable()};
                });
}

}  // namespace sigma
