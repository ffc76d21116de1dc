// Layer normalization: PyTorch's numbers, and its kinship with group normalization.
#include <cmath>

#include "core/math.h"
#include "layers/group_norm.h"
#include "layers/layer_norm.h"
#include "tests/support/golden.h"
#include "tests/support/support.h"

using namespace sigma;
using namespace sigma::test;
using sigma::test::Contains;

namespace {

Shape normalized_of(const GoldenCase& c) {
  return Shape(c.options.at("normalized").get<std::vector<int64_t>>());
}

// As batch norm's bounds (golden_test.cpp), for each row.
Bounds layer_norm_bounds(const GoldenCase& c, const Maker&, double u) {
  const std::vector<double> v = c["x"].to_vector(), g = c["g"].to_vector();
  const auto width = static_cast<size_t>(normalized_of(c).numel());
  const double eps = c.options.at("eps"), count = static_cast<double>(width);
  const bool affine = c.flag("affine");
  const std::vector<double> weight = affine ? c["p.weight"].to_vector() : std::vector<double>(width, 1),
                            bias = affine ? c["p.bias"].to_vector() : std::vector<double>(width, 0);
  Bounds bounds{{"y", v}, {"dx", v}};
  std::vector<double> dweight(width), dbias(width);
  for (size_t row = 0; row < v.size(); row += width) {
    double mean = 0, var = 0, top = 0, h = 0;
    for (size_t k = 0; k < width; ++k) mean += v[row + k] / count;
    for (size_t k = 0; k < width; ++k) {
      var += (v[row + k] - mean) * (v[row + k] - mean) / count;
      top = std::max(top, std::abs(v[row + k]));
      h = std::max(h, std::abs(g[row + k] * weight[k]));
    }
    const double s = 1 / std::sqrt(var + eps), xhat = (top + std::abs(mean)) * s;
    const double off = 8 * u * (1 + xhat) * (2 + xhat * xhat);
    const double terms = 4 * gamma(count + static_cast<double>(v.size()) / count, u);
    for (size_t k = 0; k < width; ++k) {
      bounds["y"][row + k] = std::abs(weight[k]) * off + 8 * u * std::abs(bias[k]);
      bounds["dx"][row + k] = s * h * (1 + xhat) * off;
      dweight[k] += std::abs(g[row + k]) * (off + terms * xhat);
      dbias[k] += terms * std::abs(g[row + k]);
    }
  }
  if (affine) {
    bounds["dp.weight"] = dweight;
    bounds["dp.bias"] = dbias;
  }
  return bounds;
}

}  // namespace

TEST_CASE("LayerNorm agrees with PyTorch", "[golden][layer_norm]") {
  auto make = [](const GoldenCase& c) {
    return std::make_shared<LayerNorm>(
        normalized_of(c), LayerNormOptions{.eps = c.options.at("eps"), .affine = c.flag("affine")});
  };
  check_layer("layer_norm", make, layer_norm_bounds);
}

TEST_CASE("layer norm of whole samples is group norm with one group", "[layer_norm]") {
  for (DType dtype : {DType::float32, DType::float64}) {
    Variable x(randn({3, 4, 5, 2}, 1, dtype));
    CHECK(max_abs_difference(layer_norm(x, {4, 5, 2}).value().to(DType::float64),
                             group_norm(x, 1).value().to(DType::float64)) < 8 * unit_roundoff(dtype) * 4);
  }
}

TEST_CASE("layer norm refuses what does not fit and says why", "[layer_norm]") {
  Variable x(randn({2, 3, 4}, 1, DType::float32));
  auto refuses = [](const std::string& message, const std::function<void()>& fn) {
    CHECK_THAT(error_of(fn), Contains(message));
  };
  refuses("[layer_norm] expected input (..., 5), got (2, 3, 4)", [&] { layer_norm(x, {5}); });
  refuses("expected input (..., 2, 4), got (2, 3, 4)", [&] { LayerNorm(Shape{2, 4}).forward(x); });
  refuses("expected weight and bias (4), got (3)", [&] { layer_norm(x, {4}, Variable(Tensor::ones({3}))); });
  refuses("expected at least one value to normalize over, got ()", [&] { LayerNorm(Shape{}); });
  CHECK(layer_norm(Variable(Tensor::zeros({0, 4})), {4}).shape() == Shape{0, 4});
  CHECK(LayerNorm(Shape{3, 4}).describe() == "LayerNorm((3, 4), eps=1e-05, elementwise_affine=True)");
}
