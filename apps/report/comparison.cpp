// The measurements of `compare` as JSON and CSV.
#include "apps/report/comparison.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/report/csv.h"

namespace sigma::app {
namespace {

Json numbers(const std::vector<double>& v) {  // JSON has no NaN
  Json j = Json::array();
  for (double x : v) j.push_back(std::isfinite(x) ? Json(x) : Json());
  return j;
}
std::vector<double> numbers(const Json& list, const char* name, const std::string& place) {
  std::vector<double> v;
  for (const Json& x : list) {
    if (!x.is_null() && !x.is_number())
      fail(ErrorKind::checkpoint, place, "expected numbers in \"{}\"", name);
    v.push_back(x.is_null() ? std::nan("") : x.get<double>());
  }
  return v;
}

}  // namespace

Json summary_json(const Comparison& c) {
  Json j;
  j["model"] = c.model;
  j["data"] = c.data;
  j["steps"] = c.steps;
  j["eval_every"] = c.eval_every;
  j["measured_on"] = c.measured;
  j["seconds"] = c.wall_seconds;
  j["arms"] = Json::array();
  for (size_t a = 0; a < c.arms.size(); ++a) {
    Json arm;
    arm["batch_norm"] = c.arms[a].batch_norm;
    arm["normalize"] = c.arms[a].normalize;
    arm["lr"] = c.arms[a].lr;
    arm["label"] = c.arms[a].label();
    arm["model"] = c.arms[a].model;
    arm["steps"] = c.arms[a].steps;
    arm["batch_size"] = c.arms[a].batch_size;
    arm["settings"] = Json::object();
    for (const Setting& s : c.arms[a].settings) arm["settings"][s.flag] = s.value;
    for (const char* key :
         {"seeds", "test_accuracy", "steps_to", "seconds_to", "ms_per_step", "diverged", "diverged_at"})
      arm[key] = Json::array();
    arm["steps_to"] = arm["seconds_to"] = Json::object();
    for (const ArmRun* r : c.of(a)) {
      arm["seeds"].push_back(r->seed);
      arm["test_accuracy"].push_back(r->test_accuracy);
      arm["ms_per_step"].push_back(r->ms_per_step);
      arm["diverged"].push_back(r->diverged_at >= 0);
      arm["diverged_at"].push_back(r->diverged_at >= 0 ? Json(r->diverged_at) : Json());
      for (double t : kThresholds) {
        std::string key = fmt::format("{:.2f}", t);
        int64_t steps = r->steps_to(t);
        arm["steps_to"][key].push_back(steps >= 0 ? Json(steps) : Json());
        arm["seconds_to"][key].push_back(steps >= 0 ? Json(r->seconds_to(t)) : Json());
      }
    }
    j["arms"].push_back(arm);
  }
  return j;
}

std::string measurements_csv(const Comparison& c) {
  std::string text = "batch_norm,normalize,lr,seed,step,test_accuracy,train_loss,seconds";
  auto has_column = [](const Setting& s) {
    return s.flag == "batch-norm" || s.flag == "normalize" || s.flag == "lr";
  };
  if (!c.arms.empty())
    for (const Setting& s : c.arms[0].settings) {
      std::string column = s.flag;
      std::replace(column.begin(), column.end(), '-', '_');
      if (!has_column(s)) text += "," + column;
    }
  text += "\n";
  for (const ArmRun& r : c.runs) {
    const Arm& arm = c.arms[r.arm];
    std::string others;
    for (const Setting& s : arm.settings)
      if (!has_column(s)) others += "," + csv_cell(s.value);
    for (size_t i = 0; i < r.step.size(); ++i)
      text +=
          fmt::format("{},{},{},{},{},{:.5f},{:.6g},{:.3f}{}\n", arm.batch_norm ? "on" : "off", arm.normalize,
                      arm.lr, r.seed, r.step[i], r.accuracy[i], r.loss[i], r.seconds[i], others);
  }
  return text;
}

int64_t ArmRun::steps_to(double wanted) const {
  for (size_t i = 0; i < step.size(); ++i)
    if (accuracy[i] >= wanted) return step[i];
  return -1;
}
double ArmRun::seconds_to(double wanted) const {
  for (size_t i = 0; i < step.size(); ++i)
    if (accuracy[i] >= wanted) return seconds[i];
  return -1;
}

namespace {

// The lists of numbers of a run under their names in JSON.
template <class Run, class Fn>
void each_list(Run& r, Fn fn) {
  fn("accuracy", r.accuracy);
  fn("loss", r.loss);
  fn("seconds", r.seconds);
  fn("p15", r.p15);
  fn("p50", r.p50);
  fn("p85", r.p85);
  fn("first_in", r.first_in.share);
  fn("first_out", r.first_out.share);
  fn("last_in", r.last_in.share);
  fn("last_out", r.last_out.share);
}

}  // namespace

Json ArmRun::json() const {
  Json j{{"arm", arm},
         {"seed", seed},
         {"step", step},
         {"test_accuracy", test_accuracy},
         {"ms_per_step", ms_per_step},
         {"diverged_at", diverged_at}};
  each_list(*this, [&](const char* name, const std::vector<double>& v) { j[name] = numbers(v); });
  return j;
}

ArmRun ArmRun::from(const Json& j, const std::string& place) {
  constexpr ErrorKind kind = ErrorKind::checkpoint;
  ArmRun r;
  r.arm = json_get<uint64_t>(j, "arm", kind, place);
  r.seed = json_get<uint64_t>(j, "seed", kind, place);
  r.step = json_get<std::vector<int64_t>>(j, "step", kind, place);
  r.test_accuracy = json_get<double>(j, "test_accuracy", kind, place);
  r.ms_per_step = json_get<double>(j, "ms_per_step", kind, place);
  r.diverged_at = json_get<int64_t>(j, "diverged_at", kind, place);
  each_list(r, [&](const char* name, std::vector<double>& v) {
    v = numbers(json_array(j, name, kind, place), name, place);
  });
  for (const auto* list : {&r.accuracy, &r.loss, &r.seconds, &r.p15, &r.p50, &r.p85})
    if (list->size() != r.step.size())
      fail(kind, place, "expected {} measurements, got {}", r.step.size(), list->size());
  return r;
}

std::string Arm::label() const {
  std::string all;
  for (const Setting& s : settings)
    if (!s.words.empty()) all += (all.empty() ? "" : " · ") + s.words;
  return !all.empty() ? all : model.empty() ? "as given" : model;
}

const Setting* Arm::of(const std::string& flag) const {
  for (const Setting& s : settings)
    if (s.flag == flag) return &s;
  return nullptr;
}

std::vector<const ArmRun*> Comparison::of(size_t arm) const {
  std::vector<const ArmRun*> list;
  for (const ArmRun& r : runs)
    if (r.arm == arm) list.push_back(&r);
  return list;
}

}  // namespace sigma::app
