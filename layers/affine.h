// AffineLayer: a layer that is an affine map of its input, y = W x + b, with W its parameter "weight". Linear
// and Conv2d are, and so may be layers of your own: what is derived from this is initialised, compressed
// (passes/factor.h), folded into (passes/fold.h) and measured (passes/spectrum.h) by what it answers here.
#pragma once

#include "layers/module.h"

namespace sigma {

// How W acts.
//
//   matrix       W (out, in / groups) on the features of x, its dimension `features`
//   convolution  W (out, in / groups, KH, KW) on images (N, in, H, W)
//
// With groups, the g-th part of the outputs sees the g-th part of the inputs alone.
struct AffineForm {
  int64_t in = 0, out = 0;
  bool bias = true;
  bool convolution = false;
  int features = -1;  // of a matrix: the dimension of x and y; that of a convolution is 1
  Pair kernel = 1, stride = 1, padding = 0, dilation = 1;
  int64_t groups = 1;

  Shape weight_shape() const;
};

class AffineLayer : public Module {
 public:
  // Weight and bias uniform in +-1/sqrt(fan_in), as PyTorch's.
  void reset_parameters(uint64_t seed, const std::string& path) override;
  int64_t macs(const Shape& in, const Shape& out) const override;
  AffineLayer* affine() override { return this; }

  const AffineForm& form() const { return form_; }
  // Another layer of this kind in another form, such as a thinner one; null when there is no such layer.
  virtual ModulePtr make(const AffineForm& form) const = 0;
  // Gives the layer a bias of zeros when it has none, for folding a normalization into it.
  void ensure_bias();

  Variable weight, bias;  // bias is undefined without one

 protected:
  // `tag` is what errors begin with.
  AffineLayer(AffineForm form, const char* tag);
  // On parameters that another module may have too; `bias` may be undefined.
  AffineLayer(AffineForm form, const char* tag, Variable weight, Variable bias);

 private:
  AffineForm form_;
};

}  // namespace sigma
