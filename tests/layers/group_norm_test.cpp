// Group normalization: PyTorch's numbers, and what holds whatever the numbers are.
#include <cmath>
#include <map>

#include "autograd/ops.h"
#include "autograd/precision.h"
#include "core/math.h"
#include "core/parallel.h"
#include "layers/batch_norm.h"
#include "layers/group_norm.h"
#include "tests/support/golden.h"
#include "tests/support/kernels.h"

using namespace sigma;
using namespace sigma::test;
using sigma::test::Contains;

namespace {

// As batch norm's bounds (golden_test.cpp), for each sample and group: rounding x moves xhat by about
// off = 8 u (1 + (max|x| + |mean|) s) (1 + xhat^2), times what stands around xhat in y, dweight and dx.
Bounds group_norm_bounds(const GoldenCase& c, const Maker&, double u) {
  const Tensor& x = c["x"];
  const int64_t n = x.dim(0), channels = x.dim(1), pixels = x.numel() / (n * channels);
  const int64_t groups = c.options.at("groups"), width = channels / groups;
  const double eps = c.options.at("eps"), count = static_cast<double>(pixels * width);
  const bool affine = c.flag("affine");
  const std::vector<double> v = x.to_vector(), g = c["g"].to_vector();
  auto of = [&](const char* name, int64_t k) { return affine ? std::abs(c[name].at({k})) : name[2] == 'w'; };
  Bounds bounds{{"y", v}, {"dx", v}};
  std::vector<double> dweight(static_cast<size_t>(channels)), dbias(dweight);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t part = 0; part < groups; ++part) {
      auto each = [&](auto fn) {
        for (int64_t k = part * width; k < (part + 1) * width; ++k)
          for (int64_t p = 0; p < pixels; ++p) fn(k, static_cast<size_t>((i * channels + k) * pixels + p));
      };
      double mean = 0, var = 0, top = 0, h = 0, xhat = 0;
      each([&](int64_t, size_t at) { mean += v[at] / count; });
      each([&](int64_t k, size_t at) {
        var += (v[at] - mean) * (v[at] - mean) / count;
        top = std::max(top, std::abs(v[at]));
        h = std::max(h, std::abs(g[at]) * of("p.weight", k));
      });
      const double s = 1 / std::sqrt(var + eps);
      each([&](int64_t, size_t at) { xhat = std::max(xhat, std::abs(v[at] - mean) * s); });
      const double off = 8 * u * (1 + (top + std::abs(mean)) * s) * (2 + xhat * xhat);
      each([&](int64_t k, size_t at) {
        bounds["y"][at] = of("p.weight", k) * off + 8 * u * of("p.bias", k);
        bounds["dx"][at] = s * h * (1 + xhat) * off;
        const double terms = gamma(static_cast<double>(n * pixels), u) * std::abs(g[at]);
        dweight[static_cast<size_t>(k)] += std::abs(g[at]) * off + 4 * terms * xhat;
        dbias[static_cast<size_t>(k)] += 4 * terms;
      });
    }
  if (affine) {
    bounds["dp.weight"] = dweight;
    bounds["dp.bias"] = dbias;
  }
  return bounds;
}

}  // namespace

TEST_CASE("GroupNorm agrees with PyTorch", "[golden][group_norm]") {
  auto make = [](const GoldenCase& c) {
    return std::make_shared<GroupNorm>(
        c.options.at("groups").get<int64_t>(), c.options.at("channels").get<int64_t>(),
        GroupNormOptions{.eps = c.options.at("eps"), .affine = c.flag("affine")});
  };
  check_layer("group_norm", make, group_norm_bounds);
}

TEST_CASE("with a group a channel, a sample is normalized as a batch of one", "[group_norm]") {
  for (DType dtype : {DType::float32, DType::float64, DType::bfloat16}) {
    Tensor x = randn({1, 5, 7, 6}, 1, dtype), g = randn({1, 5, 7, 6}, 2, dtype);
    const DType master = compute_dtype(dtype);
    Variable w(randn({5}, 3, master), true), b(randn({5}, 4, master), true), w2(w.value(), true),
        b2(b.value(), true), x1(x, true), x2(x, true);
    Variable y1 = group_norm(x1, 5, w, b), y2 = batch_norm(x2, {.weight = w2, .bias = b2});
    CHECK(identical(y1.value().contiguous(), y2.value().contiguous()));
    y1.backward(g);
    y2.backward(g);
    for (auto [mine, theirs] : {std::pair(&w, &w2), std::pair(&b, &b2), std::pair(&x1, &x2)})
      CHECK(max_abs_difference(mine->grad().to(DType::float64), theirs->grad().to(DType::float64)) <=
            8 * (dtype == DType::bfloat16 ? 0x1p-9 : unit_roundoff(dtype)) *
                (1 + norm2(mine->grad().to(DType::float64))));
  }
}

TEST_CASE("group norm loses nothing to a large mean and does not overflow", "[group_norm]") {
  Tensor noise = randn({2, 8, 9, 9}, 1), shifted = noise.clone();
  for (int64_t i = 0; i < noise.numel(); ++i)
    shifted.mutable_data<double>()[i] = static_cast<float>(1e4 + 1e-2 * noise.data<double>()[i]);
  Tensor want = group_norm(Variable(shifted), 2).value();
  Tensor got = group_norm(Variable(shifted.to(DType::float32)), 2).value().to(DType::float64);
  CHECK(max_abs_difference(got, want) < 1e-6);
  Tensor large = scale(noise, 1e30).to(DType::float32);
  CHECK(all_finite(group_norm(Variable(large), 4).value()));
  // Nothing to divide by: exactly the bias.
  Variable bias(Tensor::from<float>({1.5f, -2, 3, 0.1f}, {4}));
  Tensor constant = group_norm(Variable(Tensor::full({3, 4, 2, 2}, 0.1)), 2, {}, bias, 0).value();
  for (int64_t c = 0; c < 4; ++c) CHECK(constant.at({2, c, 1, 0}) == bias.value().at({c}));
}

TEST_CASE("group norm gives the same bits with any number of threads, alone and in a batch",
          "[group_norm][determinism]") {
  const std::vector<Shape> shapes{{1, 16, 40, 30}, {70, 12, 3, 3}, {300, 24}, {5, 6, 50}};
  for (const Shape& shape : shapes) {
    INFO(shape.str());
    std::map<std::string, std::vector<Tensor>> first;
    Tensor x = randn(shape, 1, DType::float32), g = randn(shape, 2, DType::float32);
    on_every_machine([&] {
      Variable in(x, true), w(randn({shape[1]}, 3, DType::float32), true),
          b(randn({shape[1]}, 4, DType::float32), true);
      Variable y = group_norm(in, 2, w, b);
      y.backward(g);
      const std::vector<Tensor> all{y.value(), in.grad(), w.grad(), b.grad()};
      Variable last(slice(x, 0, shape[0] - 1, 1));
      CHECK(identical(group_norm(last, 2, w, b).value(), slice(y.value(), 0, shape[0] - 1, 1)));
      const auto& known = first.emplace(kernels::simd_name(), all).first->second;
      for (size_t i = 0; i < all.size(); ++i) CHECK(identical(all[i], known[i]));
    });
    CHECK(first.size() == kernels::simd_targets().size());
  }
}

TEST_CASE("group norm has a gradient of nothing for an empty batch", "[group_norm]") {
  Variable x(Tensor::zeros({0, 4, 2, 2}), true), w(Tensor::ones({4}), true);
  Variable y = group_norm(x, 2, w);
  CHECK(y.shape() == Shape{0, 4, 2, 2});
  y.backward(Tensor::zeros(y.shape()));
  CHECK(norm2(w.grad()) == 0);
}

TEST_CASE("group norm refuses what does not fit and says why", "[group_norm]") {
  auto input = [](const Shape& shape) { return Variable(randn(shape, 1, DType::float32)); };
  Variable image = input({2, 6, 3, 3});
  auto refuses = [](const std::string& message, const std::function<void()>& fn) {
    CHECK_THAT(error_of(fn), Contains(message));
  };
  refuses("[group_norm] expected groups that divide 6 channels, got 4", [&] { group_norm(image, 4); });
  refuses("expected groups that divide 6 channels, got 0", [&] { GroupNorm(0, 6); });
  refuses("expected eps of at least 0, got -1", [&] { group_norm(image, 2, {}, {}, -1); });
  refuses("expected input (N, C)", [&] { group_norm(input({6}), 2); });
  refuses("expected weight and bias of 6 float32 elements, got 5", [&] { group_norm(image, 2, input({5})); });
  refuses("expected more than 1 value in a group, got input (1, 6) and 6 groups", [&] {
    group_norm(input({1, 6}), 6);
  });
  refuses("expected 4 channels, got input (2, 6, 3, 3)", [&] { GroupNorm(2, 4).forward(image); });
  refuses("expected floating-point input, got int64", [&] {
    group_norm(Variable(Tensor::zeros({2, 6}, DType::int64)), 2);
  });
  Variable x(randn({2, 6, 3}, 1), true);
  refuses("once", [&] { grad({sum(group_norm(x, 2))}, {x}, {}, {.create_graph = true}); });
  CHECK(GroupNorm(2, 4).describe() == "GroupNorm(2, 4, eps=1e-05, affine=True)");
  CHECK(split_decay(*std::make_shared<GroupNorm>(2, 4)).decay.empty());
}
