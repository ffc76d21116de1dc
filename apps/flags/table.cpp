// The lines of flags.def as Flags.
#include <algorithm>
#include <cmath>

#include "apps/flags/flag.h"
#include "apps/flags/flag_lists.h"
#include "apps/flags/options.h"
#include "apps/training/initial_weights.h"
#include "apps/training/layer_patterns.h"
#include "data/dataset.h"
#include "data/loader.h"
#include "data/transforms/resize.h"
#include "layers/networks/models.h"
#include "optim/lr_schedule.h"
#include "optim/optimizer_table.h"

namespace sigma::app {
namespace {

std::string flag_name(std::string member) {
  std::replace(member.begin(), member.end(), '_', '-');
  return "--" + member;
}

std::string optimizer_names() {
  std::string names;
  for (const OptimizerEntry& e : optimizer_table()) names += (names.empty() ? "" : "|") + e.name;
  return names;
}

std::vector<FlagCheck> range_of(const HyperParameter& h) {
  std::vector<FlagCheck> checks{at_least(h.least)};
  if (std::isfinite(h.below))
    checks.push_back(below(h.below, fmt::format("{} to less than {}", h.least, h.below)));
  else
    checks.push_back(finite("a number"));
  if (h.is_whole) checks.push_back(whole_number());
  return checks;
}

// Where optimizers share a hyper-parameter, the flag begins as the default optimizer has it; see
// complete_optimizer.
double initial_of(const HyperParameter& h) {
  for (const HyperParameter& own : optimizer_entry(Options().optimizer).hyper)
    if (own.name == h.name) return own.initial;
  return h.initial;
}
void check_norm(const std::string& text) { (void)Norm(text); }

// The hyper-parameters of all optimizers; some share one.
void add_hyper_parameters(std::vector<Flag>& flags, Options& options) {
  for (const OptimizerEntry& e : optimizer_table())
    for (const HyperParameter& h : e.hyper) {
      const std::string name = "--" + h.name;
      if (std::any_of(flags.begin(), flags.end(), [&](const Flag& f) { return f.name == name; })) continue;
      if (h.is_switch)
        flags.push_back({name,
                         &options.hyper_switches.try_emplace(h.name, initial_of(h) != 0).first->second,
                         kTraining,
                         kIdentity,
                         h.about,
                         {}});
      else
        flags.push_back({name, &options.hyper.try_emplace(h.name, initial_of(h)).first->second, kTraining,
                         kIdentity, h.about, range_of(h)});
    }
}

// A comparison may have several values of all that makes a network and its training.
void allow_several(std::vector<Flag>& flags, Options& options) {
  for (Flag& f : flags)
    if (is_comparable(f)) f.several = &options.several[f.name];
}

}  // namespace

std::vector<Flag> shared_flags(Options& options) {
  std::vector<Flag> flags;
#define FLAG(type, member, initial, groups, traits, about, ...) \
  flags.push_back({flag_name(#member), &options.member, groups, traits, about, {__VA_ARGS__}});
#include "apps/flags/flags.def"
#undef FLAG
  add_hyper_parameters(flags, options);
  allow_several(flags, options);
  return flags;
}

}  // namespace sigma::app
