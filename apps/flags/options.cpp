#include "apps/flags/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "apps/training/initial_weights.h"
#include "core/parallel.h"
#include "core/text.h"
#include "layers/networks/models.h"
#include "optim/lr_schedule.h"

namespace sigma::app {
namespace {

[[noreturn]] void bad(const std::string& flag, const std::string& why) {
  throw_error(ErrorKind::usage, flag, why);
}

std::vector<double> numbers(const std::string& flag, const std::string& text) {
  std::vector<double> values;
  for (const std::string& item : split_list(flag, text)) values.push_back(parse_number(flag, item));
  return values;
}

// What is wrong with the text of an unsigned 64-bit number; empty when nothing is.
std::string whole_number(std::string& text) {
  uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size()) return "";
  return fmt::format("expected a whole number from 0 to {}, got \"{}\"", UINT64_MAX, text);
}

}  // namespace

void add_flags(CLI::App& verb, Options& o, unsigned groups) {
  // A flag given twice counts the last time, so that the command line overrides the configuration file.
  auto add = [&](const char* name, auto& value, const char* about) {
    return verb.add_option(name, value, about)->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  };
  auto flag = [&](const char* name, bool& value, const char* about) {
    verb.add_flag(name, value, about)->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  };
  bool lists = groups & kLists;
  if (groups & kData) {
    add("--data", o.data,
        "mnist|fashion-mnist|kmnist|cifar10|cifar100|folder:PATH|synth-digits|synth-objects");
    add("--data-dir", o.data_dir, "folder of the data sets (default: $SIGMA_DATA_DIR, else ~/.cache/sigma)");
    add("--limit-train", o.limit_train, "use only the first N training images");
    add("--limit-test", o.limit_test, "use only the first N test images");
  }
  if (groups & kModel) {
    add("--model", o.model, "mlp|sigmoid-mlp|lenet5|cnn|vgg|resnet20|resnet32|resnet44|resnet56|resnet110");
    add("--batch-norm", o.batch_norm, lists ? "on, off or both, comma-separated" : "on|off");
  }
  if (groups & kNormalize) {
    add("--normalize", o.normalize,
        lists ? "none, unit, standard, zca, pca, comma-separated" : "none|unit|standard|zca|pca");
    auto list = [&](const char* name, std::vector<double>& value, const char* about) {
      verb.add_option_function<std::string>(
              name, [&value, name](const std::string& t) { value = numbers(name, t); }, about)
          ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    };
    list("--mean", o.mean, "mean subtracted from pixels in 0..1, one or one a channel, comma-separated");
    list("--std", o.std, "deviation divided by, like --mean");
    add("--whiten-epsilon", o.whiten_epsilon, "of zca and pca: added to the variance of each direction");
  }
  if (groups & kTraining) {
    add("--epochs", o.epochs, "passes over the training set (default: 5, or what --max-steps takes)");
    add("--batch-size", o.batch_size, "images a step");
    add("--lr", o.lr, lists ? "learning rates, comma-separated" : "learning rate");
    std::string names;
    for (const OptimizerEntry& e : optimizer_table()) names += (names.empty() ? "" : "|") + e.name;
    add("--optimizer", o.optimizer, names.c_str());
    add("--weight-decay", o.weight_decay, "of the optimizer");
    for (const OptimizerEntry& e : optimizer_table())
      for (const HyperParameter& h : e.hyper) {
        const std::string name = "--" + h.name;
        if (verb.get_option_no_throw(name)) continue;  // optimizers may share one
        if (h.is_switch) {
          flag(name.c_str(), o.hyper_switches[h.name], h.about.c_str());
          continue;
        }
        o.hyper[h.name] = h.initial;
        add(name.c_str(), o.hyper[h.name], h.about.c_str());
      }
    add("--schedule", o.schedule, "constant|step|cosine|one-cycle");
    add("--warmup", o.warmup, "steps of linear warm-up");
    add("--clip-norm", o.clip_norm, "scale gradients to at most this norm (0: off)");
    add("--label-smoothing", o.label_smoothing, "0..1");
    add("--augment", o.augment, "none|flip|crop|flip+crop");
    add("--crop-padding", o.crop_padding, "what crops show beyond the edge: reflect|zero");
    add("--init", o.init, "initial weights: default|kaiming|orthogonal|patch-whitening");
    add("--seed", o.seed, "of initial weights, order and augmentation")
        ->check(CLI::Validator(whole_number, ""));  // CLI11 takes -1 for 2^64 - 1
    add("--max-steps", o.max_steps, "stop after N steps (default: all epochs)");
    add("--eval-every", o.eval_every,
        "steps between measurements of test accuracy (default: an epoch; compare: 1/30 of the run)");
    add("--eval-images", o.eval_images,
        lists ? "test images for those measurements, spread over the test set (0: all; default: as many as "
                "cost no more than training)"
              : "test images for those measurements, spread over the test set (default: all)");
    add("--precision", o.precision, "f32|bf16: what is kept between the layers; weights and sums are f32");
  }
  if (lists) {
    add("--seeds", o.seeds, "how many seeds, counted from --seed");
    add("--histogram-layer", o.histogram_layer,
        "whose input and output the report shows (default: the last batch norm)");
  }
  if (groups & kThreads) add("--threads", o.threads, "worker threads (default: the processors available)");
  if (groups & kResume) flag("--resume", o.resume, "go on with the run in --out, or the latest run");
  if (groups & kSave) add("--save-every", o.save_every, "steps between checkpoints (default: an epoch)");
  if (groups & kRun) {
    add("--out", o.out, "run folder (default: runs/<verb>[-N])");
    flag("--overwrite", o.overwrite, "replace a run that is in --out");
    flag("--dry-run", o.dry_run, "check everything, print what would run, and stop");
    flag("--quiet", o.quiet, "no progress lines");
    add("--config", o.config, "JSON file of flags; the command line overrides it");
  }
  flag("--json", o.json, "print one JSON object as the last line");
}

bool is_given(const Options& o, const std::string& flag) {
  return std::find(o.given.begin(), o.given.end(), flag) != o.given.end();
}

void complete_optimizer(Options& o) {
  if (o.optimizer == Options().optimizer) return;  // the flags' defaults are its own, or the verb's
  const OptimizerEntry& entry = optimizer_entry(o.optimizer);
  if (!is_given(o, "--lr")) o.lr = fmt::format("{}", entry.lr);
  if (!is_given(o, "--weight-decay")) o.weight_decay = entry.weight_decay;
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
        bad("--" + h.name, fmt::format("is for --optimizer {}, got {}", e.name, o.optimizer));
  return values;
}

void check(const Options& o) {
  auto at_least = [](const char* flag, auto value, auto least) {
    if (!(value >= least)) bad(flag, fmt::format("expected at least {}, got {}", least, value));
  };
  if (o.epochs < 0 && o.epochs != Options().epochs)
    bad("--epochs", fmt::format("expected at least 0, got {}", o.epochs));
  at_least("--batch-size", o.batch_size, 1);
  at_least("--max-steps", o.max_steps, 0);
  at_least("--eval-every", o.eval_every, 0);
  if (o.eval_images < 0 && o.eval_images != Options().eval_images)
    bad("--eval-images", fmt::format("expected at least 0, got {}", o.eval_images));
  at_least("--save-every", o.save_every, 0);
  at_least("--limit-train", o.limit_train, 0);
  at_least("--limit-test", o.limit_test, 0);
  at_least("--warmup", o.warmup, 0);
  at_least("--seeds", o.seeds, 1);
  HyperValues hyper = hyper_values(o);
  for (const HyperParameter& h : optimizer_entry(o.optimizer).hyper) {
    if (h.is_switch) continue;
    const std::string flag = "--" + h.name;
    at_least(flag.c_str(), hyper[h.name], h.least);
    if (hyper[h.name] < h.below) continue;
    if (std::isfinite(h.below))
      bad(flag, fmt::format("expected {} to less than {}, got {}", h.least, h.below, hyper[h.name]));
    bad(flag, fmt::format("expected a number, got {}", hyper[h.name]));
  }
  at_least("--weight-decay", o.weight_decay, 0.0);
  at_least("--clip-norm", o.clip_norm, 0.0);
  if (o.batch_size > 65536) bad("--batch-size", fmt::format("expected at most 65536, got {}", o.batch_size));
  if (o.seeds > 1000) bad("--seeds", fmt::format("expected at most 1000, got {}", o.seeds));
  if (o.threads < 0 || o.threads > 64)
    bad("--threads", fmt::format("expected 1 to 64 (0: all processors), got {}", o.threads));
  if (!(o.label_smoothing >= 0 && o.label_smoothing <= 1))
    bad("--label-smoothing", fmt::format("expected 0 to 1, got {}", o.label_smoothing));
  if (hyper.count("nesterov") && hyper["nesterov"] != 0 && !(hyper["momentum"] > 0))
    bad("--nesterov", "needs a --momentum above 0");
  if (!std::isfinite(o.weight_decay))
    bad("--weight-decay", fmt::format("expected a number, got {}", o.weight_decay));
  for (const std::string& item : split_list("--lr", o.lr)) {
    double lr = parse_number("--lr", item);
    if (!(lr >= 0)) bad("--lr", fmt::format("expected at least 0, got {}", item));
  }
  for (const std::string& item : split_list("--batch-norm", o.batch_norm)) parse_switch("--batch-norm", item);
  for (const std::string& item : split_list("--normalize", o.normalize))
    if (const auto& kinds = normalization_kinds(); std::find(kinds.begin(), kinds.end(), item) == kinds.end())
      bad("--normalize", fmt::format("unknown kind \"{}\", expected one of {}", item, join(kinds, ", ")));
  for (double s : o.std)
    if (!(s > 0)) bad("--std", fmt::format("expected deviations above 0, got {}", s));
  bool whitens = false;
  for (const std::string& item : split_list("--normalize", o.normalize))
    whitens |= item == "zca" || item == "pca";
  if (whitens && (!o.mean.empty() || !o.std.empty()))
    bad(o.mean.empty() ? "--std" : "--mean", "zca and pca have a mean and deviations of their own");
  if (!whitens && o.whiten_epsilon > 0) bad("--whiten-epsilon", "is for --normalize zca and pca");
  if (!(o.whiten_epsilon >= 0 && std::isfinite(o.whiten_epsilon)))
    bad("--whiten-epsilon", fmt::format("expected at least 0, got {}", o.whiten_epsilon));
  parse_precision(o.precision);
  check_init(o.init);
  if (o.crop_padding != "reflect" && o.crop_padding != "zero")
    bad("--crop-padding", fmt::format("expected reflect or zero, got \"{}\"", o.crop_padding));
  if (o.warmup > 0 && o.schedule == "one-cycle") bad("--warmup", "one-cycle has a warm-up of its own");
  if (o.resume && o.overwrite) bad("--resume", "cannot be combined with --overwrite");
  parse_schedule(o.schedule);
  parse_augmentation(o.augment);
  default_input(o.model);  // throws for an unknown name
}

bool parse_switch(const std::string& flag, const std::string& text) {
  if (text == "on") return true;
  if (text == "off") return false;
  bad(flag, fmt::format("expected on or off, got \"{}\"", text));
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
    bad(flag, fmt::format("expected a number, got \"{}\"", text));
  return value;
}

std::vector<std::string> split_list(const std::string& flag, const std::string& text) {
  std::vector<std::string> items(1);
  for (char c : text) {
    if (c == ',')
      items.emplace_back();
    else
      items.back() += c;
  }
  for (size_t i = 0; i < items.size(); ++i) {
    if (items[i].empty()) bad(flag, fmt::format("expected comma-separated values, got \"{}\"", text));
    for (size_t k = 0; k < i; ++k)
      if (items[k] == items[i]) bad(flag, fmt::format("\"{}\" is listed twice", items[i]));
  }
  return items;
}

std::string nearest(const std::string& word, const std::vector<std::string>& known) {
  std::string best;
  size_t best_distance = std::max<size_t>(2, word.size() / 2);
  for (const std::string& k : known) {
    std::vector<size_t> row(k.size() + 1);
    for (size_t j = 0; j <= k.size(); ++j) row[j] = j;
    for (size_t i = 1; i <= word.size(); ++i) {
      size_t diagonal = row[0];
      row[0] = i;
      for (size_t j = 1; j <= k.size(); ++j) {
        size_t above = row[j];
        row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (word[i - 1] != k[j - 1])});
        diagonal = above;
      }
    }
    if (row[k.size()] <= best_distance && (best.empty() || row[k.size()] < best_distance))
      best = k, best_distance = row[k.size()];
  }
  return best;
}

std::vector<std::string> config_arguments(const std::string& path, const std::vector<std::string>& known) {
  const Json json = read_json_file(path, ErrorKind::usage, 1 << 20);
  if (!json.is_object()) fail(ErrorKind::usage, path, "expected a JSON object of flags");
  std::vector<std::string> arguments;
  for (auto& [key, value] : json.items()) {
    bool meaningless = key == "config" || key == "help";  // flags of the command line alone
    if (meaningless || std::find(known.begin(), known.end(), key) == known.end()) {
      std::string near = meaningless ? "" : nearest(key, known);
      fail(ErrorKind::usage, path, "unknown key \"{}\"{}", key,
           near.empty() ? "" : fmt::format("; did you mean \"{}\"?", near));
    }
    std::string text;
    if (value.is_string()) {
      text = value.get<std::string>();
    } else if (value.is_array()) {
      for (auto& item : value)
        text += (text.empty() ? "" : ",") + (item.is_string() ? item.get<std::string>() : item.dump());
      if (value.empty()) continue;
    } else if (value.is_boolean() || value.is_number()) {
      text = value.dump();
    } else {
      fail(ErrorKind::usage, path,
           "the value of \"{}\" is neither a text, a number, a list nor true or false", key);
    }
    arguments.push_back(fmt::format("--{}={}", key, text));
  }
  return arguments;
}

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
      bad(flag, fmt::format("expected 1 or {} numbers, got {}", dataset.channels(), given.size()));
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

}  // namespace sigma::app
