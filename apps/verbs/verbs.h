// The verbs of the command line. Each takes the parsed options and returns an exit code; errors are thrown.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "apps/flags/options.h"

namespace CLI {
class App;
}

namespace sigma::app {

int run_train(const Options& options);
int run_compare(const Options& options);
// How much `compress` keeps: one of the first four, or a sweep over ratios.
struct CompressOptions {
  std::optional<double> energy, ratio, macs_ratio;
  std::optional<int64_t> rank;
  std::string scheme = "auto";
  int64_t bn_images = 10000;
  double seconds = 1;  // for measuring speed
  bool sweep = false;
};
int run_compress(const Options& options, const CompressOptions& compress);
int run_eval(const Options& options);
int run_predict(const Options& options, const std::vector<std::string>& images);
int run_summary(const Options& options);
int run_gradcheck(const Options& options);
int run_data(const Options& options, const std::string& action, const std::string& name,
             const std::string& mirror, double timeout, bool whiten);
int run_bench(const Options& options, const std::string& what, double seconds);
struct SpectrumFlags {
  std::vector<std::string> checkpoints;
  bool activations = false, csv = false;
};
int run_spectrum(const Options& options, const SpectrumFlags& flags);
int run_env(const Options& options);

// Shared by train and compare.
Json flags_json(const Options& options);  // resolved flags, as --config reads them
// "; --lr was 0.1, now 0.2; ..." for a resumed run, or "". The folder of the data may change: its content is
// compared by fingerprint.
std::string differing_flags(const Json& then, const Json& now);
int64_t total_steps(const Options& options, int64_t steps_per_epoch);
void apply_threads(const Options& options);

}  // namespace sigma::app
