#include "apps/verbs/compare_plan.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "apps/flags/config.h"
#include "apps/flags/flag_lists.h"
#include "apps/flags/flag_words.h"
#include "apps/run/environment.h"
#include "apps/verbs/train_setup.h"
#include "core/text.h"

namespace sigma::app {
namespace {

constexpr int64_t kDefaultSteps = 240;  // enough for every arm with batch norm to settle on the built-in data

using Places = std::map<std::string, std::vector<Probe>>;  // by network

// The arm as it is trained, so that two that differ in flags without effect are equal: what stands where the
// network has bn, and no batch above the number of images.
Options effective(const Options& o, bool has_place, int64_t images) {
  Options e = o;
  if (!has_place || o.batch_norm == "off") e.norm = "none";
  e.batch_norm = e.norm == "none" ? "off" : "on";
  e.batch_size = std::min(o.batch_size, images);
  return e;
}

TrainSetup setup_for(const Options& o, const Dataset& data) {
  TrainSetup s = setup_of(o, data, Normalization{});
  s.loader.threads = 0;         // the runs are side by side
  s.loader.min_last_batch = 2;  // the arms must see the same batches, with batch norm or without
  const bool default_length = o.epochs < 0 && o.max_steps == 0;
  s.schedule.total_steps =
      default_length ? kDefaultSteps : total_steps(o, steps_per_epoch(data.train.size(), s.loader));
  return s;
}

// " (in the arm of --batch-size 1, --optimizer sgd)": what was chosen of the lists that were given, or "".
std::string choice_of(const Options& arm, const Options& all) {
  std::string text;
  Options copy = arm;
  for (const Flag& f : shared_flags(copy))
    if (is_list(all, f.name) && is_given(all, f.name))
      text += fmt::format("{} {}", text.empty() ? f.name : ", " + f.name,
                          f.has(kNetwork) ? network_name(f.text()) : f.text());
  return text.empty() ? "" : " (in the arm of " + text + ")";
}

// The same with an error that says which arm it is of.
TrainSetup setup_for(const Options& arm, const Options& all, const Dataset& data) {
  try {
    return setup_for(arm, data);
  } catch (const Error& e) {
    const std::string choice = choice_of(arm, all);
    if (choice.empty()) throw;
    throw Error(e.kind(), e.what() + choice);
  }
}

// Images for the measurements on the way: a training step costs about three forward passes.
int64_t images_to_measure(const Options& o, const Arm& arm, int64_t all) {
  if (o.eval_images >= 0) return o.eval_images;
  const int64_t evals = std::max<int64_t>(1, arm.steps / arm.eval_every),
                images = 3 * arm.steps * arm.batch_size / evals;
  return std::clamp<int64_t>(images, std::min<int64_t>(1000, all), all);
}

Arm arm_for(const Options& o, const TrainSetup& s, int64_t test_images) {
  Arm arm{o.batch_norm == "on", o.normalize, s.optimizer.lr, {}};
  arm.steps = s.schedule.total_steps;
  arm.eval_every = o.eval_every > 0 ? o.eval_every : std::clamp<int64_t>(arm.steps / 30, 1, 100);
  arm.batch_size = s.loader.batch_size;
  arm.eval_images = images_to_measure(o, arm, test_images);
  arm.model = network_name(o.model);
  return arm;
}

// The place of this name, or the last; none when there is nothing to look at.
Probe probe_for(const std::vector<Probe>& places, const std::string& wanted) {
  Probe probe;
  for (const Probe& p : places)
    if (!p.before.empty() && (wanted.empty() || wanted == p.norm)) probe = p;
  return probe;
}

void check_histogram_layer(const std::string& wanted, const Plan& plan, const Places& places) {
  if (wanted.empty() || !plan.comparison.histogram_layer.empty()) return;
  std::vector<std::string> names;
  for (const auto& [model, list] : places)
    for (const Probe& p : list)
      if (!p.before.empty() && std::find(names.begin(), names.end(), p.norm) == names.end())
        names.push_back(p.norm);
  if (names.empty())
    fail(ErrorKind::usage, "--histogram-layer", "{} has no batch norm, got \"{}\"", plan.comparison.model,
         wanted);
  fail(ErrorKind::usage, "--histogram-layer", "\"{}\" is no batch norm of {}, expected one of {}", wanted,
       plan.comparison.model, join(names, ", "));
}

// Whether a flag says something to the arm: momentum says nothing to Adam, nor whitening to raw pixels.
bool is_of(const Flag& flag, const Options& arm) {
  const std::string name = flag.name.substr(2);
  if (flag.name == "--whiten-epsilon") return arm.normalize == "zca" || arm.normalize == "pca";
  const bool hyper = arm.hyper.count(name) > 0 || arm.hyper_switches.count(name) > 0;
  return !hyper || hyper_values(arm).count(name) > 0;
}

// Of a flag of which there are several values; `arm` as it is trained, of all that is compared.
Setting setting_of(const Flag& flag, const Options& arm, const Options& all) {
  Setting s{flag.name.substr(2), flag.text(), words_of(flag, arm)};
  if (!is_of(flag, arm)) s.value = s.words = "";
  if (flag.has(kNetwork)) s.value = s.words;
  if (s.flag == "batch-norm") {
    Options with_norm = arm;
    with_norm.norm = all.norm;  // "no group norm"
    // The words of --norm say it where there are several of those.
    s.words = is_list(all, "--norm") ? "" : words_of(flag, with_norm);
  }
  return s;
}

// Different values that are called the same, as files of one name in two folders, get numbers.
void tell_apart(std::vector<Setting>& settings, const std::vector<std::string>& texts) {
  std::map<std::string, std::vector<std::string>> called;  // the texts with these words, in order
  for (size_t i = 0; i < settings.size(); ++i) {
    auto& same = called[settings[i].words];
    if (std::find(same.begin(), same.end(), texts[i]) == same.end()) same.push_back(texts[i]);
  }
  for (size_t i = 0; i < settings.size(); ++i) {
    const auto& same = called[settings[i].words];
    if (same.size() < 2 || settings[i].words.empty()) continue;
    const auto at = std::find(same.begin(), same.end(), texts[i]) - same.begin();
    const std::string number = fmt::format(" ({})", at + 1);
    if (settings[i].value == settings[i].words) settings[i].value += number;
    settings[i].words += number;
  }
}

// What the arms have of each flag in which they differ.
void name_arms(const Options& o, std::vector<Options> as_trained, Comparison& c) {
  Options table = o;
  for (const Flag& listed : shared_flags(table)) {
    if (!is_list(o, listed.name)) continue;
    std::vector<Setting> settings;
    std::vector<std::string> texts;
    for (size_t a = 0; a < as_trained.size(); ++a)
      for (const Flag& f : shared_flags(as_trained[a])) {
        if (f.name != listed.name) continue;
        texts.push_back(is_of(f, as_trained[a]) ? f.text() : "");
        settings.push_back(setting_of(f, as_trained[a], o));
      }
    if (std::set<std::string>(texts.begin(), texts.end()).size() < 2) continue;
    tell_apart(settings, texts);
    for (size_t a = 0; a < settings.size(); ++a) c.arms[a].settings.push_back(std::move(settings[a]));
  }
}

void describe(const Options& o, Plan& plan) {
  Comparison& c = plan.comparison;
  c.data = o.data;
  c.command = command_line(o);
  c.seeds = o.seeds;
  std::vector<std::string> models;
  size_t longest = 0;
  for (size_t a = 0; a < c.arms.size(); ++a) {
    const Arm& arm = c.arms[a];
    if (std::find(models.begin(), models.end(), arm.model) == models.end()) models.push_back(arm.model);
    if (arm.steps > c.arms[longest].steps) longest = a;
    if (c.histogram_layer.empty()) c.histogram_layer = arm.histogram_layer;
    c.parameters = std::max(c.parameters, make_network(plan.setups[a])->parameter_count());
  }
  c.model = join(models, ", ");
  const Arm& arm = c.arms[longest];
  c.steps = arm.steps;
  c.eval_every = arm.eval_every;
  c.eval_images = arm.eval_images;
  c.batch_size = arm.batch_size;
  c.schedule = plan.options[longest].schedule;
  for (int64_t i = 0; i < c.steps; ++i) c.rates.push_back(plan.setups[longest].schedule.at(i, arm.lr));
  c.environment = json_text(environment(), 2);
}

}  // namespace

Plan plan_for(const Options& o, const Dataset& data) {
  Plan plan;
  Places places;
  std::set<std::string> seen;
  std::vector<Options> as_trained;
  for (const Options& arm : arms_of(o)) {
    if (!places.count(arm.model))
      places[arm.model] =
          places_of_norm(arm.model, {data.channels(), data.height(), data.width(), data.classes()});
    const std::vector<Probe>& here = places[arm.model];
    const Options e = effective(arm, !here.empty(), data.train.size());
    if (!seen.insert(flags_json(e).dump()).second) {
      ++plan.left_out;
      continue;
    }
    plan.setups.push_back(setup_for(arm, o, data));
    plan.options.push_back(arm);
    as_trained.push_back(e);
    plan.probes.push_back(probe_for(here, o.histogram_layer));
    plan.comparison.arms.push_back(arm_for(e, plan.setups.back(), data.measured().size()));
    plan.comparison.arms.back().histogram_layer = plan.probes.back().norm;
  }
  name_arms(o, std::move(as_trained), plan.comparison);
  describe(o, plan);
  check_histogram_layer(o.histogram_layer, plan, places);
  return plan;
}

void normalize(Plan& plan, const Dataset& data) {
  std::map<std::string, Normalization> known;
  for (size_t a = 0; a < plan.setups.size(); ++a) {
    const Options& o = plan.options[a];
    const std::string key =
        fmt::format("{} {} {} {}", o.normalize, join(o.mean, ","), join(o.std, ","), o.whiten_epsilon);
    if (!known.count(key)) known[key] = normalization_for(o, o.normalize, data);
    plan.setups[a].loader.normalization = known[key];
  }
}

}  // namespace sigma::app
