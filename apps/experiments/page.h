// The page of an experiment, and the index of all.
#pragma once

#include "apps/experiments/experiment.h"

namespace sigma::app {

// An experiment with what came of it.
struct Tested {
  Experiment experiment;
  Extent extent;
  Outcome outcome;
  double seconds = 0;
  std::string command;      // that repeats it
  std::string environment;  // as JSON
};

std::string experiment_html(const Tested& tested);
std::string chart_csv(const Chart& chart);  // a row a point: series, x, y, low, high
// Without the charts.
Json outcome_json(const Tested& tested);
Tested tested_from(const Json& json, const Experiment& experiment, const std::string& place);
// Of experiments that were run, each of which has its page in the folder of its name beside the index.
std::string index_html(const std::vector<Tested>& all);

}  // namespace sigma::app
