// Which learning rate to train with: a sweep says where to look (the range test of Smith 2017, a short
// training whose rate grows exponentially), short runs from the first weights say which of the rates there is
// best.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "training/trainer.h"

namespace sigma {

struct LrFindOptions {
  double lowest = 1e-6,
         highest = 10;         // rates of the first and the last step of the sweep; above 0, lowest < highest
  int64_t steps = 300;         // of the sweep; at least 20
  double smoothing = 0.9;      // of the average of losses, bias-corrected as in Adam; 0 to less than 1
  double explosion = 4;        // the sweep ends where the average is above so many times its least
  int64_t trials = 10;         // short runs at most; 0: the sweep alone
  int64_t trial_steps = 1000;  // of each, at least 20; less where the run that is meant has fewer: a rate
                               // that is best for a short run may be too high for a long one
};

struct LrFindPoint {
  double lr = 0, loss = 0, smoothed = 0;  // nats; the loss is that before the step at this rate
};

// A short run: the rate that its schedule scales, and the mean loss of its last fifth, nats; infinite where
// it diverged.
struct LrTrial {
  double lr = 0, loss = 0;
};

// After a step.
struct LrFindEvent {
  int64_t trial = 0;  // from 1; 0: the sweep
  int64_t step = 0;   // of it, from 1
  LrFindPoint point;
};

struct LrFindResult {
  std::vector<LrFindPoint> points;
  bool exploded = false;        // before the highest rate
  std::vector<LrTrial> trials;  // in the order in which they ran
  double suggestion = 0;        // see suggest_lr
};

// Makes a trainer that has done no step, each time the same one.
using MakeTrainer = std::function<std::unique_ptr<Trainer>()>;

// Sweeps, and runs what next_trial asks for, each time with a new trainer. The short runs follow the schedule
// of the trainer's setup, shrunk to their length. Rates by layer keep their scale. `on_step` is told each
// step; when it returns false, the sweep or the search ends with what there is. Throws kind usage for options
// out of range, and as suggest_lr.
LrFindResult find_lr(const MakeTrainer& make, const LrFindOptions& options = {},
                     const std::function<bool(const LrFindEvent&)>& on_step = {});

// The rate of a sweep, from its points in the order of their rates: half the rate r of the least average.
// Where the average came down to halfway only at a rate h above r / 5, the network left a plateau that it
// would have left sooner at a rate that stays: then less, in proportion, r / 2 * (r / h) / 5. 0 where the
// average never falls by a twentieth: then a sweep of this length shows nothing.
double sweep_lr(const std::vector<LrFindPoint>& points);

// Where the short runs begin: sweep_lr, or, where that is 0, a tenth of the highest rate that did no harm.
double first_trial(const std::vector<LrFindPoint>& points);

// The rate of the next short run. First a factor of three beyond the best so far on the side where none was
// tried yet, the higher first, until the best lies between two others; then halfway to a neighbour that is
// more than a factor of two away, the higher first; then where the parabola through the three over the
// logarithm of the rate is least, while that is more than 15% away from the best. 0: enough is known.
double next_trial(const std::vector<LrTrial>& trials);

// The rate with two digits, the number that its text would be read as. Short runs have such rates, so that
// what is suggested, and printed, is what was tried.
double to_two_digits(double lr);

// The rate to train with: that of the best trial, so that it is one which trained. Without trials sweep_lr.
//
// The sweep alone is no law: a network that must leave a plateau needs longer than a sweep stays at any rate,
// and the best share of the rate where the sweep's loss is least varies from a hundredth to a half.
//
// Measured, in percent of test images: 4 epochs of 6,000 images (synthetic ones: all), batches of 64, cosine
// schedule, means over so many seeds, against the rate with the best mean of eight a factor of three apart.
//
//   network, data, optimizer                       seeds   best of the grid   suggested
//   lenet5, MNIST, AdamW                           3       98.14              98.16
//   three convolutions, CIFAR-10, SGD              3       49.13              49.80
//   mlp, CIFAR-10, Adam                            2       46.13              45.87
//   sigmoid-mlp, MNIST, SGD                        2       91.16              91.20
//   lenet5 without batch norm, synth-objects, SGD  2       53.85              55.83
//   cnn, synth-digits, AdamW                       2       99.22              99.23
//
// The fifth's accuracy is no smooth function of the rate: five rates of 0.08 to 0.082 end 4.5 points apart.
// A run of 10 epochs of it ended at 79.4 (one seed; best of the grid 80.8).
//
// Throws kind usage when neither falls by a twentieth of the first loss: then no rate that was tried
// trains.
double suggest_lr(const std::vector<LrFindPoint>& points, const std::vector<LrTrial>& trials = {});

}  // namespace sigma
