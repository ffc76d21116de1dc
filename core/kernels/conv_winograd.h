// 3x3 convolution of stride 1 by Winograd's F(2x2, 3x3): 16 products where the direct sum has 36. float32
// only.
//
// Tiles of 2x2 outputs are cut from whole rows of tiles; a task takes a fixed number of rows of the batch. It
// transforms their inputs into 16 matrices (tiles x channels), multiplies each with the transformed filters
// and transforms the products back, all within the L1 or L2 cache.
//
// Error, with u = 2^-24. An output y of K input channels is the sum of products of transformed pixels and
// filters. In one dimension y0 = (d0 - d2) g0 + (d1 + d2) (g0 + g1 + g2) / 2 + (d2 - d1) (g0 - g1 + g2) / 2,
// and likewise y1; with absolute values a pair |d_i| |g_j| occurs at most twice, in two dimensions four
// times. Each pair passes at most 2 roundings of the input's transform, 4 of the filter's, K of the sum over
// channels and 4 of the output's. So, to first order,
//   |error| <= (K + 10) u * 4 * sum over channels of (sum |d| over the 9 pixels) (sum |g| over the 9 taps)
// and one rounding more for a bias. No bound in the products |d| |g| of y's own taps holds: a pixel that is
// large where the tap is small still rounds. The same goes for the gradient of x, with K output channels. A
// weight gradient over T tiles is within
//   (T + 8) u * 4 * sum over tiles of (sum |dy| over the 2x2 pixels) (sum |x| over the 4x4 pixels).
// Measured on normal data (see the tests), errors reach 0.04 of these bounds, and their root mean square is
// 0.6 to 0.95 of that of plain float32 loops, whose sums are nine times as long; up to 1.9 where most taps
// fall on padding, and 0.7 to 1.7 for the weight gradient. An infinite x can give NaN where the direct
// sum gives infinity.
#pragma once

#include "core/kernels/conv.h"

namespace sigma::kernels {

// Whether it applies: 3x3, stride and dilation 1, one group, padding at most 2, channels in multiples of 16.
bool winograd_fits(const ConvSize& s);

// Images are float or bfloat16; sums, weights and weight gradients are float.
template <class X>
void winograd_forward(const ConvSize& s, const X* x, const float* weight, const float* bias, X* y,
                      const ConvEpilogue& epilogue);
template <class X>
void winograd_backward_data(const ConvSize& s, const X* dy, const float* weight, X* dx);
template <class X>
void winograd_backward_weight(const ConvSize& s, const X* dy, const X* x, float* dweight);

}  // namespace sigma::kernels
