#include "layers/save.h"

#include "core/safetensors.h"

namespace sigma {

void save(const Module& module, const std::string& path) {
  SafeTensors content;
  for (auto& [name, value] : module.state_dict().items) content.tensors.emplace(name, value);
  add_digest(content);
  save_safetensors(path, content);
}

void load(Module& module, const std::string& path) {
  const SafeTensors content = load_safetensors(path);
  verify_digest(content, path);
  StateDict state;
  for (auto& [name, value] : content.tensors) state.items.emplace_back(name, value);
  try {
    module.load_state_dict(std::move(state));
  } catch (const Error& e) { throw_error(e.kind(), path, e.what()); }
}

}  // namespace sigma
