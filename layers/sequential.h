// Sequential: layers one after the other, by name.
#pragma once

#include <initializer_list>

#include "layers/fused/chain.h"
#include "layers/table.h"

namespace sigma {

class Sequential : public Module {
 public:
  static std::vector<LayerExample> examples();
  Sequential() = default;
  explicit Sequential(std::initializer_list<std::pair<std::string, ModulePtr>> layers) {
    for (auto& [name, layer] : layers) append(name, layer);
  }
  // Without names the layers are "0", "1", ... as in PyTorch.
  explicit Sequential(std::initializer_list<ModulePtr> layers) {
    for (auto& layer : layers) append(layer);
  }
  Sequential& append(const std::string& name, ModulePtr layer) {
    register_module(name, std::move(layer));
    return *this;
  }
  Sequential& append(ModulePtr layer) {
    return append(std::to_string(named_children().size()), std::move(layer));
  }
  // Constructs a layer in place.
  template <class Layer, class... Args>
  Sequential& add(const std::string& name, Args&&... args) {
    return append(name, std::make_shared<Layer>(std::forward<Args>(args)...));
  }

  Variable forward(const Variable& x) override { return run_chain(chain(), x); }
  std::string kind() const override { return "Sequential"; }
  Role role() const override { return role_of(*this, Role::chain); }
  std::span<const Child> chain() const override { return named_children(); }
  bool replaces_children() const override { return true; }
};
SIGMA_LAYER(Sequential);

// The layer that does nothing; stands where a layer was folded away.
class Identity : public Module {
 public:
  static std::vector<LayerExample> examples();
  static std::vector<LayerWord> words();
  Variable forward(const Variable& x) override { return x; }
  std::string kind() const override { return "Identity"; }
  Role role() const override { return role_of(*this, Role::identity); }
};
SIGMA_LAYER(Identity);

}  // namespace sigma
