// The measurements of `compare` as JSON and CSV.
#include <cmath>

#include "apps/verbs/compare.h"

namespace sigma::app {
namespace {

Json numbers(const std::vector<double>& v) {  // JSON has no NaN
  Json j = Json::array();
  for (double x : v) j.push_back(std::isfinite(x) ? Json(x) : Json());
  return j;
}
std::vector<double> numbers(const Json& j) {
  std::vector<double> v;
  for (auto& x : j) v.push_back(x.is_null() ? std::nan("") : x.get<double>());
  return v;
}

}  // namespace

Json summary_json(const Comparison& c) {
  Json j;
  j["model"] = c.model, j["data"] = c.data, j["steps"] = c.steps, j["eval_every"] = c.eval_every;
  j["seconds"] = c.wall_seconds;
  j["arms"] = Json::array();
  for (size_t a = 0; a < c.arms.size(); ++a) {
    Json arm;
    arm["batch_norm"] = c.arms[a].batch_norm, arm["normalize"] = c.arms[a].normalize,
    arm["lr"] = c.arms[a].lr;
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
  std::string text = "batch_norm,normalize,lr,seed,step,test_accuracy,train_loss,seconds\n";
  for (const ArmRun& r : c.runs)
    for (size_t i = 0; i < r.step.size(); ++i)
      text += fmt::format("{},{},{},{},{},{:.5f},{:.6g},{:.3f}\n", c.arms[r.arm].batch_norm ? "on" : "off",
                          c.arms[r.arm].normalize, c.arms[r.arm].lr, r.seed, r.step[i], r.accuracy[i],
                          r.loss[i], r.seconds[i]);
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

Json ArmRun::json() const {
  Json j{{"arm", arm},
         {"seed", seed},
         {"step", step},
         {"test_accuracy", test_accuracy},
         {"ms_per_step", ms_per_step},
         {"diverged_at", diverged_at}};
  j["accuracy"] = numbers(accuracy), j["loss"] = numbers(loss), j["seconds"] = numbers(seconds);
  j["p15"] = numbers(p15), j["p50"] = numbers(p50), j["p85"] = numbers(p85);
  j["first_in"] = first_in.share, j["first_out"] = first_out.share, j["last_in"] = last_in.share,
  j["last_out"] = last_out.share;
  return j;
}
ArmRun ArmRun::from(const Json& j) {
  ArmRun r;
  r.arm = j.at("arm"), r.seed = j.at("seed"), r.test_accuracy = j.at("test_accuracy"),
  r.ms_per_step = j.at("ms_per_step");
  r.diverged_at = j.at("diverged_at");
  r.step = j.at("step").get<std::vector<int64_t>>();
  r.accuracy = numbers(j.at("accuracy")), r.loss = numbers(j.at("loss")),
  r.seconds = numbers(j.at("seconds"));
  r.p15 = numbers(j.at("p15")), r.p50 = numbers(j.at("p50")), r.p85 = numbers(j.at("p85"));
  r.first_in.share = numbers(j.at("first_in")), r.first_out.share = numbers(j.at("first_out"));
  r.last_in.share = numbers(j.at("last_in")), r.last_out.share = numbers(j.at("last_out"));
  return r;
}

std::vector<const ArmRun*> Comparison::of(size_t arm) const {
  std::vector<const ArmRun*> list;
  for (const ArmRun& r : runs)
    if (r.arm == arm) list.push_back(&r);
  return list;
}

}  // namespace sigma::app
