// What `sigma compare` is to do: the arms that its flags come to on a data set, and how each is trained.
#pragma once

#include <vector>

#include "apps/flags/options.h"
#include "apps/report/comparison.h"
#include "apps/verbs/compare_arm.h"

namespace sigma::app {

struct Plan {
  Comparison comparison;           // without runs
  std::vector<Options> options;    // of the arms
  std::vector<TrainSetup> setups;  // of the arms, without normalization and for any seed
  std::vector<Probe> probes;       // of the arms
  size_t left_out = 0;             // combinations that are trained as another one is
};
// Every combination of the flags' values (flag_lists.h) that is a training of its own: a network without
// batch norm has no arms with and without, and momentum is none of Adam's. Throws kind usage, naming the
// flag, for an arm that does not fit the data.
Plan plan_for(const Options& options, const Dataset& data);
// Computes the constants of all arms, once for those that share them.
void normalize(Plan& plan, const Dataset& data);

}  // namespace sigma::app
