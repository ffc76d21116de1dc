// Conv2d (cross-correlation, as everywhere in the field).
//
//   y[n,o,i,j] = b[o] + sum_{c,u,v} w[o,c,u,v] x[n, c, i s - p + u d, j s - p + v d]
//
//   x (N, C_in, H, W)   w (C_out, C_in / groups, KH, KW)   b (C_out)   y (N, C_out, OH, OW)
//   OH = floor((H + 2p - d (KH - 1) - 1) / s) + 1, OW alike; stride s, padding p, dilation d
//
// Images and weights are stored channels_last. Saved for backward: x and w. dx is computed only when asked
// for. Fails when the channels do not fit or the kernel is larger than the padded image.
#pragma once

#include "core/kernels/conv.h"
#include "layers/affine.h"
#include "layers/table.h"

namespace sigma {

struct Conv2dOptions {
  Pair kernel = 3;
  Pair stride = 1;
  Pair padding = 0;
  Pair dilation = 1;
  int64_t groups = 1;
  bool bias = true;
};
Conv2dOptions conv2d_options(const AffineForm& form);

// `bias` may be undefined. Of the options, kernel and bias are those of the arguments.
Variable conv2d(const Variable& x, const Variable& weight, const Variable& bias,
                const Conv2dOptions& options);

// Sizes of a convolution; throws when the input does not fit.
kernels::ConvSize conv2d_size(const Shape& x, const Shape& weight, const Conv2dOptions& options);

// Initial values as PyTorch's: weight and bias uniform in +-1/sqrt(fan_in).
class Conv2d : public AffineLayer {
 public:
  static std::vector<LayerExample> examples();
  static std::vector<LayerWord> words();
  Conv2d(int64_t in, int64_t out, Conv2dOptions options = {});
  Variable forward(const Variable& x) override { return conv2d(x, weight, bias, options_); }
  std::string kind() const override { return "Conv2d"; }
  std::string describe() const override;
  Role role() const override { return role_of(*this, Role::convolution); }
  ModulePtr make(const AffineForm& form) const override;
  const Conv2dOptions& options() const { return options_; }

 private:
  Conv2dOptions options_;
};
SIGMA_LAYER(Conv2d);

}  // namespace sigma
