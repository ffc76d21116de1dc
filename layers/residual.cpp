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
  add_layer("body", std::move(body));
  if (shortcut) set_shortcut("shortcut", std::move(shortcut));
}

Residual::Residual(const std::vector<Child>& body, const std::optional<Child>& shortcut) {
  for (const auto& [name, layer] : body) add_layer(name, layer);
  if (shortcut) set_shortcut(shortcut->first, shortcut->second);
}

void Residual::add_layer(const std::string& name, ModulePtr layer) {
  register_module(name, std::move(layer));
  ++body_;
}

Variable Residual::skip(const Variable& x) {
  const auto& children = named_children();
  return body_ < children.size() ? (*children[body_].second)(x) : x;
}

Variable Residual::forward(const Variable& given) {
  const Variable x = autocast(given);  // so that body and shortcut agree
  const Variable other = skip(x), y = run_chain(chain(), x);
  check_skip(y, other);
  return add(y, other);
}

Variable Residual::forward_relu(const Variable& given) {
  const Variable x = autocast(given);
  return run_chain(chain(), x, skip(x));
}

BasicBlock::BasicBlock(int64_t in, int64_t out, int64_t stride, bool batch_norm) {
  auto conv = [&](int64_t from, Conv2dOptions options) {
    options.bias = !batch_norm;
    return std::make_shared<Conv2d>(from, out, options);
  };
  add_layer("conv1", conv(in, {.stride = stride, .padding = 1}));
  if (batch_norm) add_layer("bn1", std::make_shared<BatchNorm2d>(out));
  add_layer("relu", std::make_shared<ReLU>());
  add_layer("conv2", conv(out, {.padding = 1}));
  if (batch_norm) add_layer("bn2", std::make_shared<BatchNorm2d>(out));
  if (stride == 1 && in == out) return;
  auto down = std::make_shared<Sequential>();
  down->append(conv(in, {.kernel = 1, .stride = stride}));
  if (batch_norm) down->append(std::make_shared<BatchNorm2d>(out));
  set_shortcut("downsample", down);
}

std::vector<LayerExample> Residual::examples() {
  return {{"linear body", {4, 6}, [] { return std::make_shared<Residual>(std::make_shared<Linear>(6, 6)); }}};
}

std::vector<LayerExample> BasicBlock::examples() {
  return {example<BasicBlock>("stride 2, batch norm", {3, 2, 4, 4}, 2, 4, 2, true),
          example<BasicBlock>("plain", {2, 3, 4, 4}, 3, 3, 1, false)};
}

}  // namespace sigma
