// Conv2d: y[n,o,i,j] = b[o] + sum_{c,u,v} w[o,c,u,v] x[n, c, i*stride - padding + u*dilation, j*stride -
// ...].
//
// x (N, C_in, H, W), w (C_out, C_in/groups, KH, KW), y (N, C_out, OH, OW), OH = (H + 2p - d(KH-1) - 1)/s + 1.
// Images and weights are stored channels_last. Saved for backward: x and w. dx is computed only when asked
// for.
#pragma once

#include "autograd/ops.h"
#include "autograd/precision.h"
#include "core/kernels/conv.h"
#include "layers/affine.h"

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

// Sizes of a convolution; throws when the input does not fit.
inline kernels::ConvSize conv2d_size(const Shape& x, const Shape& w, const Conv2dOptions& o) {
  SIGMA_CHECK(x.rank() == 4, "conv2d", "expected input (N, C, H, W), got {}", x.str());
  SIGMA_CHECK(w.rank() == 4, "conv2d", "expected weights (C_out, C_in / groups, KH, KW), got {}", w.str());
  SIGMA_CHECK(o.stride.h > 0 && o.stride.w > 0 && o.dilation.h > 0 && o.dilation.w > 0, "conv2d",
              "expected stride and dilation of at least 1, got {} and {}", o.stride.str(), o.dilation.str());
  SIGMA_CHECK(o.padding.h >= 0 && o.padding.w >= 0, "conv2d", "expected padding of at least 0, got {}",
              o.padding.str());
  SIGMA_CHECK(w[2] > 0 && w[3] > 0, "conv2d", "expected a kernel of at least 1, got weights {}", w.str());
  SIGMA_CHECK(o.groups > 0 && w[0] % o.groups == 0, "conv2d",
              "expected groups that divide {} channels, got {}", w[0], o.groups);
  SIGMA_CHECK(x[1] == w[1] * o.groups, "conv2d", "expected {} channels, got input {}", w[1] * o.groups,
              x.str());
  auto out = [&](int64_t size, int64_t pad, int64_t dilation, int64_t kernel, int64_t stride) {
    int64_t span = checked_mul(dilation, kernel - 1, "conv2d") + 1,
            padded = size + checked_mul(2, pad, "conv2d");
    SIGMA_CHECK(padded >= span, "conv2d", "the kernel spans {} pixels, but the padded input {} has {}", span,
                x.str(), padded);
    return (padded - span) / stride + 1;
  };
  kernels::ConvSize s{};
  s.n = x[0], s.c_in = x[1], s.h = x[2], s.w = x[3];
  s.c_out = w[0], s.kh = w[2], s.kw = w[3];
  s.stride_h = o.stride.h, s.stride_w = o.stride.w, s.pad_h = o.padding.h, s.pad_w = o.padding.w;
  s.dilation_h = o.dilation.h, s.dilation_w = o.dilation.w, s.groups = o.groups;
  s.oh = out(s.h, s.pad_h, s.dilation_h, s.kh, s.stride_h);
  s.ow = out(s.w, s.pad_w, s.dilation_w, s.kw, s.stride_w);
  return s;
}

// What the convolution can do in the same pass: `moments` receives mean and biased variance of y, float64 (2,
// C); `relu` is max(y, 0), where no gradient is recorded.
struct Conv2dFused {
  Tensor* moments = nullptr;
  bool relu = false;
};

inline Variable conv2d(const Variable& given, const Variable& weight, const Variable& bias,
                       const Conv2dOptions& options, Conv2dFused fused = {}) {
  const Variable x = autocast(given);
  kernels::ConvSize s = conv2d_size(x.shape(), weight.shape(), options);
  if (bias.defined())
    SIGMA_CHECK(bias.numel() == s.c_out && bias.dtype() == weight.dtype(), "conv2d",
                "expected a bias of {} {} elements, got {} {}", s.c_out, name_of(weight.dtype()),
                bias.numel(), name_of(bias.dtype()));
  SIGMA_CHECK(compute_dtype(weight.dtype()) == weight.dtype(), "conv2d",
              "expected float32 or float64 weights, got {}", name_of(weight.dtype()));
  SIGMA_CHECK(compute_dtype(x.dtype()) == weight.dtype(), "conv2d", "expected {} input, got {}",
              name_of(weight.dtype()), name_of(x.dtype()));
  Tensor input = x.value().to(Layout::channels_last), w = weight.value().to(Layout::channels_last);
  Tensor y = Tensor::empty({s.n, s.c_out, s.oh, s.ow}, x.dtype(), Layout::channels_last);
  dispatch_stored(x.dtype(), "conv2d", [&](auto zero) {
    using X = decltype(zero);
    using T = Compute<X>;
    kernels::ConvEpilogue epilogue{.relu = fused.relu};
    // One value a channel has no variance: batch_norm refuses it by name.
    if (fused.moments && s.n * s.pixels_out() > 1) {
      *fused.moments = Tensor::empty({2, s.c_out}, DType::float64);
      epilogue.mean = fused.moments->mutable_data<double>();
      epilogue.var = epilogue.mean + s.c_out;
    }
    kernels::conv_forward(s, input.data<X>(), w.data<T>(), bias.defined() ? bias.value().data<T>() : nullptr,
                          y.mutable_data<X>(), epilogue);
  });
  return record(
      "conv2d", y, {x, weight, bias},
      once_differentiable([input = SavedTensor(input), w = SavedTensor(w), s](
                              const std::vector<Tensor>& g, const Node& self) -> std::vector<Tensor> {
        const Tensor &tx = input.get(self), &tw = w.get(self);
        Tensor tg = g[0].to(Layout::channels_last), dx, dw, db;
        dispatch_stored(tg.dtype(), "conv2d", [&](auto zero) {
          using X = decltype(zero);
          using T = Compute<X>;
          if (self.needs(0)) {
            dx = Tensor::empty_like(tx);
            kernels::conv_backward_data(s, tg.data<X>(), tw.data<T>(), dx.mutable_data<X>());
          }
          if (self.needs(1) || self.needs(2)) {
            dw = Tensor::empty_like(tw);
            if (self.needs(2)) db = Tensor::empty({s.c_out}, tw.dtype());
            kernels::conv_backward_weight(s, tg.data<X>(), tx.data<X>(), dw.mutable_data<T>(),
                                          db.defined() ? db.mutable_data<T>() : nullptr);
          }
        });
        return {dx, self.needs(1) ? dw : Tensor(), db};
      }));
}

// Initial values as PyTorch's: weight and bias uniform in +-1/sqrt(fan_in).
class Conv2d : public AffineLayer {
 public:
  Conv2d(int64_t in, int64_t out, Conv2dOptions options = {});
  Variable forward(const Variable& x) override { return conv2d(x, weight, bias, options_); }
  Variable forward(const Variable& x, Conv2dFused fused) { return conv2d(x, weight, bias, options_, fused); }
  std::string kind() const override { return "Conv2d"; }
  std::string describe() const override;
  Role role() const override { return role_of(*this, Role::convolution); }
  ModulePtr make(const AffineForm& form) const override;
  const Conv2dOptions& options() const { return options_; }

 private:
  Conv2dOptions options_;
};

}  // namespace sigma
