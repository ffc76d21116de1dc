// The values of the flags that verbs share, and small helpers to read them.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "apps/training/network.h"
#include "core/dtype.h"
#include "data/transforms/transforms.h"
#include "optim/optimizer_table.h"

namespace sigma {
struct OptimizerSetup;
}

namespace sigma::app {

// A member a line of flags.def, with its default.
struct Options {
#define FLAG(type, member, initial, ...) type member = initial;
#include "apps/flags/flags.def"
#undef FLAG
  // Of the optimizers, by their names in the table of optimizers; see hyper_values.
  std::map<std::string, double> hyper;
  std::map<std::string, bool> hyper_switches;

  // Of a comparison: the values of flags that have two or more, by their names; see Flag::several.
  std::map<std::string, std::vector<std::string>> several;

  std::string verb;                // "train", "data fetch"
  std::vector<std::string> flags;  // those that the verb has, "--model"
  std::vector<std::string> given;  // those that were on the command line or in the configuration
};

bool is_given(const Options& options, const std::string& flag);
// Whether it has several values.
bool is_list(const Options& options, const std::string& flag);

// The learning rate, weight decay and hyper-parameters of the optimizer where none are given.
void complete_optimizer(Options& options);
// The hyper-parameters of the chosen optimizer. One that is given and not of this optimizer is an error.
HyperValues hyper_values(const Options& options);
// All of what the flags say of the optimizer, with this rate.
OptimizerSetup optimizer_setup(const Options& options, double lr);

bool parse_switch(const std::string& flag, const std::string& text);  // on, off
DType parse_precision(const std::string& text);                       // f32, bf16
double parse_number(const std::string& flag, const std::string& text);
// Of comma-separated texts, none of which may be empty.
std::vector<double> parse_numbers(const std::string& flag, const std::string& text);

int64_t total_steps(const Options& options, int64_t steps_per_epoch);
void apply_threads(const Options& options);
Normalization normalization_for(const Options& options, const std::string& kind, const Dataset& dataset);
Augmentation augmentation_for(const Options& options);
// Normalization is left to the caller.
void complete_data_setup(const Options& options, const Dataset& dataset, TrainSetup& setup);

}  // namespace sigma::app
