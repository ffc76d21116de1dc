#include "layers/table.h"

#include <map>

namespace sigma {
namespace {

std::map<std::string, LayerExamples>& table() {
  static std::map<std::string, LayerExamples> all;
  return all;
}

}  // namespace

bool register_layer(const char* name, LayerExamples examples) {
  return table().emplace(name, examples).second;
}

std::vector<LayerExample> registered_examples() {
  std::vector<LayerExample> all;
  for (auto& [name, examples] : table())
    for (LayerExample& e : examples()) {
      e.layer = name;
      all.push_back(std::move(e));
    }
  return all;
}

}  // namespace sigma
