// Linear: y = x W^T + b.   x (..., in), W (out, in), b (out), y (..., out).
// Saved for backward: x and W. Fails when the last size of x is not `in`.
#pragma once

#include "autograd/ops.h"
#include "autograd/precision.h"
#include "core/kernels/elementwise.h"
#include "core/kernels/gemm.h"
#include "layers/affine.h"

namespace sigma {

// `bias` may be undefined. `relu` is max(y, 0) in the same pass, where no gradient is recorded.
inline Variable linear(const Variable& given, const Variable& weight, const Variable& bias = {},
                       bool relu = false) {
  const Variable x = autocast(given);
  SIGMA_CHECK(x.rank() >= 1 && weight.rank() == 2 && x.dim(-1) == weight.dim(1), "linear",
              "expected {} features, got input {}", weight.dim(1), x.shape().str());
  SIGMA_CHECK(compute_dtype(weight.dtype()) == weight.dtype(), "linear",
              "expected float32 or float64 weights, got {}", name_of(weight.dtype()));
  SIGMA_CHECK(compute_dtype(x.dtype()) == weight.dtype(), "linear", "expected {} input, got {}",
              name_of(weight.dtype()), name_of(x.dtype()));
  if (bias.defined())
    SIGMA_CHECK(bias.numel() == weight.dim(0) && bias.dtype() == weight.dtype(), "linear",
                "expected a bias of {} {} elements, got {} {}", weight.dim(0), name_of(weight.dtype()),
                bias.numel(), name_of(bias.dtype()));
  int64_t in = weight.dim(1), out = weight.dim(0), rows = in ? x.numel() / in : 0;
  Shape shape = x.shape();
  shape[-1] = out;
  // bfloat16 values are widened for the product and its result is rounded; float ones are used as they are.
  const DType master = weight.dtype();
  Tensor input = x.value().contiguous(), y = Tensor::empty(shape, x.dtype());
  using kernels::Trans;
  dispatch_stored(x.dtype(), "linear", [&](auto zero) {
    using X = decltype(zero);
    using T = Compute<X>;
    Tensor wide = input.to(master), product = master == x.dtype() ? y : Tensor::empty(shape, master);
    kernels::parallel_gemm(Trans::no, Trans::yes, rows, out, in, T(1), wide.data<T>(), in,
                           weight.value().data<T>(), in, T(0), product.mutable_data<T>(), out);
    if (bias.defined() || relu || !product.shares_storage(y))
      kernels::add_rows(rows, out, product.data<T>(), bias.defined() ? bias.value().data<T>() : nullptr, relu,
                        y.mutable_data<X>());
  });
  return record("linear", y, {x, weight, bias},
                [input = SavedTensor(input), w = SavedTensor(weight.value()), rows, in, out](
                    const Variables& g, const Node& self) -> Variables {
                  const Tensor &tx = input.get(self), &tw = w.get(self);
                  if (grad_enabled()) {  // to be differentiated again
                    SIGMA_CHECK(tx.dtype() == tw.dtype(), "linear",
                                "in {} this function can be differentiated once only", name_of(tx.dtype()));
                    Variable vg = reshape(g[0], {rows, out}), vx = reshape(self.input(0, tx), {rows, in});
                    return {reshape(matmul(vg, self.input(1, tw)), tx.shape()),
                            matmul(transpose(vg, 0, 1), vx), self.needs(2) ? sum(vg, {0}) : Variable()};
                  }
                  Tensor tg = g[0].value().contiguous(), wide = tg.to(tw.dtype()), dx, dw, db;
                  dispatch_floating(tw.dtype(), "linear", [&](auto zero) {
                    using T = decltype(zero);
                    if (self.needs(0)) {
                      dx = Tensor::empty(tx.shape(), tw.dtype());
                      kernels::parallel_gemm(Trans::no, Trans::no, rows, in, out, T(1), wide.data<T>(), out,
                                             tw.data<T>(), in, T(0), dx.mutable_data<T>(), in);
                      dx = dx.to(tx.dtype());
                    }
                    if (self.needs(1)) {
                      dw = Tensor::empty(tw.shape(), tw.dtype());
                      kernels::parallel_gemm(Trans::yes, Trans::no, out, in, rows, T(1), wide.data<T>(), out,
                                             tx.to(tw.dtype()).template data<T>(), in, T(0),
                                             dw.mutable_data<T>(), in);
                    }
                    if (self.needs(2)) {
                      db = Tensor::empty({out}, tw.dtype());
                      kernels::column_sums(wide.data<T>(), rows, out, db.mutable_data<T>());
                    }
                  });
                  auto wrap = [](Tensor t) { return t.defined() ? Variable(std::move(t)) : Variable(); };
                  return {wrap(dx), wrap(dw), wrap(db)};
                });
}

struct LinearOptions {
  bool bias = true;
};

// Initial values as PyTorch's: weight and bias uniform in +-1/sqrt(in).
class Linear : public AffineLayer {
 public:
  Linear(int64_t in, int64_t out, LinearOptions options = {});
  // On weights that another layer has too; `shared_bias` may be undefined.
  explicit Linear(Variable shared_weight, Variable shared_bias = {});
  Variable forward(const Variable& x) override { return linear(x, weight, bias); }
  Variable forward(const Variable& x, bool relu) { return linear(x, weight, bias, relu); }
  std::string kind() const override { return "Linear"; }
  std::string describe() const override;
  Role role() const override { return role_of(*this, Role::linear); }
  ModulePtr make(const AffineForm& form) const override;
};

}  // namespace sigma
