#include "layers/networks/models.h"

#include <algorithm>

#include "core/text.h"
#include "layers/table.h"

namespace sigma {
namespace {

// One line a network: its name, that of its file, and whether it was designed for colour images of 32 x 32.
struct Entry {
  const char* name;
  bool color;
};
constexpr Entry kEntries[] = {
    {"mlp", false},     {"sigmoid-mlp", false}, {"lenet5", false},  {"cnn", false},     {"vgg", true},
    {"resnet20", true}, {"resnet32", true},     {"resnet44", true}, {"resnet56", true}, {"resnet110", true}};

// The files, as the build found them.
constexpr struct {
  const char *name, *text;
} kTexts[] = {
#include SIGMA_NETWORKS
};

const Entry* entry(const std::string& name) {
  for (const Entry& e : kEntries)
    if (name == e.name) return &e;
  return nullptr;
}

bool is_one_word(const std::string& text) { return text.find_first_of(" \t\r\n,:{}()=#") == text.npos; }

}  // namespace

const std::vector<std::string>& model_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const Entry& e : kEntries) list.emplace_back(e.name);
    return list;
  }();
  return names;
}

bool is_model_name(const std::string& name) { return entry(name) != nullptr; }

std::string model_text(const std::string& model) {
  for (const auto& [name, text] : kTexts)
    if (model == name) return text;
  if (is_one_word(model) && registered_words().count(model) == 0)
    fail(ErrorKind::usage, "model", "unknown name \"{}\", expected one of {}, or layers as text", model,
         join(model_names(), ", "));
  check_network_text(model);
  return model;
}

std::string model_label(const std::string& model) {
  constexpr size_t kShown = 40;
  if (is_model_name(model)) return model;
  std::string line;
  for (const std::string& part : split(canonical_text(model), '\n')) {
    const size_t begin = part.find_first_not_of(' ');
    if (begin == part.npos) continue;
    if (!line.empty()) line += ", ";
    line.append(part, begin);
  }
  return line.size() <= kShown ? line : line.substr(0, kShown - 3) + "...";
}

ModelInput default_input(const std::string& model) {
  const Entry* e = entry(model);
  if (!e) model_text(model);
  return e && e->color ? ModelInput{3, 32, 32, 10} : ModelInput{1, 28, 28, 10};
}

ModulePtr make_model(const std::string& model, const ModelInput& input, const Norm& norm, uint64_t seed) {
  ModulePtr net;
  try {
    net = build_network(model_text(model), input, norm);
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::usage || !is_model_name(model)) throw;
    fail(ErrorKind::usage, "model " + model, "for images of {} and {} classes: {}", input.str(),
         input.classes, e.what());
  }
  initialize(*net, seed);
  return net;
}

}  // namespace sigma
