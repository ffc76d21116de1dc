// What `sigma compress` and its sweep share.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "apps/flags/verb.h"
#include "apps/training/compression.h"
#include "core/json.h"

namespace sigma::app {

// How much is kept: one of the first four, or a sweep over ratios.
struct CompressWanted {
  std::optional<double> energy, ratio, macs_ratio;
  std::optional<int64_t> rank;
  std::string scheme = "auto";
  int64_t bn_images = 10000;
  bool sweep = false;
};

// A checkpoint, its network, what can be factored of it, and the data to measure it on.
struct CompressInput {
  Checkpoint checkpoint;
  SavedModel model;
  Dataset data;
  std::vector<Candidate> candidates;
};

struct Totals {
  int64_t parameters = 0, macs = 0;
};
Totals totals_of(const std::vector<Candidate>& all, const std::vector<Choice>& choices);
double percent(int64_t part, int64_t of);

// The running statistics belong to the layers as they were: they are measured anew on training images.
void measure_statistics(Module& model, const Dataset& data, const Normalization& n, int64_t images);
bool has_batch_norm(Module& model);

// Accuracy against what is kept, for twelve shares of the parameters; with batch norm also without measuring
// its statistics anew. `config` is the run's.
int sweep_compression(const Options& options, const CompressWanted& wanted, const Json& config,
                      CompressInput& input);

}  // namespace sigma::app
