// Convolution of any size as register-blocked sums: the inputs of 8 output pixels at a time are gathered into
// a panel and multiplied with packed weights; nothing of the size of an unfolded image is stored.
//
// The backward pass to the data gathers as well: dx at row iy receives dy at
//
//   (iy + pad - ky * dilation) / stride
//
// for those ky where that is whole, which are the same for all rows with the same remainder. So each of the
// stride_h * stride_w remainders ("phases") is a convolution of stride 1 over dy, with its part of the taps.
#pragma once

#include <vector>

#include "core/kernels/conv.h"

namespace sigma::kernels {

template <class X>
void direct_forward(const ConvSize& s, const X* x, const Compute<X>* weight, const Compute<X>* bias, X* y,
                    const ConvEpilogue& epilogue);
template <class X>
void direct_backward_data(const ConvSize& s, const X* dy, const Compute<X>* weight, X* dx);
template <class X>
void direct_backward_weight(const ConvSize& s, const X* dy, const X* x, Compute<X>* dweight);

// A convolution as a gather: output (t, u) of group g is the sum, over runs of `length` source values that
// start `offsets` elements after pixel (t * step_y, u * step_x), of source times weight.
struct Gather {
  int64_t n = 0, h = 0, w = 0, c = 0;   // source images
  int64_t top = 0, left = 0;            // zero rows and columns to be put before the source,
  int64_t padded_h = 0, padded_w = 0;   // and its size with those behind; no padding: h x w
  int64_t rows = 0, columns = 0;        // outputs of an image
  int64_t step_y = 1, step_x = 1;       // in padded source pixels
  int64_t first_row = 0, last_row = 0;  // source rows, relative to t * step_y, that the runs touch
  int64_t length = 0;                   // of a run
  std::vector<int64_t> offsets;         // of the runs, in elements
  int64_t groups = 1, group_in = 0;     // channel distance of the groups in the source
  // Where output (t, u) is stored: pixel (t * out_step_y + out_y, ...) of images out_h x out_w x out_c.
  int64_t out_h = 0, out_w = 0, out_c = 0, out_y = 0, out_x = 0, out_step_y = 1, out_step_x = 1;
  int64_t group_out = 0;  // output channels of a group

  int64_t depth() const { return length * static_cast<int64_t>(offsets.size()); }
  bool padded() const { return padded_h != h || padded_w != w; }
};

Gather forward_gather(const ConvSize& s);
// Output pixels whose row and column have remainders (phase_y, phase_x). `taps` receives the kernel positions
// ky * kw + kx of the runs.
Gather backward_gather(const ConvSize& s, int64_t phase_y, int64_t phase_x, std::vector<int64_t>& taps);

}  // namespace sigma::kernels
