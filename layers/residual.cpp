#include "layers/residual.h"

#include "autograd/ops.h"
#include "autograd/precision.h"
#include "layers/activations.h"
#include "layers/batch_norm.h"
#include "layers/conv2d.h"
#include "layers/linear.h"
#include "layers/sequential.h"

namespace sigma {

Residual::Residual(ModulePtr body, ModulePtr shortcut) {
  register_module("body", std::move(body));
  if (shortcut) register_module("shortcut", std::move(shortcut));
}

Variable Residual::forward(const Variable& given) {
  const auto& children = named_children();
  const Variable x = autocast(given);  // so that body and shortcut agree
  const Variable skip = children.size() > 1 ? (*children[1].second)(x) : x, y = (*children[0].second)(x);
  check_skip(y, skip);
  return add(y, skip);
}

BasicBlock::BasicBlock(int64_t in, int64_t out, int64_t stride, bool batch_norm) {
  auto conv = [&](int64_t from, Conv2dOptions options) {
    options.bias = !batch_norm;
    return std::make_shared<Conv2d>(from, out, options);
  };
  register_module("conv1", conv(in, {.stride = stride, .padding = 1}));
  if (batch_norm) register_module("bn1", std::make_shared<BatchNorm2d>(out));
  register_module("relu", std::make_shared<ReLU>());
  register_module("conv2", conv(out, {.padding = 1}));
  if (batch_norm) register_module("bn2", std::make_shared<BatchNorm2d>(out));
  body_ = named_children().size();
  if (stride == 1 && in == out) return;
  auto down = std::make_shared<Sequential>();
  down->append(conv(in, {.kernel = 1, .stride = stride}));
  if (batch_norm) down->append(std::make_shared<BatchNorm2d>(out));
  register_module("downsample", down);
}

Variable BasicBlock::forward(const Variable& given) {
  const auto& children = named_children();
  const Variable x = autocast(given);  // so that body and shortcut agree
  return run_chain(chain(), x, body_ < children.size() ? (*children[body_].second)(x) : x);
}

std::vector<LayerExample> Residual::examples() {
  return {{"linear body", {4, 6}, [] { return std::make_shared<Residual>(std::make_shared<Linear>(6, 6)); }}};
}

std::vector<LayerExample> BasicBlock::examples() {
  return {example<BasicBlock>("stride 2, batch norm", {3, 2, 4, 4}, 2, 4, 2, true),
          example<BasicBlock>("plain", {2, 3, 4, 4}, 3, 3, 1, false)};
}

}  // namespace sigma
