// What the page of a run shows (apps/report/run_page.h), gathered from the run.
#pragma once

#include "apps/flags/options.h"
#include "apps/report/csv.h"
#include "apps/report/run_page.h"
#include "apps/training/fit.h"
#include "core/json.h"

namespace sigma::app {

// `results` is the table of measurements, results.csv. The network has the weights that are measured (see
// Trainer::Measured); it is left in eval mode.
RunReport run_report(const Options& options, Trainer& trainer, const FitResult& result,
                     const CsvLog& results);

}  // namespace sigma::app
