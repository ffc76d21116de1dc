#include "layers/save.h"

#include "core/safetensors.h"

namespace sigma {

void save(const Module& module, const std::string& path) {
  SafeTensors content;
  content.tensors = module.state_dict().by_name();
  add_digest(content);
  save_safetensors(path, content);
}

void load(Module& module, const std::string& path) {
  const SafeTensors content = load_safetensors(path);
  verify_digest(content, path);
  try {
    module.load_state_dict(StateDict::of(content.tensors));
  } catch (const Error& e) { throw_error(e.kind(), path, e.what()); }
}

}  // namespace sigma
