// The flags of a run: as JSON, compared with an earlier run's, and what they mean for its length and threads.
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "apps/verbs/verbs.h"

#include <nlohmann/json.hpp>

#include "core/parallel.h"

namespace sigma::app {
namespace {

// A run can be gone on with from anywhere, so its files have absolute paths.
std::string absolute_path(const std::string& path) {
  return std::filesystem::absolute(path).lexically_normal().string();
}
constexpr const char* kFolder = "folder:";
bool is_folder(const std::string& data) { return data.rfind(kFolder, 0) == 0; }
std::string absolute_data(const std::string& data) {
  return is_folder(data) ? kFolder + absolute_path(data.substr(std::strlen(kFolder))) : data;
}

// Whether two values of a flag make the same run. Where data are does not matter: their content is compared
// by fingerprint, and earlier versions kept paths as they were given.
bool is_same(const std::string& key, const Json& a, const Json& b) {
  if (key == "data-dir" || key == "save-every") return true;
  auto folder = [](const Json& j) { return j.is_string() && is_folder(j.get<std::string>()); };
  if (key == "data" && folder(a) && folder(b)) return true;
  if (key == "checkpoint" && a.is_string() && b.is_string())
    return absolute_path(a.get<std::string>()) == absolute_path(b.get<std::string>());
  return a == b;
}

}  // namespace

Json flags_json(const Options& o) {
  Json j;
  j["data"] = absolute_data(o.data);
  if (!o.data_dir.empty()) j["data-dir"] = absolute_path(o.data_dir);
  j["limit-train"] = o.limit_train, j["limit-test"] = o.limit_test;
  j["model"] = o.model, j["batch-norm"] = o.batch_norm, j["normalize"] = o.normalize;
  j["mean"] = o.mean, j["std"] = o.std;
  j["epochs"] = o.epochs, j["batch-size"] = o.batch_size, j["lr"] = o.lr;
  j["optimizer"] = o.optimizer;
  const HyperValues hyper = hyper_values(o);
  for (const HyperParameter& h : optimizer_entry(o.optimizer).hyper)
    j[h.name] = h.is_switch ? Json(hyper.at(h.name) != 0) : Json(hyper.at(h.name));
  j["weight-decay"] = o.weight_decay, j["schedule"] = o.schedule, j["warmup"] = o.warmup,
  j["clip-norm"] = o.clip_norm;
  j["label-smoothing"] = o.label_smoothing, j["augment"] = o.augment, j["crop-padding"] = o.crop_padding,
  j["seed"] = o.seed;
  j["max-steps"] = o.max_steps, j["eval-every"] = o.eval_every, j["eval-images"] = o.eval_images,
  j["precision"] = o.precision;
  j["init"] = o.init, j["whiten-epsilon"] = o.whiten_epsilon;
  if (!o.checkpoint.empty()) j["checkpoint"] = absolute_path(o.checkpoint);
  if (o.save_every > 0) j["save-every"] = o.save_every;
  return j;
}

std::string differing_flags(const Json& then, const Json& now) {
  std::string text;
  // A run of an earlier version had, of a flag that came later, what is now the default.
  const Json defaults = flags_json(Options());
  auto value = [&](const Json& j, const std::string& key) {
    return j.contains(key) ? j.at(key) : defaults.contains(key) ? defaults.at(key) : Json();
  };
  Json keys = then;
  keys.update(now);
  for (auto& [key, unused] : keys.items()) {
    Json a = value(then, key), b = value(now, key);
    if (!is_same(key, a, b)) text += fmt::format("; --{} was {}, now {}", key, a.dump(), b.dump());
  }
  return text;
}

int64_t total_steps(const Options& o, int64_t steps_per_epoch) {
  if (o.epochs < 0) return o.max_steps > 0 ? o.max_steps : 5 * steps_per_epoch;
  int64_t total = checked_mul(o.epochs, steps_per_epoch);
  return o.max_steps > 0 ? std::min(total, o.max_steps) : total;
}

void apply_threads(const Options& o) { set_num_threads(o.threads > 0 ? o.threads : available_processors()); }

}  // namespace sigma::app
