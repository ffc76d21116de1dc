#include "layers/upsample.h"

#include "core/kernels/upsample.h"

namespace sigma {
namespace {

kernels::UpsampleSize upsample_size(const Shape& x, Pair scale, UpsampleMode mode) {
  SIGMA_CHECK(x.rank() == 4, "upsample", "expected input (N, C, H, W), got {}", x.str());
  SIGMA_CHECK(scale.h >= 1 && scale.w >= 1, "upsample", "expected a scale of at least 1, got {}",
              scale.str());
  return {x[0], x[2], x[3], x[1], scale.h, scale.w, mode == UpsampleMode::bilinear};
}

Shape enlarged(const Shape& x, Pair scale) {
  return {x[0], x[1], checked_mul(x[2], scale.h, "upsample"), checked_mul(x[3], scale.w, "upsample")};
}

}  // namespace

Variable upsample(const Variable& x, Pair scale, UpsampleMode mode) {
  const auto s = upsample_size(x.shape(), scale, mode);
  const Tensor input = x.value().to(Layout::channels_last);
  Tensor y = Tensor::empty(enlarged(x.shape(), scale), x.dtype(), Layout::channels_last);
  dispatch_stored(x.dtype(), "upsample", [&](auto zero) {
    using X = decltype(zero);
    kernels::upsample_forward(s, input.data<X>(), y.mutable_data<X>());
  });
  auto backward = [s](const std::vector<Tensor>& grads, const Node& self) -> std::vector<Tensor> {
    const Tensor g = grads[0].to(Layout::channels_last);
    Tensor dx = Tensor::empty({s.n, s.c, s.h, s.w}, g.dtype(), Layout::channels_last);
    dispatch_stored(g.dtype(), self.name, [&](auto zero) {
      using X = decltype(zero);
      kernels::upsample_backward(s, g.data<X>(), dx.mutable_data<X>());
    });
    return {dx};
  };
  return record("upsample", y, {x}, once_differentiable(backward));
}

Upsample::Upsample(UpsampleOptions options) : options_(options) {
  SIGMA_CHECK(options.scale.h >= 1 && options.scale.w >= 1, "upsample",
              "expected a scale of at least 1, got {}", options.scale.str());
}

std::string Upsample::describe() const {
  return fmt::format("Upsample(scale_factor={}, mode='{}')", options_.scale.str(),
                     options_.mode == UpsampleMode::bilinear ? "bilinear" : "nearest");
}

std::vector<LayerExample> Upsample::examples() {
  using O = UpsampleOptions;
  return {example<Upsample>("nearest, 2", {2, 3, 3, 4}),
          example<Upsample>("nearest, (3, 1)", {2, 2, 2, 3}, O{.scale = {3, 1}}),
          example<Upsample>("bilinear, 2", {2, 3, 3, 4}, O{.mode = UpsampleMode::bilinear}),
          example<Upsample>("bilinear, (2, 3)", {1, 2, 4, 1},
                            O{.scale = {2, 3}, .mode = UpsampleMode::bilinear})};
}

std::vector<LayerWord> Upsample::words() {
  return {{"upsample", "upsample", "SCALE=2 mode=nearest", [](const LayerText& t) {
             const UpsampleOptions o{t.pair("scale"), t.choice("mode", {"nearest", "bilinear"}) == 1
                                                          ? UpsampleMode::bilinear
                                                          : UpsampleMode::nearest};
             upsample_size(t.in(), o.scale, o.mode);
             return planned<Upsample>(enlarged(t.in(), o.scale), 0, o);
           }}};
}

}  // namespace sigma
