// A whole comparison, from flags to a run folder; `sigma compare` is this, and experiments are made of it.
#pragma once

#include <filesystem>
#include <optional>

#include "apps/flags/options.h"
#include "apps/report/comparison.h"

namespace sigma::app {

struct CompareOutcome {
  std::optional<Comparison> comparison;  // nothing of a dry run, which is printed, or when it was stopped
  std::filesystem::path folder;
  int signal = 0;  // that stopped it; what was finished is in the folder, and --resume goes on
};
// Trains what is not finished yet, writes tables, pictures and the report. Throws as load_data and plan_for
// do.
CompareOutcome run_comparison(const Options& options);

}  // namespace sigma::app
