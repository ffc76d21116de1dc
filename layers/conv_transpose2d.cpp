#include "layers/conv_transpose2d.h"

#include <cmath>

#include "autograd/precision.h"
#include "core/kernels/elementwise.h"
#include "core/kernels/reduce.h"
#include "layers/init.h"

namespace sigma {
namespace {

// The convolution that is transposed: it maps y's sizes to x's.
kernels::ConvSize transposed_size(const Shape& x, const Shape& w, const ConvTranspose2dOptions& o) {
  const char* tag = "conv_transpose2d";
  SIGMA_CHECK(x.rank() == 4, tag, "expected input (N, C, H, W), got {}", x.str());
  SIGMA_CHECK(w.rank() == 4 && w[2] > 0 && w[3] > 0, tag,
              "expected weights (C_in, C_out / groups, KH, KW), got {}", w.str());
  SIGMA_CHECK(o.stride.h > 0 && o.stride.w > 0 && o.dilation.h > 0 && o.dilation.w > 0, tag,
              "expected stride and dilation of at least 1, got {} and {}", o.stride.str(), o.dilation.str());
  SIGMA_CHECK(o.padding.h >= 0 && o.padding.w >= 0, tag, "expected padding of at least 0, got {}",
              o.padding.str());
  const Pair& q = o.output_padding;
  SIGMA_CHECK(q.h >= 0 && q.w >= 0 && (q.h < o.stride.h || q.h < o.dilation.h) &&
                  (q.w < o.stride.w || q.w < o.dilation.w),
              tag, "expected output padding less than the stride or the dilation, got {}", q.str());
  SIGMA_CHECK(o.groups > 0 && w[0] % o.groups == 0, tag, "expected groups that divide {} channels, got {}",
              w[0], o.groups);
  SIGMA_CHECK(x[1] == w[0], tag, "expected {} channels, got input {}", w[0], x.str());
  auto out = [&](int64_t size, int64_t pad, int64_t extra, int64_t dilation, int64_t kernel, int64_t stride) {
    const int64_t n = checked_mul(size - 1, stride, tag) - checked_mul(2, pad, tag) +
                      checked_mul(dilation, kernel - 1, tag) + extra + 1;
    SIGMA_CHECK(size > 0 && n > 0, tag, "nothing is left of the output for input {} and padding {}", x.str(),
                o.padding.str());
    return n;
  };
  return {.n = x[0],
          .h = out(x[2], o.padding.h, q.h, o.dilation.h, w[2], o.stride.h),
          .w = out(x[3], o.padding.w, q.w, o.dilation.w, w[3], o.stride.w),
          .c_in = checked_mul(w[1], o.groups, tag),
          .oh = x[2],
          .ow = x[3],
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

void check_types(const Variable& x, const Variable& weight, const Variable& bias, int64_t out) {
  const char* tag = "conv_transpose2d";
  const DType dtype = weight.dtype();
  SIGMA_CHECK(compute_dtype(dtype) == dtype, tag, "expected float32 or float64 weights, got {}",
              name_of(dtype));
  SIGMA_CHECK(compute_dtype(x.dtype()) == dtype, tag, "expected {} input, got {}", name_of(dtype),
              name_of(x.dtype()));
  if (bias.defined())
    SIGMA_CHECK(bias.numel() == out && bias.dtype() == dtype, tag,
                "expected a bias of {} {} elements, got {} {}", out, name_of(dtype), bias.numel(),
                name_of(bias.dtype()));
}

Tensor transposed(const kernels::ConvSize& s, const Tensor& x, const Tensor& weight, const Variable& bias) {
  Tensor y = Tensor::empty({s.n, s.c_in, s.h, s.w}, x.dtype(), Layout::channels_last);
  dispatch_stored(x.dtype(), "conv_transpose2d", [&](auto zero) {
    using X = decltype(zero);
    kernels::conv_backward_data(s, x.data<X>(), weight.data<Compute<X>>(), y.mutable_data<X>());
  });
  if (!bias.defined()) return y;
  const Tensor sums = y.to(weight.dtype());
  Tensor shifted = Tensor::empty_like(y);
  dispatch_stored(x.dtype(), "conv_transpose2d", [&](auto zero) {
    using X = decltype(zero);
    kernels::add_rows(s.n * s.pixels_in(), s.c_in, sums.data<Compute<X>>(), bias.value().data<Compute<X>>(),
                      false, shifted.mutable_data<X>());
  });
  return shifted;
}

}  // namespace

Variable conv_transpose2d(const Variable& given, const Variable& weight, const Variable& bias,
                          const ConvTranspose2dOptions& options) {
  const Variable x = autocast(given);
  const kernels::ConvSize s = transposed_size(x.shape(), weight.shape(), options);
  check_types(x, weight, bias, s.c_in);
  const Tensor input = x.value().to(Layout::channels_last), kernel = weight.value().to(Layout::channels_last);
  auto backward = [input = SavedTensor(input), w = SavedTensor(kernel), s](
                      const std::vector<Tensor>& grads, const Node& self) -> std::vector<Tensor> {
    const Tensor& tx = input.get(self);
    const Tensor& tw = w.get(self);
    const Tensor g = grads[0].to(Layout::channels_last);
    Tensor dx, dw, db;
    dispatch_stored(g.dtype(), self.name, [&](auto zero) {
      using X = decltype(zero);
      using T = Compute<X>;
      if (self.needs(0)) {
        dx = Tensor::empty_like(tx);
        kernels::conv_forward(s, g.data<X>(), tw.data<T>(), static_cast<const T*>(nullptr),
                              dx.mutable_data<X>());
      }
      if (self.needs(1)) {
        dw = Tensor::empty_like(tw);
        kernels::conv_backward_weight(s, tx.data<X>(), g.data<X>(), dw.mutable_data<T>(),
                                      static_cast<T*>(nullptr));
      }
      if (self.needs(2)) {
        db = Tensor::empty({s.c_in}, tw.dtype());
        kernels::column_sums(g.data<X>(), s.n * s.pixels_in(), s.c_in, db.mutable_data<T>());
      }
    });
    return {dx, dw, db};
  };
  return record("conv_transpose2d", transposed(s, input, kernel, bias), {x, weight, bias},
                once_differentiable(backward));
}

ConvTranspose2d::ConvTranspose2d(int64_t in, int64_t out, ConvTranspose2dOptions o)
    : in_(in), out_(out), options_(o) {
  SIGMA_CHECK(in > 0 && out > 0 && o.kernel.h > 0 && o.kernel.w > 0, "conv_transpose2d",
              "expected sizes of at least 1, got {} and {}, kernel {}", in, out, o.kernel.str());
  SIGMA_CHECK(o.groups > 0 && in % o.groups == 0 && out % o.groups == 0, "conv_transpose2d",
              "expected groups that divide {} and {} channels, got {}", in, out, o.groups);
  weight = register_parameter("weight", Tensor::empty({in, out / o.groups, o.kernel.h, o.kernel.w},
                                                      DType::float32, Layout::channels_last));
  if (o.bias) bias = register_parameter("bias", Tensor::empty({out}));
  ConvTranspose2d::reset_parameters(0, "conv_transpose2d");
}

void ConvTranspose2d::reset_parameters(uint64_t seed, const std::string& path) {
  const double bound = 1 / std::sqrt(init::fans_of(weight.shape()).in);
  init::uniform(weight.mutable_value(), -bound, bound, Rng(seed, "init/" + path + ".weight"));
  if (bias.defined()) init::uniform(bias.mutable_value(), -bound, bound, Rng(seed, "init/" + path + ".bias"));
}

std::string ConvTranspose2d::describe() const {
  const ConvTranspose2dOptions& o = options_;
  std::string s = fmt::format("ConvTranspose2d({}, {}, kernel_size={}, stride={}", in_, out_, o.kernel.str(),
                              o.stride.str());
  if (!(o.padding == Pair(0))) s += ", padding=" + o.padding.str();
  if (!(o.output_padding == Pair(0))) s += ", output_padding=" + o.output_padding.str();
  if (!(o.dilation == Pair(1))) s += ", dilation=" + o.dilation.str();
  if (o.groups != 1) s += fmt::format(", groups={}", o.groups);
  return s + (bias.defined() ? ")" : ", bias=False)");
}

std::vector<LayerExample> ConvTranspose2d::examples() {
  using O = ConvTranspose2dOptions;
  return {
      example<ConvTranspose2d>("2x2, stride 2", {2, 3, 3, 4}, 3, 4, O{.kernel = 2, .stride = 2}),
      example<ConvTranspose2d>("3x3, padding 1, no bias", {2, 2, 4, 3}, 2, 3, O{.padding = 1, .bias = false}),
      example<ConvTranspose2d>("3x3, stride 2, output padding 1", {2, 2, 3, 3}, 2, 2,
                               O{.stride = 2, .padding = 1, .output_padding = 1}),
      example<ConvTranspose2d>("groups 2, stride (1,2), dilation (2,1)", {1, 4, 3, 2}, 4, 6,
                               O{.kernel = {2, 3}, .stride = {1, 2}, .dilation = {2, 1}, .groups = 2})};
}

std::vector<LayerWord> ConvTranspose2d::words() {
  return {{"convtranspose", "up", "OUT KERNEL=2 stride=2 pad=0 outpad=0 dilation=1 groups=1 bias=on",
           [](const LayerText& t) {
             const int64_t in = t.channels(), out = t.whole("out"), groups = t.whole("groups");
             const ConvTranspose2dOptions o{.kernel = t.pair("kernel"),
                                            .stride = t.pair("stride"),
                                            .padding = t.pair("pad", 0),
                                            .output_padding = t.pair("outpad", 0),
                                            .dilation = t.pair("dilation"),
                                            .groups = groups,
                                            .bias = t.bias()};
             SIGMA_CHECK(in % groups == 0 && out % groups == 0, "conv_transpose2d",
                         "expected groups that divide {} and {} channels, got {}", in, out, groups);
             const auto s = transposed_size(t.in(), {in, out / groups, o.kernel.h, o.kernel.w}, o);
             const double weights = static_cast<double>(in) * static_cast<double>(out / groups) *
                                    static_cast<double>(o.kernel.h) * static_cast<double>(o.kernel.w);
             return planned<ConvTranspose2d>({1, out, s.h, s.w},
                                             weights + (o.bias ? static_cast<double>(out) : 0), in, out, o);
           }}};
}

}  // namespace sigma
