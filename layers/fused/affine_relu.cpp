#include "core/kernels/elementwise.h"
#include "layers/conv2d_call.h"
#include "layers/fused/functions.h"
#include "layers/linear_call.h"

namespace sigma::fused {
namespace {

void refuse_gradient(const char* tag, const Variables& inputs) {
  SIGMA_CHECK(!will_record(inputs), tag,
              "this function has no gradient, but an input asks for one; take relu of the plain function");
}

}  // namespace

Variable conv2d_relu(const Variable& x, const Variable& weight, const Variable& bias,
                     const Conv2dOptions& options) {
  const Conv2dCall call(x, weight, bias, options);
  refuse_gradient("conv2d_relu", call.inputs());
  return Variable(call.forward({.relu = true}));
}

Variable linear_relu(const Variable& x, const Variable& weight, const Variable& bias) {
  const LinearCall call(x, weight, bias);
  refuse_gradient("linear_relu", call.inputs());
  Tensor product = call.product();
  Tensor y = call.dtype() == product.dtype() ? product : Tensor::empty(product.shape(), call.dtype());
  dispatch_stored(call.dtype(), "linear_relu", [&](auto zero) {
    using X = decltype(zero);
    using T = Compute<X>;
    const T* b = bias.defined() ? bias.value().data<T>() : nullptr;
    kernels::add_rows(call.rows(), product.dim(-1), product.data<T>(), b, true, y.mutable_data<X>());
  });
  return Variable(y);
}

}  // namespace sigma::fused
