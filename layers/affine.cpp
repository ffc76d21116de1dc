#include "layers/affine.h"

#include <cmath>

#include "layers/init.h"

namespace sigma {
namespace {

void check_form(const AffineForm& f, const char* tag) {
  SIGMA_CHECK(f.in > 0 && f.out > 0 && f.kernel.h > 0 && f.kernel.w > 0, tag,
              "expected sizes of at least 1, got {} and {}, kernel {}", f.in, f.out, f.kernel.str());
  SIGMA_CHECK(f.stride.h > 0 && f.stride.w > 0 && f.dilation.h > 0 && f.dilation.w > 0, tag,
              "expected stride and dilation of at least 1, got {} and {}", f.stride.str(), f.dilation.str());
  SIGMA_CHECK(f.padding.h >= 0 && f.padding.w >= 0, tag, "expected padding of at least 0, got {}",
              f.padding.str());
  SIGMA_CHECK(f.groups > 0 && f.in % f.groups == 0 && f.out % f.groups == 0, tag,
              "expected groups that divide {} and {} channels, got {}", f.in, f.out, f.groups);
}

}  // namespace

Shape AffineForm::weight_shape() const {
  if (!convolution) return {out, in / groups};
  return {out, in / groups, kernel.h, kernel.w};
}

AffineLayer::AffineLayer(AffineForm form, const char* tag) : form_(form) {
  check_form(form_, tag);
  const Layout layout = form_.convolution ? Layout::channels_last : Layout::contiguous;
  weight = register_parameter("weight", Tensor::empty(form_.weight_shape(), DType::float32, layout));
  if (form_.bias) bias = register_parameter("bias", Tensor::empty({form_.out}));
  AffineLayer::reset_parameters(0, tag);
}

AffineLayer::AffineLayer(AffineForm form, const char* tag, Variable w, Variable b) : form_(form) {
  check_form(form_, tag);
  SIGMA_CHECK(w.defined() && w.shape() == form_.weight_shape(), tag, "expected weights {}, got {}",
              form_.weight_shape().str(), w.defined() ? w.shape().str() : "an undefined Variable");
  SIGMA_CHECK(!b.defined() || b.shape() == Shape{form_.out}, tag, "expected a bias of {} elements, got {}",
              form_.out, b.shape().str());
  weight = register_parameter("weight", std::move(w));
  if (b.defined()) bias = register_parameter("bias", std::move(b));
  form_.bias = bias.defined();
}

void AffineLayer::reset_parameters(uint64_t seed, const std::string& path) {
  const double bound = 1 / std::sqrt(init::fans_of(weight.shape()).in);
  init::uniform(weight.mutable_value(), -bound, bound, Rng(seed, "init/" + path + ".weight"));
  if (bias.defined()) init::uniform(bias.mutable_value(), -bound, bound, Rng(seed, "init/" + path + ".bias"));
}

int64_t AffineLayer::macs(const Shape&, const Shape& out) const {
  return out.numel() * weight.numel() / form_.out;
}

void AffineLayer::ensure_bias() {
  if (bias.defined()) return;
  bias = register_parameter("bias",
                            Variable(Tensor::zeros({form_.out}, weight.dtype()), weight.requires_grad()));
  form_.bias = true;
}

}  // namespace sigma
