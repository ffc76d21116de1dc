// ConvTranspose2d: the transpose of a convolution (conv2d.h) as a layer, PyTorch's; also called
// deconvolution.
//
//   y[n,o,i,j] = b[o] + sum_{c,u,v} w[c,o,u,v] x[n,c,a,b]  over all a, b with  a s - p + u d = i,  b s - p +
//   v d = j
//
//   x (N, C_in, H, W)   w (C_in, C_out / groups, KH, KW)   b (C_out)   y (N, C_out, OH, OW)
//   OH = (H - 1) s - 2 p + d (KH - 1) + q + 1, OW alike; stride s, padding p, dilation d, output padding q
//
// Output padding, which is less than the stride or the dilation, chooses one of the sizes that a convolution
// maps to H. y is the data gradient of that convolution, dx its forward pass and dw its weight gradient with
// x and g in each other's place. Saved for backward: x and w. Can be differentiated once. Fails when the
// channels do not fit or nothing is left of the output.
#pragma once

#include "core/kernels/conv.h"
#include "layers/table.h"

namespace sigma {

struct ConvTranspose2dOptions {
  Pair kernel = 3;
  Pair stride = 1;
  Pair padding = 0;
  Pair output_padding = 0;
  Pair dilation = 1;
  int64_t groups = 1;
  bool bias = true;
};

// `bias` may be undefined. Of the options, kernel and bias are those of the arguments.
Variable conv_transpose2d(const Variable& x, const Variable& weight, const Variable& bias,
                          const ConvTranspose2dOptions& options);

// Initial values as PyTorch's: weight and bias uniform in +-1/sqrt(fan_in), with the fan-in C_out / groups KH
// KW of the convolution that it transposes.
class ConvTranspose2d : public Module {
 public:
  static std::vector<LayerExample> examples();
  static std::vector<LayerWord> words();
  ConvTranspose2d(int64_t in, int64_t out, ConvTranspose2dOptions options = {});
  Variable forward(const Variable& x) override { return conv_transpose2d(x, weight, bias, options_); }
  std::string kind() const override { return "ConvTranspose2d"; }
  std::string describe() const override;
  int64_t macs(const Shape& in, const Shape&) const override { return in.numel() * weight.numel() / in_; }
  void reset_parameters(uint64_t seed, const std::string& path) override;

  Variable weight, bias;  // bias is undefined without one

 private:
  int64_t in_, out_;
  ConvTranspose2dOptions options_;
};
SIGMA_LAYER(ConvTranspose2d);

}  // namespace sigma
