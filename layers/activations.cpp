#include "layers/activations.h"

#include "autograd/node.h"
#include "core/kernels/elementwise.h"

namespace sigma {
namespace {

using kernels::Activation;

Variable activation(const char* name, Activation kind, const Variable& x, double slope = 0) {
  Tensor y = Tensor::empty_like(x.value());
  dispatch_stored(x.dtype(), name, [&](auto zero) {
    using T = decltype(zero);
    kernels::activation_forward(kind, x.numel(), x.value().data<T>(), Compute<T>(slope), y.mutable_data<T>());
  });
  const bool keeps_input =
      kind == Activation::leaky_relu || kind == Activation::gelu || kind == Activation::silu;
  SavedTensor saved(keeps_input ? x.value() : y);
  auto backward = [saved, kind, slope](const std::vector<Tensor>& grads,
                                       const Node& self) -> std::vector<Tensor> {
    const Tensor& s = saved.get(self);
    Tensor g = grads[0].to(s.layout()), dx = Tensor::empty_like(s);
    dispatch_stored(s.dtype(), self.name, [&](auto zero) {
      using T = decltype(zero);
      kernels::activation_backward(kind, s.numel(), g.data<T>(), s.data<T>(), Compute<T>(slope),
                                   dx.mutable_data<T>());
    });
    return {dx};
  };
  return record(name, y, {x}, once_differentiable(backward));
}

}  // namespace

Variable relu(const Variable& x) { return activation("relu", Activation::relu, x); }
Variable leaky_relu(const Variable& x, double slope) {
  return activation("leaky_relu", Activation::leaky_relu, x, slope);
}
Variable sigmoid(const Variable& x) { return activation("sigmoid", Activation::sigmoid, x); }
Variable tanh(const Variable& x) { return activation("tanh", Activation::tanh, x); }
Variable gelu(const Variable& x) { return activation("gelu", Activation::gelu, x); }
Variable silu(const Variable& x) { return activation("silu", Activation::silu, x); }

std::vector<LayerExample> ReLU::examples() { return {example<ReLU>("", {4, 6})}; }

std::vector<LayerWord> ReLU::words() { return {elementwise_word<ReLU>("relu")}; }

std::vector<LayerExample> LeakyReLU::examples() {
  return {example<LeakyReLU>("slope 0.2", {4, 6}, LeakyReLUOptions{.negative_slope = 0.2})};
}

std::vector<LayerWord> LeakyReLU::words() {
  return {{"leakyrelu", "leakyrelu", "SLOPE=0.01", [](const LayerText& t) {
             return planned<LeakyReLU>(t.in(), 0, LeakyReLUOptions{.negative_slope = t.number("slope")});
           }}};
}

std::vector<LayerExample> Sigmoid::examples() { return {example<Sigmoid>("", {4, 6})}; }

std::vector<LayerWord> Sigmoid::words() { return {elementwise_word<Sigmoid>("sigmoid")}; }

std::vector<LayerExample> Tanh::examples() { return {example<Tanh>("", {4, 6})}; }

std::vector<LayerWord> Tanh::words() { return {elementwise_word<Tanh>("tanh")}; }

std::vector<LayerExample> GELU::examples() { return {example<GELU>("", {4, 6})}; }

std::vector<LayerWord> GELU::words() { return {elementwise_word<GELU>("gelu")}; }

std::vector<LayerExample> SiLU::examples() { return {example<SiLU>("", {4, 6})}; }

std::vector<LayerWord> SiLU::words() { return {elementwise_word<SiLU>("silu")}; }

}  // namespace sigma
