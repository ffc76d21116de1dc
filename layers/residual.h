// Residual: y = body(x) + shortcut(x); without a shortcut module, x itself. He et al. 2016.
#pragma once

#include "autograd/precision.h"
#include "layers/activations.h"
#include "layers/batch_norm.h"
#include "layers/conv2d.h"
#include "layers/sequential.h"

namespace sigma {

class Residual : public Module {
 public:
  explicit Residual(ModulePtr body, ModulePtr shortcut = nullptr) {
    register_module("body", std::move(body));
    if (shortcut) register_module("shortcut", std::move(shortcut));
  }
  Variable forward(const Variable& given) override {
    auto& children = named_children();
    const Variable x = autocast(given);  // so that body and shortcut agree
    const Variable skip = children.size() > 1 ? (*children[1].second)(x) : x, y = (*children[0].second)(x);
    check_skip(y, skip);
    return add(y, skip);
  }
  std::string kind() const override { return "Residual"; }
  std::span<const Child> chain() const override { return std::span(named_children()).first(1); }
  bool replaces_children() const override { return true; }
};

// ResNet's basic block: relu(bn2(conv2(relu(bn1(conv1(x))))) + downsample(x)), 3x3 convolutions, the first
// with `stride`. The downsampling shortcut, a 1x1 convolution and batch norm, is there when the shape
// changes. Without batch norm the convolutions have biases.
class BasicBlock : public Module {
 public:
  BasicBlock(int64_t in, int64_t out, int64_t stride, bool batch_norm) {
    auto norm = [&](const char* name) {
      if (batch_norm) register_module(name, std::make_shared<BatchNorm2d>(out));
    };
    register_module("conv1",
                    std::make_shared<Conv2d>(
                        in, out, Conv2dOptions{.stride = stride, .padding = 1, .bias = !batch_norm}));
    norm("bn1");
    register_module("relu", std::make_shared<ReLU>());
    register_module("conv2",
                    std::make_shared<Conv2d>(out, out, Conv2dOptions{.padding = 1, .bias = !batch_norm}));
    norm("bn2");
    body_ = named_children().size();
    if (stride == 1 && in == out) return;
    auto down = std::make_shared<Sequential>();
    down->append(
        std::make_shared<Conv2d>(in, out, Conv2dOptions{.kernel = 1, .stride = stride, .bias = !batch_norm}));
    if (batch_norm) down->append(std::make_shared<BatchNorm2d>(out));
    register_module("downsample", down);
  }
  Variable forward(const Variable& given) override {
    auto& children = named_children();
    const Variable x = autocast(given);  // so that body and shortcut agree
    return run_chain(children, 0, body_, x, body_ < children.size() ? (*children[body_].second)(x) : x);
  }
  std::string kind() const override { return "BasicBlock"; }
  std::span<const Child> chain() const override { return std::span(named_children()).first(body_); }
  bool replaces_children() const override { return true; }

 private:
  size_t body_;  // children before the shortcut
};

}  // namespace sigma
