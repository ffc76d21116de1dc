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

// The rate to train with, from the points of a sweep in the order of their rates: half the rate r of the
// least average. Where the average came down to halfway only at a rate h above r / 5, the network left a
// plateau that it would have left sooner at a rate that stays: then less, in proportion, r / 2 * (r / h) / 5.
//
// Measured, in percent of test images: cosine schedules of 3 or 4 epochs of 3,000 to 6,000 images, batches of
// 64, one seed, against the best of eight rates a factor of three apart (six for Adam).
//
//   network, data, optimizer               best of the grid   suggested       r / 4   valley
//   lenet5, synth-digits, SGD              97.55 (0.1)        97.50 (0.048)   97.1    83
//   mlp, MNIST, SGD                        93.88 (0.03)       93.70 (0.023)   93.2    87
//   lenet5, CIFAR-10, SGD                  51.66 (0.03)       51.88 (0.018)   50.7    47
//   lenet5 without batch norm, MNIST, SGD  96.00 (0.03)       96.00 (0.030)   95.6    92
//   lenet5, CIFAR-10, Adam                 53.30 (0.01)       53.64 (0.007)   53.1    50
//   cnn, MNIST, SGD                        96.10 (0.03)       96.25 (0.083)   96.1    91
//
// The last two columns are read off between the rates of the grid: a fixed share of r, and fastai's valley
// (the longest fall of the average, a half of it down). The rate of the steepest fall did as badly as the
// valley. The constants were chosen on the first four pairs.
//
// The rule is no law. On pairs that had no say in it, 4 epochs of 6,000 images, eight rates, another seed:
// within 0.5 points for lenet5 on MNIST and cnn on synth-digits with AdamW (98.25 of 98.05, 99.35 of 99.35),
// below for sigmoid-mlp on MNIST with SGD (91.05 of 92.05), mlp on CIFAR-10 with Adam (44.67 of 45.99: too
// low a rate) and a network of three convolutions there with SGD (45.00 of 48.19: too high).
//
// Throws kind usage when the average never falls by a twentieth: then no rate that was tried trains.
double suggest_lr(const std::vector<LrFindPoint>& points);

}  // namespace sigma
