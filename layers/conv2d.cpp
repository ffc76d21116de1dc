#include "layers/conv2d.h"

#include "autograd/precision.h"
#include "layers/conv2d_call.h"

namespace sigma {

kernels::ConvSize conv2d_size(const Shape& x, const Shape& w, const Conv2dOptions& o) {
  const char* tag = "conv2d";
  SIGMA_CHECK(x.rank() == 4, tag, "expected input (N, C, H, W), got {}", x.str());
  SIGMA_CHECK(w.rank() == 4, tag, "expected weights (C_out, C_in / groups, KH, KW), got {}", w.str());
  SIGMA_CHECK(o.stride.h > 0 && o.stride.w > 0 && o.dilation.h > 0 && o.dilation.w > 0, tag,
              "expected stride and dilation of at least 1, got {} and {}", o.stride.str(), o.dilation.str());
  SIGMA_CHECK(o.padding.h >= 0 && o.padding.w >= 0, tag, "expected padding of at least 0, got {}",
              o.padding.str());
  SIGMA_CHECK(w[2] > 0 && w[3] > 0, tag, "expected a kernel of at least 1, got weights {}", w.str());
  SIGMA_CHECK(o.groups > 0 && w[0] % o.groups == 0, tag, "expected groups that divide {} channels, got {}",
              w[0], o.groups);
  SIGMA_CHECK(x[1] == w[1] * o.groups, tag, "expected {} channels, got input {}", w[1] * o.groups, x.str());
  auto out = [&](int64_t size, int64_t pad, int64_t dilation, int64_t kernel, int64_t stride) {
    const int64_t span = checked_mul(dilation, kernel - 1, tag) + 1, padded = size + checked_mul(2, pad, tag);
    SIGMA_CHECK(padded >= span, tag, "the kernel spans {} pixels, but the padded input {} has {}", span,
                x.str(), padded);
    return (padded - span) / stride + 1;
  };
  return {.n = x[0],
          .h = x[2],
          .w = x[3],
          .c_in = x[1],
          .oh = out(x[2], o.padding.h, o.dilation.h, w[2], o.stride.h),
          .ow = out(x[3], o.padding.w, o.dilation.w, w[3], o.stride.w),
          .c_out = w[0],
          .kh = w[2],
          .kw = w[3],
          .stride_h = o.stride.h,
          .stride_w = o.stride.w,
          .pad_h = o.padding.h,
          .pad_w = o.padding.w,
          .dilation_h = o.dilation.h,
          .dilation_w = o.dilation.w,
          .groups = o.groups};
}

Conv2dCall::Conv2dCall(const Variable& x, const Variable& weight, const Variable& bias,
                       const Conv2dOptions& options)
    : x_(autocast(x)), weight_(weight), bias_(bias), size_(conv2d_size(x_.shape(), weight.shape(), options)) {
  const DType dtype = weight.dtype();
  if (bias.defined())
    SIGMA_CHECK(bias.numel() == size_.c_out && bias.dtype() == dtype, "conv2d",
                "expected a bias of {} {} elements, got {} {}", size_.c_out, name_of(dtype), bias.numel(),
                name_of(bias.dtype()));
  SIGMA_CHECK(compute_dtype(dtype) == dtype, "conv2d", "expected float32 or float64 weights, got {}",
              name_of(dtype));
  SIGMA_CHECK(compute_dtype(x_.dtype()) == dtype, "conv2d", "expected {} input, got {}", name_of(dtype),
              name_of(x_.dtype()));
  input_ = x_.value().to(Layout::channels_last);
  kernel_ = weight.value().to(Layout::channels_last);
}

Tensor Conv2dCall::forward(const kernels::ConvEpilogue& epilogue) const {
  Tensor y = Tensor::empty({size_.n, size_.c_out, size_.oh, size_.ow}, x_.dtype(), Layout::channels_last);
  dispatch_stored(x_.dtype(), "conv2d", [&](auto zero) {
    using X = decltype(zero);
    using T = Compute<X>;
    const T* b = bias_.defined() ? bias_.value().data<T>() : nullptr;
    kernels::conv_forward(size_, input_.data<X>(), kernel_.data<T>(), b, y.mutable_data<X>(), epilogue);
  });
  return y;
}

Variable Conv2dCall::record(Tensor y) const {
  auto backward = [input = SavedTensor(input_), w = SavedTensor(kernel_), s = size_](
                      const std::vector<Tensor>& g, const Node& self) -> std::vector<Tensor> {
    const Tensor& tx = input.get(self);
    const Tensor& tw = w.get(self);
    Tensor tg = g[0].to(Layout::channels_last), dx, dw, db;
    dispatch_stored(tg.dtype(), "conv2d", [&](auto zero) {
      using X = decltype(zero);
      using T = Compute<X>;
      if (self.needs(0)) {
        dx = Tensor::empty_like(tx);
        kernels::conv_backward_data(s, tg.data<X>(), tw.data<T>(), dx.mutable_data<X>());
      }
      if (!self.needs(1) && !self.needs(2)) return;
      dw = Tensor::empty_like(tw);
      if (self.needs(2)) db = Tensor::empty({s.c_out}, tw.dtype());
      kernels::conv_backward_weight(s, tg.data<X>(), tx.data<X>(), dw.mutable_data<T>(),
                                    db.defined() ? db.mutable_data<T>() : nullptr);
    });
    return {dx, self.needs(1) ? dw : Tensor(), db};
  };
  return sigma::record("conv2d", std::move(y), inputs(), once_differentiable(backward));
}

Variable conv2d(const Variable& x, const Variable& weight, const Variable& bias,
                const Conv2dOptions& options) {
  const Conv2dCall call(x, weight, bias, options);
  return call.record(call.forward());
}

Conv2dOptions conv2d_options(const AffineForm& f) {
  return {.kernel = f.kernel,
          .stride = f.stride,
          .padding = f.padding,
          .dilation = f.dilation,
          .groups = f.groups,
          .bias = f.bias};
}

Conv2d::Conv2d(int64_t in, int64_t out, Conv2dOptions o)
    : AffineLayer({.in = in,
                   .out = out,
                   .bias = o.bias,
                   .convolution = true,
                   .features = 1,
                   .kernel = o.kernel,
                   .stride = o.stride,
                   .padding = o.padding,
                   .dilation = o.dilation,
                   .groups = o.groups},
                  "conv2d"),
      options_(o) {}

std::string Conv2d::describe() const {
  const Conv2dOptions& o = options_;
  std::string s = fmt::format("Conv2d({}, {}, kernel_size={}, stride={}", form().in, form().out,
                              o.kernel.str(), o.stride.str());
  if (!(o.padding == Pair(0))) s += ", padding=" + o.padding.str();
  if (!(o.dilation == Pair(1))) s += ", dilation=" + o.dilation.str();
  if (o.groups != 1) s += fmt::format(", groups={}", o.groups);
  return s + (bias.defined() ? ")" : ", bias=False)");
}

ModulePtr Conv2d::make(const AffineForm& f) const {
  if (!f.convolution) return nullptr;
  return std::make_shared<Conv2d>(f.in, f.out, conv2d_options(f));
}

std::vector<LayerExample> Conv2d::examples() {
  using O = Conv2dOptions;
  return {example<Conv2d>("3x3, padding 1", {2, 3, 5, 4}, 3, 4, O{.kernel = 3, .padding = 1}),
          example<Conv2d>("3x3, stride 2, no bias", {2, 2, 7, 6}, 2, 3,
                          O{.kernel = 3, .stride = 2, .bias = false}),
          example<Conv2d>("3x2, stride (2,1), padding (2,1), dilation (1,2)", {2, 3, 6, 7}, 3, 2,
                          O{.kernel = {3, 2}, .stride = {2, 1}, .padding = {2, 1}, .dilation = {1, 2}}),
          example<Conv2d>("groups 2", {2, 4, 5, 5}, 4, 6, O{.kernel = 3, .padding = 1, .groups = 2}),
          example<Conv2d>("depthwise", {2, 3, 5, 5}, 3, 3, O{.kernel = 3, .padding = 1, .groups = 3}),
          example<Conv2d>("1x1", {3, 5, 3, 3}, 5, 4, O{.kernel = 1}),
          example<Conv2d>("1x1, stride 2", {2, 3, 5, 5}, 3, 4, O{.kernel = 1, .stride = 2})};
}

std::vector<LayerWord> Conv2d::words() {
  return {{"conv", "conv", "OUT KERNEL=3 stride=1 pad? dilation=1 groups=1 bias=on", [](const LayerText& t) {
             const int64_t in = t.channels(), out = t.whole("out"), groups = t.whole("groups");
             Conv2dOptions o{.kernel = t.pair("kernel"),
                             .stride = t.pair("stride"),
                             .dilation = t.pair("dilation"),
                             .groups = groups,
                             .bias = t.bias()};
             SIGMA_CHECK(in % groups == 0 && out % groups == 0, "conv2d",
                         "expected groups that divide {} and {} channels, got {}", in, out, groups);
             const bool same = t.given("pad") ? t.is_word("pad", "same") : o.kernel == Pair(3);
             if (same) {
               SIGMA_CHECK(o.kernel.h % 2 == 1 && o.kernel.w % 2 == 1, "conv2d",
                           "expected an odd kernel for pad=same, got {}", o.kernel.str());
               o.padding = {o.dilation.h * (o.kernel.h / 2), o.dilation.w * (o.kernel.w / 2)};
             } else if (t.given("pad")) {
               o.padding = t.pair("pad", 0);
             }
             const auto s = conv2d_size(t.in(), {out, in / groups, o.kernel.h, o.kernel.w}, o);
             const double weights = static_cast<double>(out) * static_cast<double>(in / groups) *
                                    static_cast<double>(o.kernel.h) * static_cast<double>(o.kernel.w);
             return planned<Conv2d>({1, out, s.oh, s.ow}, weights + (o.bias ? static_cast<double>(out) : 0),
                                    in, out, o);
           }}};
}

}  // namespace sigma
