// The functions of ops.h that pick elements by index.
#include "autograd/node.h"
#include "autograd/ops.h"

namespace sigma {

Variable gather(const Variable& a, int dim, const Tensor& index) {
  return record(
      "gather", gather(a.value(), dim, index), {a},
      [dim, from = a.shape(), saved = SavedTensor(index)](const Variables& g, const Node& self) -> Variables {
        return {scatter_add(Variable(Tensor::zeros(from, self.dtype)), dim, saved.get(self), g[0])};
      });
}

Variable scatter_add(const Variable& a, int dim, const Tensor& index, const Variable& source) {
  return record("scatter_add", scatter_add(a.value(), dim, index, source.value()), {a, source},
                [dim, saved = SavedTensor(index)](const Variables& g, const Node& self) -> Variables {
                  return {g[0], self.needs(1) ? gather(g[0], dim, saved.get(self)) : Variable()};
                });
}

Variable index_select(const Variable& a, int dim, const Tensor& index) {
  return record(
      "index_select", index_select(a.value(), dim, index), {a},
      [dim, from = a.shape(), saved = SavedTensor(index)](const Variables& g, const Node& self) -> Variables {
        return {index_add(Variable(Tensor::zeros(from, self.dtype)), dim, saved.get(self), g[0])};
      });
}

Variable index_add(const Variable& a, int dim, const Tensor& index, const Variable& source) {
  return record("index_add", index_add(a.value(), dim, index, source.value()), {a, source},
                [dim, saved = SavedTensor(index)](const Variables& g, const Node& self) -> Variables {
                  return {g[0], self.needs(1) ? index_select(g[0], dim, saved.get(self)) : Variable()};
                });
}

Variable index_rows(const Variable& a, const std::vector<int64_t>& rows) {
  return index_select(a, 0, Tensor::from(rows, {static_cast<int64_t>(rows.size())}));
}

}  // namespace sigma
