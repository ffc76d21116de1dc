// The functions of ops.h that multiply matrices, rearrange and join.
#include "autograd/complex.h"
#include "autograd/node.h"
#include "autograd/ops.h"

namespace sigma {

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

Variable broadcast_to(const Variable& a, const Shape& shape) {
  return record(
      "broadcast_to", broadcast_to(a.value(), shape), {a},
      [from = a.shape()](const Variables& g, const Node&) -> Variables { return {sum_to(g[0], from)}; });
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

Variable stack(const Variables& parts, int dim) {
  SIGMA_CHECK(!parts.empty(), "stack", "expected at least one Variable");
  const Shape& shape = parts[0].shape();
  const int at = normalize_dim(dim, shape.rank() + 1, "stack");
  Shape thin;
  for (int i = 0; i <= shape.rank(); ++i) {
    if (i == at) thin.push_back(1);
    if (i < shape.rank()) thin.push_back(shape[i]);
  }
  Variables rows;
  for (const Variable& p : parts) {
    SIGMA_CHECK(p.shape() == shape, "stack", "expected Variables of shape {}, got {}", shape.str(),
                p.shape().str());
    rows.push_back(reshape(p, thin));
  }
  return cat(rows, at);
}

}  // namespace sigma
