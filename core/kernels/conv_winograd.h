// 3x3 convolution of stride 1 by Winograd's F(2x2, 3x3): 16 products where the direct sum has 36. float32
// only.
//
// Tiles of 2x2 outputs are cut from whole rows of tiles; a task takes a fixed number of rows of the batch. It
// transforms their inputs into 16 matrices (tiles x channels), multiplies each with the transformed filters
// and transforms the products back, all within the L1 or L2 cache.
//
// Error. With u = 2^-24 and K input channels every output is within (K + 16) u * 9 * sum |x| |w| over its
// taps of the exact sum; measured on normal data it is about twice the direct sum's rounding (see the tests).
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
