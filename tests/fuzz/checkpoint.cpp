#include "apps/training/checkpoint.h"

#include "core/check.h"
#include "layers/networks/models.h"
#include "tests/fuzz/target.h"

namespace sigma::fuzz {
namespace {

constexpr char kMeta[] =
    R"({"model":"mlp","batch_norm":true,"data":"synth-digits","input":[1,2,2],"classes":["a","b"],)"
    R"("normalize":"standard","mean":[0.1],"std":[0.3]})";

// The network's weights take most of a checkpoint, and mutations of them tell little: those of a network that
// is as small as one can be.
std::vector<std::string> seeds() {
  SafeTensors content;
  content.metadata["sigma"] = kMeta;
  content.metadata["format"] = "pt";
  std::vector<std::string> files = {serialize_safetensors(content)};
  const ModulePtr model = make_model("mlp", {1, 2, 2, 2}, true);
  for (const auto& [name, t] : model->state_dict().items) content.tensors[name] = t;
  files.push_back(serialize_safetensors(content));
  return files;
}

// The digest is made right: it protects from damage, not from someone who writes a file on purpose.
void parse(const Bytes& bytes) {
  SafeTensors content = parse_safetensors(bytes, "file");
  add_digest(content);
  const std::string whole = serialize_safetensors(content);
  const MemoryFile file(Bytes(whole.begin(), whole.end()));
  using namespace app;
  model_from(load_checkpoint(file.path()), file.path());
}

}  // namespace

const Target checkpoint = {"checkpoint", seeds, parse};

}  // namespace sigma::fuzz
