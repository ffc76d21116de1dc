// Initial filters of a first convolution that whiten the patches of the images it will see. Coates, Lee and
// Ng, "An Analysis of Single-Layer Networks in Unsupervised Feature Learning", AISTATS 2011; as the first
// layer of a fast CIFAR-10 network in Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", 2024 (2x2
// patches, eps 5e-4).
#pragma once

#include "core/tensor.h"

namespace sigma::init {

// With d = in*kh*kw and the patches p (d numbers each) of all images at all positions, without padding:
//
//   C = mean of p p^T = V diag(lambda) V^T,   lambda descending,   filter i = v_i / sqrt(lambda_i + eps)
//
// so that over those patches the response of filter i has mean square lambda_i / (lambda_i + eps) and is
// orthogonal to the others'. C is taken about zero, as Jordan does: images are normalised, and the filter
// that sees the mean brightness is kept. `weight` (out, in, kh, kw) gets filters 0..d-1, then their
// negatives, as many as fit; further ones (out > 2d) keep their values. Of v and -v the one is taken whose
// first entry within 1% of the largest magnitude is positive. Sums and the decomposition are float64; no bit
// depends on the threads.
//
// images (N, in, H, W) and weight are float32 or float64. Throws kind usage when they do not fit each other,
// when there is no patch, when a value is not finite, and for eps <= 0 (constant images have lambda = 0).
void patch_whitening(Tensor& weight, const Tensor& images, double eps = 5e-4);

}  // namespace sigma::init
