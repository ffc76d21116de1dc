// What batch normalization does within a network, as numbers: its state by name, how its running statistics
// follow those of the batches, how far training and eval mode lie apart, and what momentum and eps do.
// Everything is computed in float64 and leaves no trace but where it says so: neither weights, buffers,
// gradients, hooks nor mode change, and the bits depend on no number of threads.
//
//   Trainer trainer(data, setup);
//   const std::string layer = norm_layers(trainer.model()).back();
//   for (const StatisticsStep& s : watch_statistics(trainer, layer, 100)) ...
//   ModeGap gap = mode_gap(trainer.model(), images);
//
// Formulas: Ioffe and Szegedy 2015, "Batch Normalization: Accelerating Deep Network Training by Reducing
// Internal Covariate Shift", algorithms 1 and 2; layers/batch_norm.h has them in these words.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "data/loader.h"
#include "layers/channel_norm.h"
#include "training/trainer.h"

namespace sigma {

// A parameter or buffer of a network. Of what a layer that normalizes channels has, `symbol` is the name in
// the literature: gamma (weight), beta (bias), running mean, running variance, batches seen.
struct StateEntry {
  std::string name, symbol;  // "bn1.running_var", "running variance"
  Shape shape;
  DType dtype = DType::float32;
  double mean = 0, low = 0, high = 0;  // of its values; NaN of none
};
// In the order of state_dict().
std::vector<StateEntry> state_entries(Module& model);

// Paths of the layers that normalize channels and keep running statistics, in the order of visit().
std::vector<std::string> norm_layers(Module& model);

// Of each channel of x (N, C) or (N, C, ...), with M = `values` numbers a channel:
//
//   mean = sum x / M,   biased = sum (x - mean)^2 / M,   unbiased = sum (x - mean)^2 / (M - 1)
//
// A training step normalizes by the biased variance; the running variance averages the unbiased one. Without
// M - 1, that is for M = 1, the unbiased is infinite or NaN.
struct BatchMoments {
  int64_t values = 0;
  std::vector<double> mean, biased;
  std::vector<double> unbiased() const;
};
// Throws kind usage unless x has two to four dimensions and a value.
BatchMoments batch_moments(const Tensor& x);

// A step of training, and the layer after it.
struct StatisticsStep {
  int64_t step = 0;           // of those that were watched, from 1
  double loss = 0;            // nats, before the update
  BatchMoments batch;         // of what came into the layer
  ChannelStatistics running;  // after it
};
// Trains so many steps (this is no look: the trainer goes on) and tells each, of all channels of the layer at
// that path; of a layer that is called several times a step, its last call. When `on_step` returns false, it
// ends with what there is. Throws kind usage for a path that is none of norm_layers(), and what step()
// throws.
std::vector<StatisticsStep> watch_statistics(Trainer& trainer, const std::string& layer, int64_t steps,
                                             const std::function<bool(const StatisticsStep&)>& on_step = {});

// The outputs of a network for the same images in training and in eval mode. Training mode is that of the
// layers which normalize channels, but for frozen ones: they use the batch's statistics. All else is in eval
// mode in both, so that no dropout joins in.
struct ModeGap {
  Tensor train, eval;           // float64 (N, K): K numbers an image
  double rms = 0, largest = 0;  // of |train - eval| over all N K numbers
  // Deviation of the outputs in training mode from their means over the images: sqrt of the mean over K of
  // the variance over N. What a gap is to be compared with.
  double spread = 0;
  double same_class = 0;                            // share of images whose largest output is the same one
  double relative() const { return rms / spread; }  // NaN or infinite where all images give the same
};
// `precision` as TrainSetup's. Throws what the network throws: a batch norm wants more than one value a
// channel.
ModeGap mode_gap(Module& model, const Tensor& images, DType precision = DType::float32);

// The same images (N, C, H, W) cut into batches of a size; those left over are not looked at. Eval mode gives
// the same whatever the size, training mode does not: the mean of b values deviates by 1 / sqrt(b) of what
// single ones do, as far as they are independent. Throws kind usage for a size of less than 2 or more than N.
ModeGap mode_gap_in_batches(Module& model, const Tensor& images, int64_t size,
                            DType precision = DType::float32);

// What comes into a layer for these images, in eval mode. Throws kind usage when there is no such layer.
Tensor layer_input(Module& model, const std::string& layer, const Tensor& images,
                   DType precision = DType::float32);

// Variances of batches of x (N, C, ...) of so many rows, as a multiple of the unbiased variance of all of x;
// means over the batches and over the channels that vary. With M = size * places the two differ by exactly
// M / (M - 1), and for independent rows and places the unbiased is 1 on average (Bessel's correction).
struct BatchVariance {
  int64_t size = 0, values = 0;  // rows of a batch, and its values a channel
  double biased = 0, unbiased = 0;
};
BatchVariance variance_in_batches(const Tensor& x, int64_t size);

// Moments of what comes into the layer, of so many batches of the loader in training mode, with the weights
// at rest.
std::vector<BatchMoments> moments_at_rest(Module& model, const std::string& layer, Loader& loader,
                                          int64_t batches, DType precision = DType::float32);

// What running statistics are after all of them when each counts alike: means of `mean` and of `unbiased`
// (momentum nullopt, torch.optim.swa_utils.update_bn, "precise" statistics). At least one batch.
ChannelStatistics population_of(const std::vector<BatchMoments>& batches);

// Running statistics over these batches with a momentum m, from mean 0 and variance 1 on:
//
//   running <- (1 - m) running + m batch;   nullopt: m = 1 / t at batch t
//
// and how far they are from the population's, (mu, v), after each batch; root mean squares over the channels
// with v > 0:
//
//   mean_error = (running_mean - mu) / sqrt(v),   var_error = (running_var - v) / v
//
// What the start adds falls as (1 - m)^t. What remains is the batches' own noise, sqrt(m / (2 - m)) of it in
// the end (the variance of an exponential average of independent numbers): `floor` is that of mean_error,
// with the noise of these batches; 0 with nullopt.
struct MomentumTrace {
  std::optional<double> momentum;
  std::vector<double> mean_error, var_error;
  double floor = 0;
};
MomentumTrace momentum_trace(const std::vector<BatchMoments>& batches, const ChannelStatistics& population,
                             std::optional<double> momentum);

// What eps does to x (N, C, ...): the deviation of xhat = (x - mean) / sqrt(v + eps) in each channel, by
// batch_norm itself. It is sqrt(v / (v + eps)): 1 where eps is small beside the channel's variance, and
// towards 0 where it is not. And 1 / sqrt(v + eps), by which gradients are multiplied on their way back.
struct EpsEffect {
  double eps = 0;
  std::vector<double> deviation, slope;  // slope: 0 of a constant channel without eps
};
EpsEffect eps_effect(const Tensor& x, double eps);

}  // namespace sigma
