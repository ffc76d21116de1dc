// Batches in which each image is mixed with the one before it, and the first with the last; the labels then
// are two, weighted by w and 1 - w. One w a batch, as torchvision's MixUp and CutMix have it.
#pragma once

#include "core/rng.h"
#include "core/tensor.h"

namespace sigma {

// w x + (1 - w) x', w from Beta(0.2, 0.2). Zhang et al. 2018.
double mixup(Tensor& batch, Rng rng);
// A rectangle of x' in x, about a middle that is uniform over the image: its sides are sqrt(1 - w) of the
// image's, w from Beta(1, 1), cut off at the edge; returned is the share of x that is left. Yun et al. 2019.
double cutmix(Tensor& batch, Rng rng);

// From Beta(a, a), 0 < a <= 1, by Jöhnk's method.
double beta_sample(double a, Rng& rng);

}  // namespace sigma
