// What the experiments on Santurkar et al. 2018 share: a VGG of a quarter of the width on CIFAR-10, trained
// with, without and with noisy batch norm, and looked at on the way.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>

#include "apps/experiments/experiment.h"
#include "apps/training/trainer.h"
#include "core/json.h"

namespace sigma::app {

inline const std::string kSanturkar = "Santurkar et al. 2018 (arXiv 1805.11604)";
inline constexpr double kVggRate = 0.03;
extern const char* const kVggNote;  // how they are trained, for readers

struct VggNet {
  const char *name, *words;
  const char* norm;  // what stands behind each convolution
};
inline constexpr VggNet kPlainVgg{"plain", "without batch norm", "identity"},
    kNormVgg{"bn", "with batch norm", "bn"}, kNoisyVgg{"noisy", "with noisy batch norm", "bn, noise"};

// Trains for the extent's steps, and `looks` times at equal distances, before a step, looks at the network
// and the batch of the step. The losses; a run that diverges ends early. Throws Stopped for a signal; the run
// then begins anew another time.
std::vector<double> train_vgg(Laboratory& lab, const VggNet& net, uint64_t seed, int64_t looks,
                              const std::function<void(Module&, const Batch&)>& look);

// One that is not finite counts as infinite.
double or_infinite(double v);
// `count` measurements; those that a run did not live to see count as infinite, too.
std::vector<double> filled(const Json& values, int64_t count);

// Nets with what was measured of each seed, a unit of the laboratory each.
using Measured = std::vector<std::pair<VggNet, std::vector<Json>>>;
Measured measure_vggs(Laboratory& lab, const std::vector<VggNet>& nets,
                      const std::function<Json(const VggNet&, uint64_t seed)>& measure);
// Over the steps a line for each net: medians over the seeds of the measurements `key`, with their range.
Chart chart_over_steps(const Laboratory& lab, const char* key, const char* what, int64_t looks,
                       const Measured& nets);
// A measurement `key` of the units, `what` it is on axes and in tables, and its plate.
struct VggMeasure {
  const char *key, *what, *plate, *caption;
};
// Adds its findings, of which `published` is said of the first net, and a plate with a line for each net,
// over the steps. Of how many seeds the median over the steps is less in the first net than in the second.
size_t add_measure(Outcome& o, const Laboratory& lab, const Measured& nets, int64_t looks,
                   const VggMeasure& m, const char* published);

}  // namespace sigma::app
