#include "layers/linear.h"

#include "autograd/ops.h"
#include "autograd/precision.h"
#include "core/kernels/elementwise.h"
#include "core/kernels/gemm.h"
#include "core/kernels/reduce.h"
#include "layers/linear_call.h"

namespace sigma {

using kernels::Trans;

LinearCall::LinearCall(const Variable& x, const Variable& weight, const Variable& bias)
    : x_(autocast(x)), weight_(weight), bias_(bias) {
  const DType dtype = weight.dtype();
  SIGMA_CHECK(x_.rank() >= 1 && weight.rank() == 2 && x_.dim(-1) == weight.dim(1), "linear",
              "expected {} features, got input {}", weight.dim(1), x_.shape().str());
  SIGMA_CHECK(compute_dtype(dtype) == dtype, "linear", "expected float32 or float64 weights, got {}",
              name_of(dtype));
  SIGMA_CHECK(compute_dtype(x_.dtype()) == dtype, "linear", "expected {} input, got {}", name_of(dtype),
              name_of(x_.dtype()));
  if (bias.defined())
    SIGMA_CHECK(bias.numel() == weight.dim(0) && bias.dtype() == dtype, "linear",
                "expected a bias of {} {} elements, got {} {}", weight.dim(0), name_of(dtype), bias.numel(),
                name_of(bias.dtype()));
  in_ = weight.dim(1);
  out_ = weight.dim(0);
  rows_ = in_ ? x_.numel() / in_ : 0;
  input_ = x_.value().contiguous();
}

Tensor LinearCall::product() const {
  Shape shape = x_.shape();
  shape[-1] = out_;
  Tensor wide = input_.to(weight_.dtype()), y = Tensor::empty(shape, weight_.dtype());
  dispatch_floating(weight_.dtype(), "linear", [&](auto zero) {
    using T = decltype(zero);
    kernels::parallel_gemm(Trans::no, Trans::yes, rows_, out_, in_, T(1), wide.data<T>(), in_,
                           weight_.value().data<T>(), in_, T(0), y.mutable_data<T>(), out_);
  });
  return y;
}

Tensor LinearCall::plus_bias(const Tensor& product) const {
  const bool same = dtype() == product.dtype();
  if (same && !bias_.defined()) return product;
  Tensor y = same ? product : Tensor::empty(product.shape(), dtype());
  dispatch_stored(dtype(), "linear", [&](auto zero) {
    using X = decltype(zero);
    using T = Compute<X>;
    const T* b = bias_.defined() ? bias_.value().data<T>() : nullptr;
    kernels::add_rows(rows_, out_, product.data<T>(), b, false, y.mutable_data<X>());
  });
  return y;
}

Variable LinearCall::record(Tensor y) const {
  auto backward = [input = SavedTensor(input_), w = SavedTensor(weight_.value()), rows = rows_, in = in_,
                   out = out_](const Variables& g, const Node& self) -> Variables {
    const Tensor& tx = input.get(self);
    const Tensor& tw = w.get(self);
    if (grad_enabled()) {  // to be differentiated again
      SIGMA_CHECK(tx.dtype() == tw.dtype(), "linear", "in {} this function can be differentiated once only",
                  name_of(tx.dtype()));
      Variable vg = reshape(g[0], {rows, out}), vx = reshape(self.input(0, tx), {rows, in});
      return {reshape(matmul(vg, self.input(1, tw)), tx.shape()), matmul(transpose(vg, 0, 1), vx),
              self.needs(2) ? sum(vg, {0}) : Variable()};
    }
    Tensor wide = g[0].value().contiguous().to(tw.dtype()), dx, dw, db;
    dispatch_floating(tw.dtype(), "linear", [&](auto zero) {
      using T = decltype(zero);
      const T* dy = wide.data<T>();
      if (self.needs(0)) {
        dx = Tensor::empty(tx.shape(), tw.dtype());
        kernels::parallel_gemm(Trans::no, Trans::no, rows, in, out, T(1), dy, out, tw.data<T>(), in, T(0),
                               dx.mutable_data<T>(), in);
        dx = dx.to(tx.dtype());
      }
      if (self.needs(1)) {
        const Tensor values = tx.to(tw.dtype());
        dw = Tensor::empty(tw.shape(), tw.dtype());
        kernels::parallel_gemm(Trans::yes, Trans::no, out, in, rows, T(1), dy, out, values.data<T>(), in,
                               T(0), dw.mutable_data<T>(), in);
      }
      if (self.needs(2)) {
        db = Tensor::empty({out}, tw.dtype());
        kernels::column_sums(dy, rows, out, db.mutable_data<T>());
      }
    });
    auto wrap = [](Tensor t) { return t.defined() ? Variable(std::move(t)) : Variable(); };
    return {wrap(dx), wrap(dw), wrap(db)};
  };
  return sigma::record("linear", std::move(y), inputs(), backward);
}

Variable linear(const Variable& x, const Variable& weight, const Variable& bias) {
  const LinearCall call(x, weight, bias);
  return call.record(call.plus_bias(call.product()));
}

namespace {
AffineForm form_of(const Variable& weight) {
  SIGMA_CHECK(weight.defined() && weight.rank() == 2, "linear", "expected weights (out, in)");
  return {.in = weight.dim(1), .out = weight.dim(0)};
}
}  // namespace

Linear::Linear(int64_t in, int64_t out, LinearOptions options)
    : AffineLayer({.in = in, .out = out, .bias = options.bias}, "linear") {}

Linear::Linear(Variable shared_weight, Variable shared_bias)
    : AffineLayer(form_of(shared_weight), "linear", shared_weight, std::move(shared_bias)) {}

std::string Linear::describe() const {
  return fmt::format("Linear(in_features={}, out_features={}, bias={})", form().in, form().out,
                     bias.defined() ? "True" : "False");
}

ModulePtr Linear::make(const AffineForm& f) const {
  if (f.convolution || f.groups != 1) return nullptr;
  return std::make_shared<Linear>(f.in, f.out, LinearOptions{.bias = f.bias});
}

std::vector<LayerExample> Linear::examples() {
  return {example<Linear>("bias", {5, 7}, 7, 4),
          example<Linear>("no bias, 3-D input", {2, 3, 5}, 5, 6, LinearOptions{.bias = false})};
}

std::vector<LayerWord> Linear::words() {
  return {{"linear", "fc", "OUT bias=on", [](const LayerText& t) {
             const int64_t in = t.features(), out = t.whole("out");
             const bool bias = t.bias();
             Shape shape = t.in();
             shape[-1] = out;
             const double numbers = static_cast<double>(out) * static_cast<double>(in + (bias ? 1 : 0));
             return planned<Linear>(shape, numbers, in, out, LinearOptions{.bias = bias});
           }}};
}

}  // namespace sigma
