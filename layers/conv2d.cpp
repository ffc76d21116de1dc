#include "layers/conv2d.h"

namespace sigma {

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

}  // namespace sigma
