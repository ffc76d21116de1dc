#include "apps/flags/options.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "apps/flags/naming.h"
#include "apps/training/class_weights.h"
#include "apps/training/network.h"
#include "core/parallel.h"
#include "core/text.h"

namespace sigma::app {

bool is_given(const Options& o, const std::string& flag) {
  return std::find(o.given.begin(), o.given.end(), flag) != o.given.end();
}

bool is_list(const Options& o, const std::string& flag) {
  const auto found = o.several.find(flag);
  return found != o.several.end() && found->second.size() > 1;
}

void complete_optimizer(Options& o) {
  if (o.optimizer == Options().optimizer) return;  // the flags' defaults are its own, or the verb's
  const OptimizerEntry& entry = optimizer_entry(o.optimizer);
  if (!is_given(o, "--lr")) o.lr = fmt::format("{}", entry.lr);
  if (!is_given(o, "--weight-decay")) o.weight_decay = entry.weight_decay;
  if (!is_given(o, "--decay")) o.decay = entry.decay_all ? "all" : "weights";
  for (const HyperParameter& h : entry.hyper) {
    if (is_given(o, "--" + h.name)) continue;
    if (h.is_switch)
      o.hyper_switches[h.name] = h.initial != 0;
    else
      o.hyper[h.name] = h.initial;
  }
}

HyperValues hyper_values(const Options& o) {
  HyperValues values;
  for (const HyperParameter& h : optimizer_entry(o.optimizer).hyper) {
    auto number = o.hyper.find(h.name);
    auto on = o.hyper_switches.find(h.name);
    values[h.name] = h.is_switch               ? on != o.hyper_switches.end() && on->second
                     : number != o.hyper.end() ? number->second
                                               : h.initial;
  }
  for (const OptimizerEntry& e : optimizer_table())
    for (const HyperParameter& h : e.hyper)
      if (!values.count(h.name) && is_given(o, "--" + h.name))
        fail(ErrorKind::usage, "--" + h.name, "is for --optimizer {}, got {}", e.name, o.optimizer);
  return values;
}

OptimizerSetup optimizer_setup(const Options& o, double lr) {
  return {o.optimizer, lr, o.weight_decay, hyper_values(o), o.decay == "all", parse_lr_scales(o.lr_scale)};
}

bool parse_switch(const std::string& flag, const std::string& text) {
  if (text == "on") return true;
  if (text == "off") return false;
  fail(ErrorKind::usage, flag, "expected on or off, got \"{}\"", text);
}

DType parse_precision(const std::string& text) {
  if (text != "f32" && text != "bf16")
    fail(ErrorKind::usage, "--precision", "expected f32 or bf16, got \"{}\"", text);
  return text == "bf16" ? DType::bfloat16 : DType::float32;
}

double parse_number(const std::string& flag, const std::string& text) {
  size_t used = 0;
  double value = 0;
  try {
    value = std::stod(text, &used);
  } catch (const std::exception&) { used = 0; }
  if (used == 0 || used != text.size() || !std::isfinite(value))
    fail(ErrorKind::usage, flag, "expected a number, got \"{}\"", text);
  return value;
}

std::vector<double> parse_numbers(const std::string& flag, const std::string& text) {
  std::vector<double> values;
  for (const std::string& item : split(text, ',')) {
    if (item.empty()) fail(ErrorKind::usage, flag, "expected comma-separated values, got \"{}\"", text);
    values.push_back(parse_number(flag, item));
  }
  return values;
}

int64_t total_steps(const Options& o, int64_t steps_per_epoch) {
  if (o.epochs < 0) return o.max_steps > 0 ? o.max_steps : 5 * steps_per_epoch;
  int64_t total = checked_mul(o.epochs, steps_per_epoch);
  return o.max_steps > 0 ? std::min(total, o.max_steps) : total;
}

void apply_threads(const Options& o) { set_num_threads(o.threads > 0 ? o.threads : available_processors()); }

Normalization normalization_for(const Options& o, const std::string& kind, const Dataset& dataset) {
  if (!o.quiet && (kind == "zca" || kind == "pca"))  // seconds for images of 28x28, half a minute for 32x32x3
    std::fputs(fmt::format("{}: the covariance of {} values in {} images and its decomposition\n", kind,
                           dataset.channels() * dataset.height() * dataset.width(), dataset.train.size())
                   .c_str(),
               stderr);
  Normalization n = make_normalization(kind, dataset, o.whiten_epsilon);
  auto use = [&](const char* flag, const std::vector<double>& given, std::vector<double>& value) {
    if (given.empty()) return;
    if (given.size() != 1 && static_cast<int64_t>(given.size()) != dataset.channels())
      fail(ErrorKind::usage, flag, "expected 1 or {} numbers, got {}", dataset.channels(), given.size());
    value = given;
  };
  use("--mean", o.mean, n.mean);
  use("--std", o.std, n.std);
  return n;
}

Augmentation augmentation_for(const Options& o) {
  Augmentation a = parse_augmentation(o.augment);
  a.padding = o.crop_padding == "zero" ? Padding::zero : Padding::reflect;
  return a;
}

void complete_data_setup(const Options& o, const Dataset& d, TrainSetup& s) {
  s.loader.augmentation = augmentation_for(o);
  s.loader.sampler = parse_sampler(o.sampler);
  // Images that are decoded on the way want more than one thread.
  if (!d.train.images.defined() || (s.loader.augmentation.crop && d.train.source))
    s.loader.threads = num_threads();
  s.class_weights = naming_flag({"class-weights"}, [&] { return class_weights(o.class_weights, d); });
}

}  // namespace sigma::app
