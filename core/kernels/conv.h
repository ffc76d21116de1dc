// Convolution kernels on channels_last images. Sizes: n images, h x w pixels, c_in and c_out channels, kh x
// kw taps. Weights are the channels_last form of PyTorch's (c_out, c_in / groups, kh, kw):
//
//   [c_out][kh][kw][c_in / groups]
//
// 3x3 convolutions of stride 1 in float32 go by Winograd's algorithm (conv_winograd.h), all others by packed
// register-blocked sums (conv_direct.h).
#pragma once

#include <cstdint>

#include "core/bfloat16.h"

namespace sigma::kernels {

struct ConvSize {
  int64_t n, h, w, c_in;
  int64_t oh, ow, c_out;
  int64_t kh, kw;
  int64_t stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
  int64_t groups;

  int64_t taps() const { return kh * kw * (c_in / groups); }  // length of one output's dot product
  int64_t pixels_in() const { return h * w; }
  int64_t pixels_out() const { return oh * ow; }
};

// What the forward pass does with each block of outputs while it is still in the cache.
struct ConvEpilogue {
  bool relu = false;       // y = max(y, 0)
  double* mean = nullptr;  // [c_out] mean and biased variance of y over images and pixels
  double* var = nullptr;
};

// Images are float, double or bfloat16; weights, biases, their gradients and all sums have the type that is
// computed with, which for bfloat16 images is float.
//
// y = conv(x, weight) + bias; bias may be null.
template <class X>
void conv_forward(const ConvSize& s, const X* x /*[n][h][w][c_in]*/, const Compute<X>* weight,
                  const Compute<X>* bias, X* y /*[n][oh][ow][c_out]*/, const ConvEpilogue& epilogue = {});
// dx = the transposed convolution of dy.
template <class X>
void conv_backward_data(const ConvSize& s, const X* dy, const Compute<X>* weight, X* dx);
// dweight and dbias (may be null). Images are cut into a fixed number of groups whose sums merge in order.
template <class X>
void conv_backward_weight(const ConvSize& s, const X* dy, const X* x, Compute<X>* dweight, Compute<X>* dbias);

}  // namespace sigma::kernels
