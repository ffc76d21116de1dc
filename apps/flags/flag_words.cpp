#include "apps/flags/flag_words.h"

#include <algorithm>
#include <map>

#include "apps/flags/flag_lists.h"
#include "apps/flags/options.h"

namespace sigma::app {
namespace {

// "batch norm", "group norm (8 groups)".
std::string norm_words(const std::string& norm) {
  const size_t colon = norm.find(':');
  const std::string kind = norm.substr(0, colon) + " norm";
  if (norm == "none") return "no norm";
  return colon == norm.npos ? kind : fmt::format("{} ({} groups)", kind, norm.substr(colon + 1));
}

std::string batch_norm_words(const Options& o) {
  const std::string norm = o.norm.substr(0, o.norm.find(':')) + " norm";
  return o.batch_norm == "on" ? norm_words(o.norm) : "no " + norm;
}

// Values with words of their own, by flag and value; "*" is any other value, {} stands for it.
const std::map<std::string, std::map<std::string, std::string>>& words() {
  static const std::map<std::string, std::map<std::string, std::string>> all{
      {"--normalize",
       {{"none", "raw pixels"},
        {"unit", "pixels 0 to 1"},
        {"standard", "standardized input"},
        {"zca", "whitened (ZCA)"},
        {"pca", "whitened (PCA)"}}},
      {"--optimizer", {{"sgd", "SGD"}, {"adam", "Adam"}, {"adamw", "AdamW"}, {"muon", "Muon"}, {"*", "{}"}}},
      {"--batch-size", {{"1", "one image a step"}, {"*", "batches of {}"}}},
      {"--lr", {{"*", "rate {}"}}},
      {"--lr-scale", {{"", "one rate for all layers"}, {"*", "rates {}"}}},
      {"--decay", {{"all", "decay of all"}, {"weights", "decay of weights alone"}}},
      {"--weight-decay", {{"0", "no weight decay"}}},
      {"--ema", {{"0", "no averaging"}, {"*", "averaged weights ({})"}}},
      {"--freeze", {{"", "nothing frozen"}, {"*", "{} frozen"}}},
      {"--schedule", {{"constant", "constant rate"}, {"*", "{} schedule"}}},
      {"--warmup", {{"0", "no warm-up"}, {"*", "warm-up of {} steps"}}},
      {"--clip-norm", {{"0", "no clipping"}, {"*", "gradients up to {}"}}},
      {"--label-smoothing", {{"0", "no label smoothing"}}},
      {"--augment", {{"none", "no augmentation"}, {"*", "{}"}}},
      {"--crop-padding", {{"reflect", "crops reflect"}, {"zero", "crops show zeros"}}},
      {"--class-weights", {{"none", "classes weigh the same"}, {"balanced", "balanced weights"}}},
      {"--sampler", {{"shuffle", "each image once"}, {"balanced", "each class equally often"}}},
      {"--init", {{"*", "initial weights: {}"}}},
      {"--precision", {{"f32", "float32"}, {"bf16", "bfloat16"}}}};
  return all;
}

}  // namespace

std::string words_of(const Flag& flag, const Options& options) {
  const std::string value = flag.text();
  if (flag.name == "--batch-norm") return batch_norm_words(options);
  if (flag.name == "--norm") return norm_words(value);
  if (flag.has(kNetwork)) return network_name(value);
  std::string name = flag.name.substr(2);
  std::replace(name.begin(), name.end(), '-', ' ');
  if (flag.is_switch()) return value == "true" ? name : "no " + name;
  if (const auto own = words().find(flag.name); own != words().end()) {
    auto found = own->second.find(value);
    if (found == own->second.end()) found = own->second.find("*");
    if (found != own->second.end()) return fmt::format(fmt::runtime(found->second), value);
  }
  return value.empty() ? "no " + name : name + " " + value;
}

}  // namespace sigma::app
