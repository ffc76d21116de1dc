// Residual blocks (He et al. 2016).
//
//   Residual    y = body(x) + shortcut(x), or + x without a shortcut
//   BasicBlock  y = relu(bn2(conv2(relu(bn1(conv1(x))))) + downsample(x)), ResNet's
#pragma once

#include "layers/table.h"

namespace sigma {

// Fails when body and shortcut give different shapes or types.
class Residual : public Module {
 public:
  static std::vector<LayerExample> examples();
  explicit Residual(ModulePtr body, ModulePtr shortcut = nullptr);
  Variable forward(const Variable& x) override;
  std::string kind() const override { return "Residual"; }
  std::span<const Child> chain() const override { return std::span(named_children()).first(1); }
  bool replaces_children() const override { return true; }
};
SIGMA_LAYER(Residual);

// 3x3 convolutions, the first with `stride`. The downsampling shortcut, a 1x1 convolution and batch norm, is
// there when the shape changes; else x itself is added. Without batch norm the convolutions have biases.
class BasicBlock : public Module {
 public:
  static std::vector<LayerExample> examples();
  BasicBlock(int64_t in, int64_t out, int64_t stride, bool batch_norm);
  Variable forward(const Variable& x) override;
  std::string kind() const override { return "BasicBlock"; }
  std::span<const Child> chain() const override { return std::span(named_children()).first(body_); }
  bool replaces_children() const override { return true; }

 private:
  size_t body_;  // children before the shortcut
};
SIGMA_LAYER(BasicBlock);

}  // namespace sigma
