// What the page of a run shows (apps/report/run_page.h), gathered from the run.
#pragma once

#include "apps/flags/options.h"
#include "apps/report/csv.h"
#include "apps/report/run_page.h"
#include "apps/training/fit.h"
#include "core/json.h"

namespace sigma::app {

struct Mistake {
  int64_t row = 0;  // of data.measured()
  int64_t truth = 0, guess = 0;
  double probability = 0;  // of the guess, by softmax
};
// The wrong ones with the largest probability, at most `count`, the most certain first; of equals the first
// row. In one pass over data.measured().
std::vector<Mistake> most_certain_mistakes(Module& model, const Dataset& data,
                                           const Normalization& normalization, size_t count);

// `results` is the table of measurements, results.csv. The network has the weights that are measured (see
// Trainer::Measured); it is left in eval mode.
RunReport run_report(const Options& options, Trainer& trainer, const FitResult& result, const CsvLog& results,
                     const std::vector<Mistake>& mistakes);

}  // namespace sigma::app
