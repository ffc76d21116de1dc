// What the literature measures in networks: of values (distributions), of representations (rank,
// orthogonality), of inputs (their covariance) and of the loss around the weights. Everything is computed in
// float64; values that are not finite go into results as they come, so that what overflowed is seen.
#pragma once

#include <optional>
#include <vector>

#include "layers/module.h"

namespace sigma {

// The q-th percentiles, q in 0..100, by linear interpolation between order statistics as numpy.percentile.
// NaN of no values, and when one is NaN. Throws kind usage for q out of range.
std::vector<double> percentiles(const Tensor& values, const std::vector<double>& q);

// E[(x - m)^4] / E[(x - m)^2]^2: 3 of a normal distribution, more where tails are heavy; NaN of constant
// values.
double kurtosis(const Tensor& values);

// Largest magnitude over the median magnitude; how far single values stand out (Bjorck et al. 2018,
// section 3.3).
double max_over_median(const Tensor& values);

// A histogram: the share of the values in each of `bins` equally wide bins from `low` to `high`, of which
// each has its lower edge. Values beyond count in the bins at the ends, those that are NaN in none. At least
// one bin, and low < high, else kind usage.
std::vector<double> histogram_shares(const Tensor& values, double low, double high, int64_t bins);

// How far the median of a distribution travels, in units of its width: sum over t of |q50(t) - q50(t-1)|,
// divided by the mean of q85 - q15 (Ioffe and Szegedy 2015, figure 1, as a number). The three of one length;
// 0 of fewer than two.
double percentile_drift(const std::vector<double>& q15, const std::vector<double>& q50,
                        const std::vector<double>& q85);

// Representations are matrices (samples, features): a row a sample. With M = H'H / samples:
//
// The number of singular values of H / sqrt(samples) whose square is at least `tau` (the soft rank of
// Daneshmand et al. 2020).
int64_t soft_rank(const Tensor& representations, double tau);
// tr(M)^2 / ||M||_F^2, a lower bound of the rank that no scale changes (same paper): 1 where all samples
// lie on a line, the number of features where M is a multiple of the identity. NaN of zeros.
double trace_rank(
    const Tensor& representations);  // effective_rank of layers/passes/spectrum.h is another measure
// || HH' / ||H||_F^2 - I / n ||_F over n samples: 0 where samples are orthogonal and of one length, sqrt(1 -
// 1/n) where all are the same up to sign (Daneshmand et al. 2021). NaN of zeros.
double orthogonality_gap(const Tensor& representations);

// Of inputs (samples, features) the spectrum of E[x x'] (about 0, as the Hessian of a linear layer sees them:
// LeCun et al. 1998, section 4.3).
struct InputSpectrum {
  double largest = 0, smallest = 0;  // eigenvalues; `smallest`: of those above `least`
  int64_t rank = 0;                  // how many those are
  double condition() const { return largest / smallest; }
  double rate_bound() const { return 2 / largest; }  // gradient descent on a quadratic loss diverges above it
};
// Eigenvalues up to `least` count as zero; without one those up to features * epsilon * largest. Give the
// variance of the inputs' rounding: of pixels in 0..255 that is 1 / 12.
InputSpectrum input_spectrum(const Tensor& inputs, std::optional<double> least = {});

// A linear model without bias by least squares, from inputs (n, features) to targets (n, outputs):
//
//   L(W) = ||X W - Y||^2 / (2 n),   gradient H W - X'Y / n,   H = X'X / n
//
// whose Hessian H is what input_spectrum looks at, and gradient descent on it, W <- W - rate * gradient from
// W = 0 (LeCun, Kanter and Solla 1991).
class LinearLeastSquares {
 public:
  LinearLeastSquares(const Tensor& inputs, const Tensor& targets);
  double least() const { return least_; }  // the smallest loss of any W
  // L before the first step and after each; ends after the first that is not finite.
  std::vector<double> descend(double rate, int64_t steps) const;

 private:
  double loss(const Tensor& w, const Tensor& hessian_times_w) const;
  Tensor hessian_, right_;  // H, X'Y / n
  double at_zero_ = 0, least_ = 0;
};

// The loss along the gradient from where a network stands (Santurkar et al. 2018, section 3.2): for each step
// size t, at w - t g with g the gradient at w,
//
//   loss[t]         L(w - t g)
//   distance[t]     ||g(w - t g) - g(w)||: how wrong the gradient is about what it leads to
//   smoothness[t]   distance[t] / ||t g||: the largest is the effective beta-smoothness
//
// of the mean cross-entropy over the batch, in training mode with running statistics left alone; dropout
// draws anew each time. Weights are put back as they were.
struct Landscape {
  double start = 0, gradient_norm = 0;  // L(w), ||g(w)||
  std::vector<double> loss, distance, smoothness;
  // NaN where one of the values is not finite.
  double loss_range() const;       // max - min of `loss`
  double beta_smoothness() const;  // the largest of `smoothness`
  double predictiveness() const;   // the largest of `distance`
};
Landscape landscape(Module& model, const Tensor& images, const Tensor& labels,
                    const std::vector<double>& steps);

// What the residual blocks of a network add to what passes by them, block by block, by the mean square over
// all samples and features: the variance over the random weights, about which the mean is 0 (De and Smith
// 2020, section 3).
//
//   branch[l]   of the body's output
//   skip[l]     of the block's output without it: of x, or of shortcut(x)
//
// In training mode with running statistics left alone.
struct BranchVariances {
  std::vector<double> branch, skip;
};
BranchVariances branch_variances(Module& model, const Tensor& images);

// The share of the features that normalization has switched off: of the weights of all normalization layers
// (gamma) those of a magnitude below `threshold` (Frankle, Schwab and Morcos 2021, section 5: 0.01). NaN of a
// network without such layers.
double switched_off(const Module& model, double threshold = 0.01);

}  // namespace sigma
