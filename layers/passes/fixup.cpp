#include "layers/passes/fixup.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/math.h"
#include "layers/affine.h"
#include "layers/role.h"

namespace sigma::init {
namespace {

using Layers = std::vector<AffineLayer*>;

void add_affine(Module& m, Layers& list) {
  m.visit([&](const std::string&, Module& part) {
    if (AffineLayer* layer = part.affine()) list.push_back(layer);
  });
}

void multiply(AffineLayer& layer, double factor) {
  layer.weight.mutable_value().copy_(scale(layer.weight.value(), factor));
}

}  // namespace

void fixup(Module& model) {
  std::vector<Layers> blocks;
  Layers within;  // all of the blocks, with those of shortcuts
  std::string outer;
  model.visit([&](const std::string& path, Module& m) {
    if (m.role() != Role::residual) return;
    if (!outer.empty() && path.starts_with(outer)) return;
    outer = path + ".";
    Layers body;
    for (const auto& [name, child] : m.chain()) add_affine(*child, body);
    SIGMA_CHECK(!body.empty(), "fixup",
                "expected convolutions or linear layers in every residual block, {} has none", path);
    blocks.push_back(body);
    add_affine(m, within);
  });
  SIGMA_CHECK(!blocks.empty(), "fixup", "expected a network with residual blocks, got one without");
  Layers all;
  add_affine(model, all);
  for (AffineLayer* layer : all)
    if (layer->bias.defined()) layer->bias.mutable_value().fill_(0);
  const auto count = static_cast<double>(blocks.size());
  for (const Layers& body : blocks) {
    const auto m = static_cast<double>(body.size());
    for (size_t i = 0; i + 1 < body.size(); ++i) multiply(*body[i], std::pow(count, -1 / (2 * m - 2)));
    multiply(*body.back(), 0);
  }
  if (std::find(within.begin(), within.end(), all.back()) == within.end()) multiply(*all.back(), 0);
}

}  // namespace sigma::init
