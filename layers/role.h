// What a layer's forward pass computes and nothing else, so that a chain may compute it together with its
// neighbours (layers/fused/); and layer_as, for those who know which layers a network has.
#pragma once

#include <cstdint>
#include <string>
#include <typeinfo>

namespace sigma {

enum class Role : uint8_t {
  none,         // something of its own
  identity,     // x
  chain,        // its children one after the other
  convolution,  // conv2d(x, weight, bias, options)
  linear,       // linear(x, weight, bias)
  batch_norm,   // BatchNorm::forward
  relu,         // relu(x)
  max_pool,     // max_pool2d(x, options)
  residual,     // Residual::forward
};

// The role of a `Layer` itself. A class derived from it may compute something else, so it has none. (This
// file is the only one that asks for a type at run time.)
template <class Layer>
Role role_of(const Layer& layer, Role role) {
  return typeid(layer) == typeid(Layer) ? role : Role::none;
}

// Throws that the module at `path` is no `expected`; `got` is its kind, empty when there is none.
[[noreturn]] void throw_other_layer(const std::type_info& expected, const std::string& path,
                                    const std::string& got);

// A module as the layer that it is, or null when it is another; of const modules, layer_as<const Linear>. For
// programs that look into a network they know, such as tests; no pass of the library asks.
template <class Layer, class AnyModule>
Layer* layer_as(AnyModule* module) {
  return dynamic_cast<Layer*>(module);
}

// The layer at a path of a network: layer_as<BatchNorm2d>(net, "layer1.0.bn1"). Another one there, or none,
// is an Error: `[layer_as] expected a sigma::BatchNorm2d at "layer1.0.bn1", got a Linear`.
template <class Layer, class Network>
Layer& layer_as(Network& network, const std::string& path) {
  auto* module = network.find(path);
  if (auto* layer = layer_as<Layer>(module)) return *layer;
  throw_other_layer(typeid(Layer), path, module ? module->kind() : "");
}

}  // namespace sigma
