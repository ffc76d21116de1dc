// Optimizers by name: one table of what there is, with the hyper-parameters of each, from which the flags of
// the command line follow. A program can register one of its own in the same way.
#pragma once

#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "optim/optimizer.h"

namespace sigma {

struct HyperParameter {
  std::string name;   // "momentum"
  std::string about;  // a few words
  double initial = 0;
  double least = 0;  // allowed are least <= value < below; 0 and 1 for a switch
  double below = std::numeric_limits<double>::infinity();
  bool is_switch = false;
};
using HyperValues = std::map<std::string, double>;

struct OptimizerEntry {
  std::string name;  // "sgd"
  std::string about;
  double lr = 0.01, weight_decay = 0;  // where none is given
  bool decay_all = true;               // the same: whether biases and normalization decay too
  std::vector<HyperParameter> hyper;
  // Gets a value for every hyper-parameter.
  std::function<std::unique_ptr<Optimizer>(std::vector<ParameterGroup>, const HyperValues&)> make;
};

// By name.
const std::vector<OptimizerEntry>& optimizer_table();
// Throws kind usage for an unknown name.
const OptimizerEntry& optimizer_entry(const std::string& name);

// Names and ranges are checked; hyper-parameters that are not given have the table's initial values. Throws
// kind usage with the place "optimizer".
std::unique_ptr<Optimizer> make_optimizer(const std::string& name, std::vector<ParameterGroup> groups,
                                          const HyperValues& values = {});
// The same without making one: all values that the optimizer would get.
HyperValues checked_values(const std::string& name, const HyperValues& values);

// Puts an optimizer into the table, before main() when it is an object of namespace scope. A name that is
// there already is an error of kind internal.
struct OptimizerRegistration {
  explicit OptimizerRegistration(OptimizerEntry entry);
};

}  // namespace sigma
