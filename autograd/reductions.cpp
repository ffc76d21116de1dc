// The functions of ops.h that reduce dimensions.
#include "autograd/node.h"
#include "autograd/ops.h"

namespace sigma {
namespace {

// The shape of `a` with sizes of one where it is reduced.
Shape kept_shape(const char* tag, const Variable& a, const std::vector<int>& dims) {
  Shape kept = a.shape();
  for (int i = 0; i < a.rank() && dims.empty(); ++i) kept[i] = 1;
  for (int d : dims) kept[normalize_dim(d, a.rank(), tag)] = 1;
  return kept;
}

// y = amax or amin of a: every element that equals it gets an equal share of its gradient.
Variable record_extreme(const char* name, const Variable& a, Tensor y, const std::vector<int>& dims) {
  const Shape kept = kept_shape(name, a, dims);
  const Tensor equal = eq(a.value(), y.reshape(kept));
  return record(name, std::move(y), {a},
                [equal, kept, dims](const Variables& g, const Node& self) -> Variables {
                  const Tensor chosen = equal.to(self.dtype);
                  return {mul(reshape(g[0], kept), Variable(div(chosen, sum(chosen, dims, true))))};
                });
}

VariableAndIndices record_extreme_of_dim(const char* name, const Variable& a, int dim, bool keepdim,
                                         ValuesAndIndices y) {
  const Shape kept = kept_shape(name, a, {dim});
  const Tensor indices = keepdim ? y.indices : y.indices.reshape(kept);
  return {record(name, std::move(y.values), {a},
                 [dim, kept, from = a.shape(), saved = SavedTensor(indices)](const Variables& g,
                                                                             const Node& self) -> Variables {
                   return {scatter_add(Variable(Tensor::zeros(from, self.dtype)), dim, saved.get(self),
                                       reshape(g[0], kept))};
                 }),
          y.indices};
}

}  // namespace

Variable sum(const Variable& a, const std::vector<int>& dims, bool keepdim) {
  return record(
      "sum", sum(a.value(), dims, keepdim), {a},
      [kept = kept_shape("sum", a, dims), from = a.shape()](const Variables& g, const Node&) -> Variables {
        return {broadcast_to(reshape(g[0], kept), from)};
      });
}

Variable mean(const Variable& a, const std::vector<int>& dims, bool keepdim) {
  Variable s = sum(a, dims, keepdim);
  return scale(s, static_cast<double>(s.numel()) / static_cast<double>(a.numel()));
}

Variable sum_to(const Variable& a, const Shape& shape) {
  if (a.shape() == shape) return a;
  return record("sum_to", sum_to(a.value(), shape), {a},
                [from = a.shape()](const Variables& g, const Node&) -> Variables {
                  return {broadcast_to(g[0], from)};
                });
}

Variable amax(const Variable& a, const std::vector<int>& dims, bool keepdim) {
  return record_extreme("amax", a, amax(a.value(), dims, keepdim), dims);
}
Variable amin(const Variable& a, const std::vector<int>& dims, bool keepdim) {
  return record_extreme("amin", a, amin(a.value(), dims, keepdim), dims);
}
VariableAndIndices max(const Variable& a, int dim, bool keepdim) {
  return record_extreme_of_dim("max", a, dim, keepdim, max(a.value(), dim, keepdim));
}
VariableAndIndices min(const Variable& a, int dim, bool keepdim) {
  return record_extreme_of_dim("min", a, dim, keepdim, min(a.value(), dim, keepdim));
}

Variable softmax(const Variable& a, int dim) {
  Tensor y = softmax(a.value(), dim);
  return record("softmax", y, {a},
                [dim, saved = SavedTensor(y)](const Variables& g, const Node& self) -> Variables {
                  const Variable out = self.output(0, saved.get(self));
                  return {mul(out, sub(g[0], sum(mul(g[0], out), {dim}, true)))};
                });
}

Variable log_softmax(const Variable& a, int dim) {
  Tensor y = log_softmax(a.value(), dim);
  return record("log_softmax", y, {a},
                [dim, saved = SavedTensor(y)](const Variables& g, const Node& self) -> Variables {
                  const Variable out = self.output(0, saved.get(self));
                  return {sub(g[0], mul(exp(out), sum(g[0], {dim}, true)))};
                });
}

Variable logsumexp(const Variable& a, const std::vector<int>& dims, bool keepdim) {
  Tensor y = logsumexp(a.value(), dims, keepdim);
  return record("logsumexp", y, {a},
                [kept = kept_shape("logsumexp", a, dims), sa = SavedTensor(a.value()), sy = SavedTensor(y)](
                    const Variables& g, const Node& self) -> Variables {
                  const Variable in = self.input(0, sa.get(self));
                  const Variable out = reshape(self.output(0, sy.get(self)), kept);
                  return {mul(reshape(g[0], kept), exp(sub(in, out)))};
                });
}

}  // namespace sigma
