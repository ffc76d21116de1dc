// Enlarging channels_last images by whole factors, and its transpose.
#pragma once

#include <cstdint>

#include "core/bfloat16.h"

namespace sigma::kernels {

struct UpsampleSize {
  int64_t n, h, w, c;        // of the small images
  int64_t scale_h, scale_w;  // at least 1
  bool bilinear;             // else the nearest pixel
};

// Row i of the large image lies at max(0, (i + 1/2) / scale - 1/2) between rows of the small one; bilinear
// takes both by their distance, nearest row i / scale. Sums have the type that is computed with, in a fixed
// order.
template <class X>
void upsample_forward(const UpsampleSize& s, const X* x /*[n][h][w][c]*/,
                      X* y /*[n][h scale_h][w scale_w][c]*/);
template <class X>
void upsample_backward(const UpsampleSize& s, const X* dy, X* dx);

}  // namespace sigma::kernels
