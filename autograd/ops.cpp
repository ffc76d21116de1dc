// Closures build their gradients from these same functions, so that derivatives of any order come for free:
// under create_graph the calls are recorded, otherwise they are plain arithmetic.
#include "autograd/ops.h"

#include "autograd/complex.h"
#include "autograd/node.h"
#include "core/math.h"

namespace sigma {

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
  return record("add_scalar", add(a.value(), Tensor::full({}, value, a.dtype())), {a},
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

Variable matmul(const Variable& a, const Variable& b) {
  return record(
      "matmul", matmul(a.value(), b.value()), {a, b},
      [sa = SavedTensor(a.value()), sb = SavedTensor(b.value())](const Variables& g,
                                                                 const Node& self) -> Variables {
        Variable va = self.input(0, sa.get(self)), vb = self.input(1, sb.get(self));
        return {self.needs(0) ? sum_to(matmul(g[0], conj(transpose(vb, -1, -2))), va.shape()) : Variable(),
                self.needs(1) ? sum_to(matmul(conj(transpose(va, -1, -2)), g[0]), vb.shape()) : Variable()};
      });
}

Variable transpose(const Variable& a, int d0, int d1) {
  return record("transpose", transpose(a.value(), d0, d1), {a},
                [d0, d1](const Variables& g, const Node&) -> Variables { return {transpose(g[0], d0, d1)}; });
}

Variable permute(const Variable& a, const std::vector<int>& order) {
  std::vector<int> inverse(order.size());
  Tensor y = permute(a.value(), order);
  for (size_t i = 0; i < order.size(); ++i)
    inverse[static_cast<size_t>(normalize_dim(order[i], a.rank(), "permute"))] = static_cast<int>(i);
  return record("permute", y, {a},
                [inverse](const Variables& g, const Node&) -> Variables { return {permute(g[0], inverse)}; });
}

Variable reshape(const Variable& a, const Shape& shape) {
  return record(
      "reshape", a.value().reshape(shape), {a},
      [from = a.shape()](const Variables& g, const Node&) -> Variables { return {reshape(g[0], from)}; });
}

Variable sum(const Variable& a, const std::vector<int>& dims, bool keepdim) {
  Shape kept = a.shape();
  std::vector<bool> reduced(static_cast<size_t>(a.rank()), dims.empty());
  for (int d : dims) reduced[static_cast<size_t>(normalize_dim(d, a.rank(), "sum"))] = true;
  for (int i = 0; i < a.rank(); ++i)
    if (reduced[static_cast<size_t>(i)]) kept[i] = 1;
  return record("sum", sum(a.value(), dims, keepdim), {a},
                [kept, from = a.shape()](const Variables& g, const Node&) -> Variables {
                  return {broadcast_to(reshape(g[0], kept), from)};
                });
}

Variable mean(const Variable& a, const std::vector<int>& dims, bool keepdim) {
  Variable s = sum(a, dims, keepdim);
  return scale(s, static_cast<double>(s.numel()) / static_cast<double>(a.numel()));
}

Variable broadcast_to(const Variable& a, const Shape& shape) {
  return record(
      "broadcast_to", broadcast_to(a.value(), shape), {a},
      [from = a.shape()](const Variables& g, const Node&) -> Variables { return {sum_to(g[0], from)}; });
}

Variable sum_to(const Variable& a, const Shape& shape) {
  if (a.shape() == shape) return a;
  return record("sum_to", sum_to(a.value(), shape), {a},
                [from = a.shape()](const Variables& g, const Node&) -> Variables {
                  return {broadcast_to(g[0], from)};
                });
}

Variable slice(const Variable& a, int dim, int64_t start, int64_t length) {
  return record("slice", slice(a.value(), dim, start, length), {a},
                [dim, start, length, from = a.shape()](const Variables& g, const Node& self) -> Variables {
                  Shape before = from, after = from;
                  int d = normalize_dim(dim, from.rank(), "slice");
                  before[d] = start;
                  after[d] = from[d] - start - length;
                  return {cat({Variable(Tensor::zeros(before, self.dtype)), g[0],
                               Variable(Tensor::zeros(after, self.dtype))},
                              d)};
                });
}

Variable cat(const Variables& parts, int dim) {
  std::vector<Tensor> values;
  std::vector<int64_t> lengths;
  for (const Variable& p : parts) {
    values.push_back(p.value());
    lengths.push_back(p.dim(dim));
  }
  return record("cat", cat(values, dim), parts, [dim, lengths](const Variables& g, const Node& self) {
    Variables result;
    int64_t at = 0;
    for (size_t i = 0; i < lengths.size(); at += lengths[i++])
      result.push_back(self.needs(i) ? slice(g[0], dim, at, lengths[i]) : Variable());
    return result;
  });
}

}  // namespace sigma
