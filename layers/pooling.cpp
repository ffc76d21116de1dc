#include "layers/pooling.h"

#include "autograd/node.h"
#include "core/kernels/pool.h"

namespace sigma {
namespace {

void check_images(const char* tag, const Shape& x) {
  SIGMA_CHECK(x.rank() == 4, tag, "expected input (N, C, H, W), got {}", x.str());
}

kernels::PoolSize pool_size(const char* tag, const Shape& x, Pair kernel, Pair stride, Pair padding) {
  check_images(tag, x);
  if (stride.h == 0) stride.h = kernel.h;
  if (stride.w == 0) stride.w = kernel.w;
  SIGMA_CHECK(kernel.h > 0 && kernel.w > 0 && stride.h > 0 && stride.w > 0, tag,
              "expected kernel and stride of at least 1");
  SIGMA_CHECK(padding.h >= 0 && padding.w >= 0 && 2 * padding.h <= kernel.h && 2 * padding.w <= kernel.w, tag,
              "expected padding of 0 to half the kernel {}, got {}", kernel.str(), padding.str());
  SIGMA_CHECK(x[2] + 2 * padding.h >= kernel.h && x[3] + 2 * padding.w >= kernel.w, tag,
              "a window of {} does not fit input {}", kernel.str(), x.str());
  return {x[0],
          x[2],
          x[3],
          x[1],
          (x[2] + 2 * padding.h - kernel.h) / stride.h + 1,
          (x[3] + 2 * padding.w - kernel.w) / stride.w + 1,
          kernel.h,
          kernel.w,
          stride.h,
          stride.w,
          padding.h,
          padding.w};
}

// The two mean poolings differ in their kernels alone.
template <class Forward, class Backward>
Variable mean_pool(const char* name, const Variable& x, const kernels::PoolSize& s, Forward forward,
                   Backward backward) {
  Tensor input = x.value().to(Layout::channels_last);
  Tensor y = Tensor::empty({s.n, s.c, s.oh, s.ow}, x.dtype(), Layout::channels_last);
  dispatch_stored(x.dtype(), name, [&](auto zero) {
    using T = decltype(zero);
    forward(s, input.data<T>(), y.mutable_data<T>());
  });
  return record(name, y, {x},
                once_differentiable(
                    [s, backward](const std::vector<Tensor>& grads, const Node& self) -> std::vector<Tensor> {
                      Tensor g = grads[0].to(Layout::channels_last);
                      Tensor dx = Tensor::empty({s.n, s.c, s.h, s.w}, g.dtype(), Layout::channels_last);
                      dispatch_stored(g.dtype(), self.name, [&](auto zero) {
                        using T = decltype(zero);
                        backward(s, g.data<T>(), dx.mutable_data<T>());
                      });
                      return {dx};
                    }));
}

std::string describe_pool(const std::string& kind, Pair kernel, Pair stride, Pair padding) {
  return fmt::format("{}(kernel_size={}, stride={}, padding={})", kind, kernel.str(),
                     (stride.h ? stride : kernel).str(), padding.str());
}

}  // namespace

Variable max_pool2d(const Variable& x, const PoolOptions& o) {
  kernels::PoolSize s = pool_size("max_pool2d", x.shape(), o.kernel, o.stride, o.padding);
  Tensor input = x.value().to(Layout::channels_last);
  Tensor y = Tensor::empty({s.n, s.c, s.oh, s.ow}, x.dtype(), Layout::channels_last);
  SIGMA_CHECK(s.h * s.w <= INT32_MAX, "max_pool2d", "images of {} x {} pixels are too large", s.h, s.w);
  // Positions as raw bytes: there is no int32 dtype.
  Tensor index = Tensor::empty({y.numel() * 4}, DType::uint8);
  dispatch_stored(x.dtype(), "max_pool2d", [&](auto zero) {
    using T = decltype(zero);
    kernels::max_pool_forward(s, input.data<T>(), y.mutable_data<T>(),
                              reinterpret_cast<int32_t*>(index.mutable_raw()));
  });
  return record("max_pool2d", y, {x},
                once_differentiable([s, index = SavedTensor(index)](const std::vector<Tensor>& grads,
                                                                    const Node& self) -> std::vector<Tensor> {
                  Tensor g = grads[0].to(Layout::channels_last);
                  Tensor dx = Tensor::empty({s.n, s.c, s.h, s.w}, g.dtype(), Layout::channels_last);
                  dispatch_stored(g.dtype(), "max_pool2d", [&](auto zero) {
                    using T = decltype(zero);
                    kernels::max_pool_backward(s, g.data<T>(),
                                               reinterpret_cast<const int32_t*>(index.get(self).raw()),
                                               dx.mutable_data<T>());
                  });
                  return {dx};
                }));
}

Variable avg_pool2d(const Variable& x, const AvgPoolOptions& o) {
  kernels::PoolSize s = pool_size("avg_pool2d", x.shape(), o.kernel, o.stride, o.padding);
  bool count = o.count_include_pad;
  return mean_pool(
      "avg_pool2d", x, s,
      [count](auto& size, auto* in, auto* out) { kernels::avg_pool_forward(size, count, in, out); },
      [count](auto& size, auto* g, auto* dx) { kernels::avg_pool_backward(size, count, g, dx); });
}

Variable adaptive_avg_pool2d(const Variable& x, Pair output) {
  check_images("adaptive_avg_pool2d", x.shape());
  SIGMA_CHECK(output.h > 0 && output.w > 0 && x.dim(2) > 0 && x.dim(3) > 0, "adaptive_avg_pool2d",
              "expected sizes of at least 1, got output {} and input {}", output.str(), x.shape().str());
  kernels::PoolSize s{x.dim(0), x.dim(2), x.dim(3), x.dim(1), output.h, output.w, 0, 0, 0, 0, 0, 0};
  return mean_pool(
      "adaptive_avg_pool2d", x, s,
      [](auto& size, auto* in, auto* out) { kernels::adaptive_avg_pool_forward(size, in, out); },
      [](auto& size, auto* g, auto* dx) { kernels::adaptive_avg_pool_backward(size, g, dx); });
}

std::string MaxPool2d::describe() const {
  return describe_pool(kind(), options_.kernel, options_.stride, options_.padding);
}
std::string AvgPool2d::describe() const {
  return describe_pool(kind(), options_.kernel, options_.stride, options_.padding);
}

std::vector<LayerExample> MaxPool2d::examples() {
  return {example<MaxPool2d>("2x2", {2, 3, 6, 5}),
          example<MaxPool2d>("3x3, stride 2, padding 1", {2, 2, 6, 7},
                             PoolOptions{.kernel = 3, .stride = 2, .padding = 1})};
}

std::vector<LayerWord> MaxPool2d::words() {
  return {{"maxpool", "pool", "KERNEL=2 stride? pad=0", [](const LayerText& t) {
             PoolOptions o{.kernel = t.pair("kernel"), .padding = t.pair("pad", 0)};
             if (t.given("stride")) o.stride = t.pair("stride");
             const auto s = pool_size("max_pool2d", t.in(), o.kernel, o.stride, o.padding);
             return planned<MaxPool2d>({1, s.c, s.oh, s.ow}, 0, o);
           }}};
}

std::vector<LayerExample> AvgPool2d::examples() {
  return {
      example<AvgPool2d>("2x2", {2, 3, 6, 5}),
      example<AvgPool2d>("3x3, stride 2, padding 1, not counted", {2, 2, 6, 7},
                         AvgPoolOptions{.kernel = 3, .stride = 2, .padding = 1, .count_include_pad = false})};
}

std::vector<LayerWord> AvgPool2d::words() {
  return {{"avgpool", "pool", "KERNEL=2 stride? pad=0", [](const LayerText& t) {
             AvgPoolOptions o{.kernel = t.pair("kernel"), .padding = t.pair("pad", 0)};
             if (t.given("stride")) o.stride = t.pair("stride");
             const auto s = pool_size("avg_pool2d", t.in(), o.kernel, o.stride, o.padding);
             return planned<AvgPool2d>({1, s.c, s.oh, s.ow}, 0, o);
           }}};
}

std::vector<LayerExample> AdaptiveAvgPool2d::examples() {
  return {example<AdaptiveAvgPool2d>("(3, 2)", {2, 3, 7, 5}, Pair(3, 2))};
}

std::vector<LayerWord> AdaptiveAvgPool2d::words() {
  return {{"adaptiveavgpool", "pool", "SIZE", [](const LayerText& t) {
             const Pair size = t.pair("size");
             check_images("adaptive_avg_pool2d", t.in());
             return planned<AdaptiveAvgPool2d>({1, t.channels(), size.h, size.w}, 0, size);
           }}};
}

std::vector<LayerExample> GlobalAvgPool2d::examples() { return {example<GlobalAvgPool2d>("", {2, 3, 4, 5})}; }

std::vector<LayerWord> GlobalAvgPool2d::words() {
  return {{"globalavgpool", "avgpool", "", [](const LayerText& t) {
             check_images("adaptive_avg_pool2d", t.in());
             return planned<GlobalAvgPool2d>({1, t.channels(), 1, 1}, 0);
           }}};
}

}  // namespace sigma
