// Residual blocks (He et al. 2016).
//
//   Residual    y = body(x) + shortcut(x), or + x without a shortcut
//   BasicBlock  y = relu(bn2(conv2(relu(bn1(conv1(x))))) + downsample(x)), ResNet's
#pragma once

#include <optional>

#include "layers/table.h"

namespace sigma {

// Fails when body and shortcut give different shapes or types. A ReLU after it in a chain is computed
// together with the sum (fused/chain.h).
class Residual : public Module {
 public:
  static std::vector<LayerExample> examples();
  // Children "body" and "shortcut".
  explicit Residual(ModulePtr body, ModulePtr shortcut = nullptr);
  // The body's layers, which run one after the other, and the shortcut by names of their own.
  explicit Residual(const std::vector<Child>& body, const std::optional<Child>& shortcut = {});
  Variable forward(const Variable& x) override;
  Variable forward_relu(const Variable& x);  // relu(forward(x))
  std::string kind() const override { return "Residual"; }
  Role role() const override { return role_of(*this, Role::residual); }
  std::span<const Child> chain() const override { return std::span(named_children()).first(body_); }
  bool replaces_children() const override { return true; }

 protected:
  Residual() = default;
  void add_layer(const std::string& name, ModulePtr layer);  // to the body
  void set_shortcut(const std::string& name, ModulePtr layer) { register_module(name, std::move(layer)); }

 private:
  Variable skip(const Variable& x);
  size_t body_ = 0;  // children before the shortcut
};
SIGMA_LAYER(Residual);

// 3x3 convolutions, the first with `stride`. The downsampling shortcut, a 1x1 convolution and batch norm, is
// there when the shape changes; else x itself is added. Without batch norm the convolutions have biases.
// The same in a network's text, with its ReLU as a layer after it, is in networks/resnet20.net.
class BasicBlock : public Residual {
 public:
  static std::vector<LayerExample> examples();
  BasicBlock(int64_t in, int64_t out, int64_t stride, bool batch_norm);
  Variable forward(const Variable& x) override { return forward_relu(x); }
  std::string kind() const override { return "BasicBlock"; }
};
SIGMA_LAYER(BasicBlock);

}  // namespace sigma
