// What `sigma train` shows and writes while it runs: the progress line, tables, pictures, checkpoints.
#pragma once

#include <string>

#include "apps/flags/options.h"
#include "apps/report/csv.h"
#include "apps/run/progress.h"
#include "apps/run/run_folder.h"
#include "apps/training/fit.h"

namespace sigma::app {

class TrainOutput {
 public:
  // Locks the folder; see RunFolder.
  TrainOutput(const Options& options, const Dataset& data, Trainer& trainer, std::filesystem::path folder);

  RunFolder& folder() { return folder_; }
  // Writes config.json and env.json; rows of an earlier process beyond `progress` are dropped.
  void begin(const Json& config, const Progress& progress);

  // For fit().
  void show_step(const StepEvent& event);
  void show_measurement(const Measurement& m);
  void save(const Checkpoint& checkpoint, SaveReason reason);

  void write_tables();
  void say(const std::string& line) { line_.finish(line); }
  // Everything that the end of a run leaves behind, summary.json last.
  void finish(const FitResult& result);

 private:
  template <class Fn>
  void tolerate(const char* what, int64_t step, Fn write);
  Json summary(const FitResult& result) const;
  // "validation" or "test": the part that is measured on the way.
  std::string part() const { return data_.validation.size() > 0 ? "validation" : "test"; }
  void write_confusion(const EvalResult& test);
  void write_outcomes(const FitResult& result);

  const Options& options_;
  const Dataset& data_;
  Trainer& trainer_;
  int64_t total_, first_step_ = 0;
  int failures_ = 0;
  RunFolder folder_;
  ProgressLine line_;
  CsvLog results_, steps_;
};

}  // namespace sigma::app
