// What a layer's forward pass computes and nothing else, so that a chain may compute it together with its
// neighbours (layers/fused/).
#pragma once

#include <cstdint>
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
};

// The role of a `Layer` itself. A class derived from it may compute something else, so it has none. (This is
// the only place that asks for a type at run time.)
template <class Layer>
Role role_of(const Layer& layer, Role role) {
  return typeid(layer) == typeid(Layer) ? role : Role::none;
}

}  // namespace sigma
