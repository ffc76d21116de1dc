// What `sigma inspect` measures: the demonstrations of batch normalization on one network, its data and its
// settings.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "apps/report/picture.h"
#include "apps/training/distributions.h"
#include "apps/training/inspection.h"
#include "core/json.h"

namespace sigma::app {

struct InspectOptions {
  std::string layer;             // whose statistics are watched; empty: the last that keeps some
  std::vector<double> channels;  // of it; empty: first, middle and last
  int64_t steps = 100;           // of training
  std::function<void(const std::string& what, int64_t done, int64_t all)> progress;  // throws to stop
};

// Distributions over the steps of a training, of one network.
struct DistributionRun {
  std::string label;                                  // "with batch norm"
  std::vector<int64_t> steps;                         // where it was looked at
  std::vector<std::vector<LayerDistribution>> looks;  // there, of each layer
  int64_t diverged_at = -1;                           // the step whose loss was not finite; -1: none
};

// "The network with batch norm diverged: after 3 steps its loss was no number."
std::string diverged_text(const DistributionRun& run);

struct GapAt {
  int64_t at = 0;  // steps done, or images a batch
  ModeGap gap;
};

// An image before and after Normalize(mean, std), and back; and the pixels of many.
struct NormalizedImage {
  std::string words;                      // "standard: mean 0.1307, std 0.3081"
  std::string label;                      // its class
  Tensor pixels, normalized, back;        // (1, C, H, W); back: undefined of a whitening
  double back_error = 0;                  // the largest difference between pixels and back, in levels of 255
  int64_t images = 0;                     // that the following are of
  std::vector<double> mean, std;          // of each channel before, in 0..255
  std::vector<double> new_mean, new_std;  // and after
  struct Shares {
    double low = 0, high = 0;   // of the bins
    std::vector<double> share;  // of the values of the channel
  };
  std::vector<Shares> before, after;  // of each channel
};

struct Inspection {
  std::string layer;  // empty: the network has none that keeps statistics, and `why` says so
  std::string why;
  std::vector<size_t> channels;
  double eps = 0;
  std::optional<double> momentum;                     // of the layer
  int64_t parameters = 0, steps = 0, batch_size = 0;  // of training; steps: fewer where it diverged
  int64_t batch = 0;                                  // images that both modes are compared on
  std::vector<StateEntry> before, after;
  std::vector<StatisticsStep> statistics;
  std::vector<GapAt> gaps, sizes;  // by steps; by images a batch, in the end
  int64_t size_images = 0;         // of `sizes` and `variances`
  std::vector<BatchVariance> variances;
  int64_t population_batches = 0, rest_batches = 0, epoch_batches = 0;
  std::vector<MomentumTrace> momenta;
  std::vector<EpsEffect> eps_effects;
  std::vector<double> variance;  // biased, of each channel of what comes into the layer, for eps_effects
  std::vector<DistributionRun> runs;
  int64_t look_images = 0;
  std::vector<std::string> notes;  // what was left out, and why
  NormalizedImage image;
};

// Of the first of these training images; the pixels are those of all.
NormalizedImage normalized_image(const Dataset& data, const Normalization& normalization,
                                 const std::vector<int64_t>& rows);

// Trains the network of the setup for so many steps, and fresh ones of the same seed with and without
// normalization, and measures. Throws kind usage, with the places "--layer" and "--channels", for those that
// there are not.
Inspection inspect(const Dataset& data, const TrainSetup& setup, const InspectOptions& options);

// For the terminal, the summary and the page.
std::string inspection_table(const Inspection& found);
Json inspection_json(const Inspection& found);

// A file beside the page.
struct InspectionFile {
  std::string name, content;
};
// Pictures and their numbers, and "report.html", which shows them. `command` repeats it; `config` and
// `environment` are JSON.
std::vector<InspectionFile> inspection_files(const Inspection& found, const std::string& title,
                                             const std::string& command, const std::string& config,
                                             const std::string& environment);

}  // namespace sigma::app
