// Elementwise activations.
//
//   relu        max(x, 0); the gradient at 0 is 0
//   leaky_relu  x for x > 0, slope * x otherwise
//   sigmoid     1 / (1 + exp(-x))
//   tanh        tanh(x)
//   gelu        x Phi(x), exact (erf) form; Hendrycks and Gimpel 2016
//   silu        x sigmoid(x), also called swish; Elfwing, Uchibe and Doya 2017
//
// Any shape; y has that of x. Saved for backward: the output for relu, sigmoid and tanh, the input for the
// others. Each can be differentiated once.
#pragma once

#include "layers/table.h"

namespace sigma {

Variable relu(const Variable& x);
Variable leaky_relu(const Variable& x, double slope = 0.01);
Variable sigmoid(const Variable& x);
Variable tanh(const Variable& x);
Variable gelu(const Variable& x);
Variable silu(const Variable& x);

class ReLU : public Module {
 public:
  static std::vector<LayerExample> examples();
  static std::vector<LayerWord> words();
  Variable forward(const Variable& x) override { return relu(x); }
  std::string kind() const override { return "ReLU"; }
  Role role() const override { return role_of(*this, Role::relu); }
};
SIGMA_LAYER(ReLU);

struct LeakyReLUOptions {
  double negative_slope = 0.01;
};
class LeakyReLU : public Module {
 public:
  static std::vector<LayerExample> examples();
  static std::vector<LayerWord> words();
  explicit LeakyReLU(LeakyReLUOptions options = {}) : slope_(options.negative_slope) {}
  Variable forward(const Variable& x) override { return leaky_relu(x, slope_); }
  std::string kind() const override { return "LeakyReLU"; }
  std::string describe() const override { return fmt::format("LeakyReLU(negative_slope={})", slope_); }

 private:
  double slope_;
};
SIGMA_LAYER(LeakyReLU);

class Sigmoid : public Module {
 public:
  static std::vector<LayerExample> examples();
  static std::vector<LayerWord> words();
  Variable forward(const Variable& x) override { return sigmoid(x); }
  std::string kind() const override { return "Sigmoid"; }
};
SIGMA_LAYER(Sigmoid);

class Tanh : public Module {
 public:
  static std::vector<LayerExample> examples();
  static std::vector<LayerWord> words();
  Variable forward(const Variable& x) override { return tanh(x); }
  std::string kind() const override { return "Tanh"; }
};
SIGMA_LAYER(Tanh);

class GELU : public Module {
 public:
  static std::vector<LayerExample> examples();
  static std::vector<LayerWord> words();
  Variable forward(const Variable& x) override { return gelu(x); }
  std::string kind() const override { return "GELU"; }
};
SIGMA_LAYER(GELU);

class SiLU : public Module {
 public:
  static std::vector<LayerExample> examples();
  static std::vector<LayerWord> words();
  Variable forward(const Variable& x) override { return silu(x); }
  std::string kind() const override { return "SiLU"; }
};
SIGMA_LAYER(SiLU);

}  // namespace sigma
