#include "training/checkpoint_schema.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "core/json.h"
#include "core/math.h"
#include "core/text.h"
#include "data/formats/image.h"

namespace sigma {
namespace {

constexpr ErrorKind kKind = ErrorKind::checkpoint;
constexpr int64_t kMaxPixels = int64_t{1} << 24;  // of an image, channels included
constexpr int64_t kMaxSteps = int64_t{1} << 53;   // what a JSON number holds exactly

bool begins(const std::string& text, const char* prefix) { return text.rfind(prefix, 0) == 0; }
bool ends(const std::string& text, const std::string& suffix) {
  return text.size() >= suffix.size() &&
         text.compare(text.size() - suffix.size(), suffix.size(), suffix) == 0;
}

std::string quoted(const std::string& text) { return "\"" + printable(text) + "\""; }

std::vector<Factor> factors_from(const Json& meta, const std::string& place) {
  std::vector<Factor> factors;
  if (!json_find(meta, "factors")) return factors;
  for (const Json& f : json_array(meta, "factors", kKind, place))
    factors.push_back({json_get<std::string>(f, "layer", kKind, place),
                       parse_factor_scheme(json_get<std::string>(f, "scheme", kKind, place)),
                       json_whole(f, "rank", 1, INT32_MAX, kKind, place)});
  return factors;
}

Dataset::Apart apart_from(const Json& meta, const std::string& place) {
  if (!json_find(meta, "validation")) return {};
  const Json& v = json_object(meta, "validation", kKind, place);
  const std::string at = place + ": validation";
  const Dataset::Apart apart{json_get<double>(v, "part", kKind, at), json_get<uint64_t>(v, "seed", kKind, at),
                             json_whole(v, "images", 1, kMaxSteps, kKind, at)};
  if (!(apart.part > 0 && apart.part < 1))
    fail(kKind, at, "expected a part above 0 and below 1, got {}", apart.part);
  return apart;
}

std::shared_ptr<const Whitening> whitening_from(const SafeTensors& content, const Json& meta,
                                                const ModelInput& input, const std::string& place) {
  const std::string at = place + ": metadata";
  const Json& k = json_object(meta, "whitening", kKind, at);
  auto w = std::make_shared<Whitening>();
  const int64_t d = input.shape(1).numel();
  w->kept = json_whole(k, "kept", 0, d, kKind, at);
  w->largest = json_get<double>(k, "largest", kKind, at);
  w->smallest = json_get<double>(k, "smallest", kKind, at);
  w->epsilon = json_get<double>(k, "epsilon", kKind, at);
  auto take = [&](const char* name, const Shape& shape) {
    auto it = content.tensors.find(name);
    if (it == content.tensors.end()) fail(kKind, place, "the tensor {} is missing", name);
    if (it->second.shape() != shape || it->second.dtype() != DType::float32)
      fail(kKind, place, "{}: expected float32 {}, got {} {}", name, shape.str(), name_of(it->second.dtype()),
           it->second.shape().str());
    if (!all_finite(it->second)) fail(kKind, place, "{} holds values that are not finite", name);
    return it->second;
  };
  w->mean = take("normalize.mean", {d});
  w->matrix = take("normalize.matrix", {d, d});
  return w;
}

bool whitens(const std::string& kind) { return kind == "zca" || kind == "pca"; }

NetworkRecord network_from(const SafeTensors& content, const Json& meta, const std::string& place) {
  const std::string at = place + ": metadata";
  NetworkRecord n;
  n.name = json_get<std::string>(meta, "model", kKind, at);
  n.data = json_get<std::string>(meta, "data", kKind, at);
  n.batch_norm = json_get<bool>(meta, "batch_norm", kKind, at);
  n.class_names = json_get<std::vector<std::string>>(meta, "classes", kKind, at);
  const auto input = json_get<std::vector<int64_t>>(meta, "input", kKind, at);
  if (input.size() != 3) fail(kKind, at, "expected input of 3 sizes, got {}", input.size());
  n.input = {input[0], input[1], input[2], static_cast<int64_t>(n.class_names.size())};
  n.normalization.kind = json_get<std::string>(meta, "normalize", kKind, at);
  n.normalization.mean = json_get<std::vector<double>>(meta, "mean", kKind, at);
  n.normalization.std = json_get<std::vector<double>>(meta, "std", kKind, at);
  n.factors = factors_from(meta, at);
  n.resizes = json_get_or<bool>(meta, "resizes", false, kKind, at);
  n.apart = apart_from(meta, at);
  n.text = json_get_or<std::string>(meta, "network", "", kKind, at);
  n.norm = json_get_or<std::string>(meta, "norm", "batch", kKind, at);
  check_network(n, kKind, at);
  if (whitens(n.normalization.kind))
    n.normalization.whitening = whitening_from(content, meta, n.input, place);
  return n;
}

Progress progress_from(const Json& j, const std::string& place) {
  Progress p;
  p.step = json_whole(j, "step", 0, kMaxSteps, kKind, place);
  p.evaluated_step = json_whole(j, "evaluated_step", 0, kMaxSteps, kKind, place);
  p.epoch_count = json_whole(j, "epoch_count", 0, kMaxSteps, kKind, place);
  p.epoch_correct = json_whole(j, "epoch_correct", 0, kMaxSteps, kKind, place);
  p.epoch_loss = json_get<double>(j, "epoch_loss", kKind, place);
  p.best = json_get<double>(j, "best", kKind, place);
  p.seconds = json_get<double>(j, "seconds", kKind, place);
  const Json* loss = json_find(j, "train_loss");
  if (loss && !loss->is_null()) p.train_loss = json_get<double>(j, "train_loss", kKind, place);
  // Runs of earlier versions have none of these.
  p.best_step = p.evaluated_step;
  if (json_find(j, "best_step")) p.best_step = json_whole(j, "best_step", 0, kMaxSteps, kKind, place);
  p.frozen = json_get_or<std::string>(j, "frozen", "", kKind, place);
  p.extended_at = json_get_or<std::vector<int64_t>>(j, "extended_at", {}, kKind, place);
  return p;
}

Json json_of(const Progress& p) {
  Json j{{"step", p.step},
         {"evaluated_step", p.evaluated_step},
         {"epoch_count", p.epoch_count},
         {"epoch_correct", p.epoch_correct},
         {"epoch_loss", p.epoch_loss},
         {"best", p.best},
         {"seconds", p.seconds},
         {"train_loss", p.train_loss ? Json(*p.train_loss) : Json()},
         {"best_step", p.best_step}};
  if (!p.frozen.empty()) j["frozen"] = p.frozen;
  if (!p.extended_at.empty()) j["extended_at"] = p.extended_at;
  return j;
}

// What can be said without the length of the run.
void check_progress(const Progress& p, const std::string& place) {
  auto expect = [&](bool fits, const char* what, auto value) {
    if (!fits) fail(kKind, place, "expected {}, got {}", what, value);
  };
  expect(p.step >= 0, "a step of at least 0", p.step);
  expect(p.evaluated_step >= 0 && p.evaluated_step <= p.step, "an evaluated_step of 0 to the step",
         p.evaluated_step);
  expect(p.epoch_count >= 0, "an epoch_count of at least 0", p.epoch_count);
  expect(p.epoch_correct >= 0 && p.epoch_correct <= p.epoch_count, "an epoch_correct of 0 to the epoch_count",
         p.epoch_correct);
  expect(std::isfinite(p.epoch_loss) && p.epoch_loss >= 0 && (p.epoch_count > 0 || p.epoch_loss == 0),
         "an epoch_loss of at least 0, and 0 of no images", p.epoch_loss);
  expect(p.best == -1 || (p.best >= 0 && p.best <= 1), "a best accuracy of 0 to 1, or -1", p.best);
  expect(p.best_step >= 0 && p.best_step <= p.evaluated_step, "a best_step of 0 to the evaluated_step",
         p.best_step);
  for (int64_t at : p.extended_at)
    expect(at >= 0 && at <= p.step, "an extension at a step of 0 to the step", at);
  expect(std::isfinite(p.seconds) && p.seconds >= 0, "seconds of at least 0", p.seconds);
  expect(!p.train_loss || (std::isfinite(*p.train_loss) && *p.train_loss >= 0), "a train_loss of at least 0",
         p.train_loss.value_or(0));
}

std::optional<RunRecord> run_from(const SafeTensors& content, const Json& meta, const std::string& place) {
  const std::string at = place + ": metadata";
  RunRecord run;
  for (const auto& [name, t] : content.tensors)
    if (begins(name, "optim.")) run.state.emplace(name.substr(6), t);
  const Json* progress = json_find(meta, "progress");
  if (!progress) {
    if (!run.state.empty())
      fail(kKind, place, "optim.{} is of a run, but the metadata have no progress", run.state.begin()->first);
    return {};
  }
  run.progress = progress_from(*progress, at + ": progress");
  check_progress(run.progress, at + ": progress");
  run.optimizer = json_get_or<std::string>(meta, "optimizer", "sgd", kKind, at);
  if (json_find(meta, "config")) run.config = json_object(meta, "config", kKind, at).dump();
  run.fingerprint = json_get_or<std::string>(meta, "fingerprint", "", kKind, at);
  return run;
}

}  // namespace

namespace {
void check_model(const NetworkRecord& n, ErrorKind kind, const std::string& place) {
  if (n.text.empty() && n.name != kOwnNetwork && !is_model_name(n.name))
    fail(kind, place, "model: unknown name {}, expected one of {}", quoted(n.name),
         join(model_names(), ", "));
  try {
    (void)Norm(n.norm);
    if (!n.text.empty()) check_network_text(n.text);
  } catch (const Error& e) { fail(kind, place, "{}", e.what()); }
  if (!n.text.empty() && n.name != model_label(n.text))
    fail(kind, place, "model: expected {}, how its text begins, got {}", quoted(model_label(n.text)),
         quoted(n.name));
}
}  // namespace

void check_network(const NetworkRecord& n, ErrorKind kind, const std::string& place) {
  check_model(n, kind, place);
  if (n.input.channels != 1 && n.input.channels != 3)
    fail(kind, place, "expected input of 1 or 3 channels, got {}", n.input.channels);
  for (int64_t side : {n.input.height, n.input.width})
    if (side < 1 || side > kMaxSide)
      fail(kind, place, "expected an input of 1 to {} pixels a side, got {}", kMaxSide, side);
  if (n.input.shape(1).numel() > kMaxPixels)
    fail(kind, place, "expected an input of at most {} values, got {}", kMaxPixels, n.input.str());
  if (n.class_names.size() < 2)
    fail(kind, place, "classes: expected at least 2 classes, got {}", n.class_names.size());
  if (n.input.classes != static_cast<int64_t>(n.class_names.size()))
    fail(kind, place, "classes: expected {} names, got {}", n.input.classes, n.class_names.size());
  std::set<std::string> seen;
  for (const std::string& name : n.class_names) {
    if (name.empty() || !is_printable(name))
      fail(kind, place, "classes: expected names in UTF-8 without control characters, got {}", quoted(name));
    if (!seen.insert(name).second) fail(kind, place, "classes: the name {} is there twice", quoted(name));
  }
  if (!is_printable(n.data))
    fail(kind, place, "data: expected a name in UTF-8 without control characters, got {}", quoted(n.data));
  const auto& kinds = normalization_kinds();
  if (std::find(kinds.begin(), kinds.end(), n.normalization.kind) == kinds.end())
    fail(kind, place, "normalize: unknown kind {}, expected one of {}", quoted(n.normalization.kind),
         join(kinds, ", "));
  for (const auto* v : {&n.normalization.mean, &n.normalization.std})
    if (v->size() != 1 && static_cast<int64_t>(v->size()) != n.input.channels)
      fail(kind, place, "expected 1 or {} means and deviations, got {}", n.input.channels, v->size());
  for (double m : n.normalization.mean)
    if (!std::isfinite(m)) fail(kind, place, "expected finite means, got {}", m);
  for (double s : n.normalization.std)
    if (!(s > 0) || !std::isfinite(s)) fail(kind, place, "expected deviations above 0, got {}", s);
  for (const Factor& f : n.factors)
    if (f.path.empty() || f.path.size() > 1000 || f.rank < 1)
      fail(kind, place, "factors: expected a layer and a rank of at least 1, got {} and {}", quoted(f.path),
           f.rank);
}

void check_weights(const std::map<std::string, Tensor>& weights, ErrorKind kind, const std::string& place) {
  for (const auto& [name, t] : weights) {
    const bool counter = ends(name, "num_batches_tracked");
    if (counter ? t.dtype() != DType::int64 : !is_floating(t.dtype()))
      fail(kind, place, "{}: expected {}, got {}", printable(name), counter ? "int64" : "float32",
           name_of(t.dtype()));
    if (!counter && !all_finite(t)) fail(kind, place, "{} holds values that are not finite", printable(name));
    if (!counter && !ends(name, "running_var")) continue;
    for (double v : t.to_vector())
      if (v < 0) fail(kind, place, "{}: expected at least 0, got {}", printable(name), v);
  }
}

void check_progress(const Progress& p, int64_t total_steps, int64_t per_epoch, int64_t batch,
                    const std::string& place) {
  const std::string at = place + ": metadata: progress";
  check_progress(p, at);
  if (p.step > total_steps)
    fail(kKind, at, "expected a step of 0 to {}, the length of the run, got {}", total_steps, p.step);
  // Images are counted from the end of an epoch on; the last measurement of all ends the count too.
  int64_t steps = p.step % per_epoch;
  const bool measured = p.evaluated_step == p.step;
  if (p.step > 0 && steps == 0 && !measured) steps = per_epoch;
  if (p.step == total_steps && measured) steps = 0;
  // 0: nobody counted, in a loop of someone's own.
  if (p.epoch_count != 0 && (p.epoch_count < steps || p.epoch_count > steps * batch))
    fail(kKind, at, "expected an epoch_count of 0 or {} to {} images after {} steps of the epoch, got {}",
         steps, steps * batch, steps, p.epoch_count);
}

Checkpoint checkpoint_from(const SafeTensors& content, const std::string& place) {
  const std::string at = place + ": metadata";
  auto text = content.metadata.find("sigma");
  if (text == content.metadata.end()) fail(kKind, place, "the file has no sigma metadata");
  const Json meta = parse_json(text->second, kKind, at);
  if (!meta.is_object()) fail(kKind, at, "expected a JSON object");
  Checkpoint c;
  try {
    c.network = network_from(content, meta, place);
    c.run = run_from(content, meta, place);
  } catch (const Error& e) {
    if (e.kind() == kKind) throw;
    fail(kKind, at, "{}", e.what());
  }
  for (const auto& [name, t] : content.tensors)
    if (!begins(name, "optim.") && !begins(name, "normalize.")) c.weights.emplace(name, t);
  check_weights(c.weights, kKind, place);
  return c;
}

SafeTensors content_of(const Checkpoint& c) {
  check_network(c.network, ErrorKind::usage, "checkpoint");
  const NetworkRecord& n = c.network;
  SafeTensors content;
  Json meta;
  content.tensors = c.weights;
  meta["model"] = n.name;
  if (!n.text.empty()) meta["network"] = n.text;
  meta["batch_norm"] = n.batch_norm;
  if (n.norm != "batch") meta["norm"] = n.norm;
  meta["data"] = n.data;
  meta["input"] = {n.input.channels, n.input.height, n.input.width};
  meta["classes"] = n.class_names;
  for (const Factor& f : n.factors)
    meta["factors"].push_back({{"layer", f.path}, {"scheme", name_of(f.scheme)}, {"rank", f.rank}});
  if (n.resizes) meta["resizes"] = true;
  if (n.apart.part > 0)
    meta["validation"] = {{"part", n.apart.part}, {"seed", n.apart.seed}, {"images", n.apart.images}};
  meta["normalize"] = n.normalization.kind;
  meta["mean"] = n.normalization.mean;
  meta["std"] = n.normalization.std;
  if (n.normalization.whitening) {
    const Whitening& w = *n.normalization.whitening;
    content.tensors["normalize.mean"] = w.mean;
    content.tensors["normalize.matrix"] = w.matrix;
    meta["whitening"] = {
        {"kept", w.kept}, {"largest", w.largest}, {"smallest", w.smallest}, {"epsilon", w.epsilon}};
  }
  if (c.run) {
    meta["progress"] = json_of(c.run->progress);
    meta["optimizer"] = c.run->optimizer;
    if (!c.run->config.empty()) meta["config"] = parse_json(c.run->config, ErrorKind::usage, "checkpoint");
    if (!c.run->fingerprint.empty()) meta["fingerprint"] = c.run->fingerprint;
    for (const auto& [name, t] : c.run->state) content.tensors["optim." + name] = t;
  }
  content.metadata["format"] = "pt";
  content.metadata["version"] = "2";
  content.metadata["sigma"] = meta.dump();
  return content;
}

}  // namespace sigma
