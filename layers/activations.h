// Elementwise activations. Saved for backward: the output for ReLU, Sigmoid and Tanh, the input for LeakyReLU
// and GELU.
#pragma once

#include "autograd/node.h"
#include "core/kernels/elementwise.h"
#include "layers/module.h"

namespace sigma {

inline Variable activation(const char* name, kernels::Activation kind, const Variable& x, double slope = 0) {
  using kernels::Activation;
  Tensor y = Tensor::empty_like(x.value());
  dispatch_stored(x.dtype(), name, [&](auto zero) {
    using T = decltype(zero);
    kernels::activation_forward(kind, x.numel(), x.value().data<T>(), Compute<T>(slope), y.mutable_data<T>());
  });
  SavedTensor saved(kind == Activation::leaky_relu || kind == Activation::gelu ? x.value() : y);
  return record(name, y, {x},
                once_differentiable([saved, kind, slope](const std::vector<Tensor>& grads,
                                                         const Node& self) -> std::vector<Tensor> {
                  const Tensor& s = saved.get(self);
                  Tensor g = grads[0].to(s.layout()), dx = Tensor::empty_like(s);
                  dispatch_stored(s.dtype(), self.name, [&](auto zero) {
                    using T = decltype(zero);
                    kernels::activation_backward(kind, s.numel(), g.data<T>(), s.data<T>(), Compute<T>(slope),
                                                 dx.mutable_data<T>());
                  });
                  return {dx};
                }));
}

// max(x, 0); the gradient at 0 is 0.
inline Variable relu(const Variable& x) { return activation("relu", kernels::Activation::relu, x); }
// x for x > 0, slope * x otherwise.
inline Variable leaky_relu(const Variable& x, double slope = 0.01) {
  return activation("leaky_relu", kernels::Activation::leaky_relu, x, slope);
}
// 1 / (1 + exp(-x))
inline Variable sigmoid(const Variable& x) { return activation("sigmoid", kernels::Activation::sigmoid, x); }
inline Variable tanh(const Variable& x) { return activation("tanh", kernels::Activation::tanh, x); }
// x Phi(x), exact (erf) form; Hendrycks and Gimpel 2016.
inline Variable gelu(const Variable& x) { return activation("gelu", kernels::Activation::gelu, x); }

class ReLU : public Module {
 public:
  Variable forward(const Variable& x) override { return relu(x); }
  std::string kind() const override { return "ReLU"; }
  Role role() const override { return role_of(*this, Role::relu); }
};

struct LeakyReLUOptions {
  double negative_slope = 0.01;
};
class LeakyReLU : public Module {
 public:
  explicit LeakyReLU(LeakyReLUOptions options = {}) : slope_(options.negative_slope) {}
  Variable forward(const Variable& x) override { return leaky_relu(x, slope_); }
  std::string kind() const override { return "LeakyReLU"; }
  std::string describe() const override { return fmt::format("LeakyReLU(negative_slope={})", slope_); }

 private:
  double slope_;
};

class Sigmoid : public Module {
 public:
  Variable forward(const Variable& x) override { return sigmoid(x); }
  std::string kind() const override { return "Sigmoid"; }
};

class Tanh : public Module {
 public:
  Variable forward(const Variable& x) override { return tanh(x); }
  std::string kind() const override { return "Tanh"; }
};

class GELU : public Module {
 public:
  Variable forward(const Variable& x) override { return gelu(x); }
  std::string kind() const override { return "GELU"; }
};

}  // namespace sigma
