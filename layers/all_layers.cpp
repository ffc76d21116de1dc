// What walks through the table of layers: including layers.h puts every layer into it.
#include "layers/checks.h"
#include "layers/layers.h"

namespace sigma {

const std::vector<LayerExample>& layer_examples() {
  static const std::vector<LayerExample> modules = [] {
    std::vector<LayerExample> all = registered_examples();
    std::erase_if(all, [](const LayerExample& e) { return !e.make; });
    return all;
  }();
  return modules;
}

std::vector<std::string> layer_names() {
  std::vector<std::string> names;
  for (const LayerExample& e : registered_examples())
    if (names.empty() || names.back() != e.layer) names.push_back(e.layer);
  return names;
}

std::vector<CheckRow> gradcheck_layers(const std::string& layer) {
  std::vector<CheckRow> rows;
  for (const LayerExample& e : registered_examples()) {
    if (!layer.empty() && layer != e.layer) continue;
    if (e.check) {
      rows.push_back({e.layer, e.what, e.check()});
      continue;
    }
    ModulePtr module = e.make();
    module->train(e.training);
    rows.push_back({e.layer, e.what, gradcheck_module(*module, smooth_input(e.input, 7))});
  }
  return rows;
}

}  // namespace sigma
