// Whitening: a linear map after which the pixels of the training set are uncorrelated and of variance 1.
//
// With x an image as one vector of d values in 0..1, and the covariance of the training set C = U diag(v) U^T
// by singular value decomposition (C is symmetric and positive, so that this is its eigendecomposition too):
//
//   zca:  y = U diag(f) U^T (x - mean)   the whitened image closest to the original one
//   pca:  y = diag(f) U^T (x - mean)     value i of the image is its i-th principal component
//   f = 1 / sqrt(v + epsilon)
//
// A direction that varies less than the rounding of pixels to 8 bits, where v is at most 1 / (12 * 255^2), or
// than the decomposition can tell from zero, is dropped: its f is 0. Without an epsilon the covariance of y
// is therefore the identity on the kept directions. Bell and Sejnowski 1997; Krizhevsky 2009.
#pragma once

#include <string>

#include "data/dataset.h"

namespace sigma {

// Vectors hold the values of an image in the order of a channels_last tensor: (H, W, C).
struct Whitening {
  Tensor mean;    // float32 (d)
  Tensor matrix;  // float32 (d, d); y = (x - mean) matrix for a row x
  int64_t kept = 0;
  double largest = 0, smallest = 0;  // variance of the kept directions
  double epsilon = 0;
};

// An image of more values than this would take minutes and gigabytes: refused.
inline constexpr int64_t kMaxWhitened = 4096;

// From the images of a training set; `kind` is zca or pca. Throws kind data when images are larger than
// kMaxWhitened or do not vary.
Whitening make_whitening(const std::string& kind, const Tensor& images, double epsilon = 0);

// In place: float32 (N, C, H, W) channels_last with pixels in 0..1.
void whiten(Tensor& images, const Whitening& whitening);

}  // namespace sigma
