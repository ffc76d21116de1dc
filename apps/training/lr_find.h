// The learning-rate range test (Smith 2017): a short training whose rate grows exponentially, and what its
// losses say about the rate to train with.
#pragma once

#include <functional>
#include <vector>

#include "training/trainer.h"

namespace sigma {

struct LrFindOptions {
  double lowest = 1e-6, highest = 10;  // rates of the first and the last step; above 0, lowest < highest
  int64_t steps = 300;                 // at least 20
  double smoothing = 0.9;  // of the average of losses, bias-corrected as in Adam; 0 to less than 1
  double explosion = 4;    // the sweep ends where the average is above so many times its least
};

struct LrFindPoint {
  double lr = 0, loss = 0, smoothed = 0;  // nats; the loss is that before the step at this rate
};

struct LrFindResult {
  std::vector<LrFindPoint> points;
  bool exploded = false;  // before the highest rate
  double suggestion = 0;  // see suggest_lr
};

// Sweeps with a trainer that has done no step, and whose network is then of no use. Rates by layer keep their
// scale. `on_step` is told each point; the sweep ends when it returns false. Throws kind usage for options
// out of range, and as suggest_lr.
LrFindResult find_lr(Trainer& trainer, const LrFindOptions& options = {},
                     const std::function<bool(const LrFindPoint&)>& on_step = {});

// The rate to train with, from the points of a sweep in the order of their rates.
// Throws kind usage when the average never falls by a twentieth: then no rate that was tried trains.
double suggest_lr(const std::vector<LrFindPoint>& points);

}  // namespace sigma
