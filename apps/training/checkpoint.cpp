#include "apps/training/checkpoint.h"

#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "core/math.h"
#include "core/text.h"

namespace sigma::app {
namespace fs = std::filesystem;

void save_checkpoint(const std::string& path, Checkpoint checkpoint, bool keep_previous) {
  checkpoint.content.metadata["format"] = "pt";
  checkpoint.content.metadata["version"] = "2";
  checkpoint.content.metadata["sigma"] = checkpoint.meta.dump();
  add_digest(checkpoint.content);
  std::error_code ignored;
  if (keep_previous && fs::exists(path, ignored)) {
    // A second name for the old file, so that at no time there is none.
    std::string previous =
        path.substr(0, path.size() - std::string(".safetensors").size()) + "-previous.safetensors";
    fs::remove(previous, ignored);
    fs::create_hard_link(path, previous, ignored);
    if (ignored) fs::copy_file(path, previous, fs::copy_options::overwrite_existing, ignored);
  }
  save_safetensors(path, checkpoint.content);
}

Checkpoint load_checkpoint(const std::string& path) {
  Checkpoint c;
  c.content = load_safetensors(path);
  if (!c.content.metadata.count("sigma"))
    fail(ErrorKind::checkpoint, path, "the file has no sigma metadata: it is not a checkpoint of sigma");
  if (!c.content.metadata.count("sha256"))
    fail(ErrorKind::checkpoint, path, "the content was altered: its sha256 is missing from the metadata");
  verify_digest(c.content, path);
  c.meta = parse_json(c.content.metadata.at("sigma"), ErrorKind::checkpoint, path + ": metadata");
  if (!c.meta.is_object()) fail(ErrorKind::checkpoint, path, "metadata: expected a JSON object");
  return c;
}

void put_factors(Json& meta, const std::vector<Factor>& factors) {
  meta.erase("factors");
  for (const Factor& f : factors)
    meta["factors"].push_back({{"layer", f.path}, {"scheme", name_of(f.scheme)}, {"rank", f.rank}});
}

std::vector<Factor> factors_from(const Json& meta) {
  std::vector<Factor> factors;
  if (!meta.contains("factors")) return factors;
  for (const Json& f : meta.at("factors"))
    factors.push_back({f.at("layer").get<std::string>(),
                       parse_factor_scheme(f.at("scheme").get<std::string>()), f.at("rank").get<int64_t>()});
  return factors;
}

void put_normalization(Checkpoint& c, const Normalization& n) {
  c.meta["normalize"] = n.kind, c.meta["mean"] = n.mean, c.meta["std"] = n.std;
  if (!n.whitening) return;
  const Whitening& w = *n.whitening;
  c.content.tensors["normalize.mean"] = w.mean;
  c.content.tensors["normalize.matrix"] = w.matrix;
  c.meta["whitening"] = {
      {"kept", w.kept}, {"largest", w.largest}, {"smallest", w.smallest}, {"epsilon", w.epsilon}};
}

void put_model(Checkpoint& c, const TrainSetup& s, const Dataset& dataset) {
  Json& j = c.meta;
  j["model"] = s.model;
  j["batch_norm"] = s.batch_norm;
  j["data"] = dataset.name;
  j["input"] = {s.input.channels, s.input.height, s.input.width};
  j["classes"] = dataset.class_names;
  put_factors(j, s.factors);
  put_normalization(c, s.loader.normalization);
}

Normalization normalization_from(const Checkpoint& c, const ModelInput& input, const std::string& path) {
  const Json& j = c.meta;
  Normalization n{j.at("normalize").get<std::string>(), j.at("mean").get<std::vector<double>>(),
                  j.at("std").get<std::vector<double>>()};
  for (const auto& v : {n.mean, n.std})
    if (v.size() != 1 && static_cast<int64_t>(v.size()) != input.channels)
      fail(ErrorKind::checkpoint, path, "metadata: expected 1 or {} means and deviations, got {}",
           input.channels, v.size());
  for (double s : n.std)
    if (!(s > 0)) fail(ErrorKind::checkpoint, path, "metadata: expected deviations above 0, got {}", s);
  if (n.kind != "zca" && n.kind != "pca") return n;
  const Json& k = j.at("whitening");
  auto w = std::make_shared<Whitening>();
  w->kept = k.at("kept"), w->largest = k.at("largest"), w->smallest = k.at("smallest"),
  w->epsilon = k.at("epsilon");
  int64_t d = input.shape(1).numel();
  auto take = [&](const char* name, const Shape& shape) {
    auto it = c.content.tensors.find(name);
    if (it == c.content.tensors.end()) fail(ErrorKind::checkpoint, path, "the tensor {} is missing", name);
    if (it->second.shape() != shape || it->second.dtype() != DType::float32)
      fail(ErrorKind::checkpoint, path, "{}: expected float32 {}, got {} {}", name, shape.str(),
           name_of(it->second.dtype()), it->second.shape().str());
    return it->second;
  };
  w->mean = take("normalize.mean", {d});
  w->matrix = take("normalize.matrix", {d, d});
  n.whitening = std::move(w);
  return n;
}

SavedModel model_from(const Checkpoint& c, const std::string& path) {
  SavedModel m;
  try {
    const Json& j = c.meta;
    m.name = j.at("model").get<std::string>();
    m.data = j.at("data").get<std::string>();
    m.batch_norm = j.at("batch_norm").get<bool>();
    m.class_names = j.at("classes").get<std::vector<std::string>>();
    auto input = j.at("input").get<std::vector<int64_t>>();
    if (input.size() != 3)
      fail(ErrorKind::checkpoint, path, "metadata: expected input of 3 sizes, got {}", input.size());
    m.input = {input[0], input[1], input[2], static_cast<int64_t>(m.class_names.size())};
    m.normalization = normalization_from(c, m.input, path);
    m.model = make_model(m.name, m.input, m.batch_norm);
    m.factors = factors_from(j);
    try {
      apply_factors(*m.model, m.factors, false);
      m.model->load_state_dict(model_state(c.content));
    } catch (const Error& e) { fail(ErrorKind::checkpoint, path, "{}", e.what()); }
  } catch (const nlohmann::json::exception&) {
    fail(ErrorKind::checkpoint, path, "metadata: a value is missing or of another type than expected");
  } catch (const Error& e) {
    if (e.kind() == ErrorKind::usage) fail(ErrorKind::checkpoint, path, "{}", e.what());
    throw;
  }
  m.model->eval();
  return m;
}

void check_finite(const SavedModel& m, const std::string& path) {
  for (auto& [name, t] : m.model->state_dict().items)
    if (t.dtype() == DType::float32 && !all_finite(t))
      fail(ErrorKind::checkpoint, path, "{} holds values that are not finite", name);
}

void check_images(const Dataset& data, const ModelInput& input) {
  if (data.channels() != input.channels || data.height() != input.height || data.width() != input.width)
    fail(ErrorKind::usage, "--data", "{} has images of {}x{}x{}, the checkpoint expects {}", data.name,
         data.channels(), data.height(), data.width(), input.str());
}

Dataset dataset_for(const SavedModel& m, const Options& o, int64_t limit_train) {
  std::string name = o.data.empty() ? m.data : o.data;
  Dataset data = load_dataset(name, {o.data_dir, limit_train, o.limit_test});
  check_images(data, m.input);
  if (data.classes() != m.input.classes)
    fail(ErrorKind::usage, "--data", "{} has {} classes, the checkpoint expects {}", name, data.classes(),
         m.input.classes);
  if (data.class_names != m.class_names) {
    std::string names = fmt::format("the classes are {}, the checkpoint was trained on {}",
                                    join(data.class_names, ", "), join(m.class_names, ", "));
    if (name.rfind("folder:", 0) == 0) fail(ErrorKind::usage, "--data", "{}", names);
    std::fputs(fmt::format("warning: {}\n", names).c_str(), stderr);
  }
  return data;
}

}  // namespace sigma::app
