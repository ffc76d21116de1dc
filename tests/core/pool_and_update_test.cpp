// Kernels with a fast case of their own: pooling that halves an image, the update of many parameters at once,
// rows with and without bias and ReLU.
#include <array>
#include <cmath>

#include "core/kernels/elementwise.h"
#include "core/kernels/reduce.h"
#include "core/kernels/reference.h"
#include "core/kernels/sgd.h"
#include "tests/support/kernels.h"

using namespace sigma;
using namespace sigma::kernels;
using namespace sigma::test;

namespace {

PoolSize halving(int64_t n, int64_t h, int64_t w, int64_t c) {
  return {n, h, w, c, h / 2, w / 2, 2, 2, 2, 2, 0, 0};
}

// The values in storage of type X.
template <class X>
std::vector<X> stored(const std::vector<float>& values) {
  std::vector<X> s;
  for (float v : values) s.push_back(X(v));
  return s;
}

}  // namespace

TEST_CASE("max pooling that halves an image takes the first maximum and every NaN", "[kernels]") {
  auto check = [](auto zero) {
    using X = decltype(zero);
    for (int64_t c : {1, 3, 6, 15, 16, 17, 64})
      for (auto [n, h, w] : {std::array<int64_t, 3>{1, 2, 2}, {2, 3, 3}, {3, 5, 2}, {1, 2, 9}, {4, 7, 6}}) {
        const PoolSize s = halving(n, h, w, c);
        INFO(n << "x" << h << "x" << w << "x" << c << " of " << sizeof(X) << " bytes");
        const int64_t in = n * h * w * c, out = n * s.oh * s.ow * c;
        // Few values, so that ties are common; whole windows of NaN and of minus infinity.
        auto x = integers<float>(in, 1, -1, 1), dy = integers<float>(out, 2, 1, 9);
        for (size_t i = 5; i < x.size(); i += 11) x[i] = std::numeric_limits<float>::quiet_NaN();
        for (size_t i = 0; i < x.size(); ++i)
          if (i % static_cast<size_t>(c) == 2) x[i] = -INFINITY;
        // One value behind the end, which masked stores must leave alone.
        auto y = stored<X>(std::vector<float>(static_cast<size_t>(out) + 1, 77)),
             dx = stored<X>(std::vector<float>(static_cast<size_t>(in) + 1, 77));
        std::vector<float> y2(static_cast<size_t>(out));
        std::vector<int32_t> index(static_cast<size_t>(out) + 1, -7), index2(static_cast<size_t>(out));
        max_pool_forward(s, stored<X>(x).data(), y.data(), index.data());
        reference::max_pool_forward(s, x.data(), y2.data(), index2.data());
        CHECK(index.back() == -7);
        index.pop_back();
        CHECK(index == index2);
        int64_t wrong = 0;
        for (size_t i = 0; i < y2.size(); ++i) {
          const float v = static_cast<float>(y[i]);
          wrong += !(v == y2[i] || (std::isnan(v) && std::isnan(y2[i])));
        }
        CHECK(wrong == 0);
        CHECK(static_cast<float>(y.back()) == 77);
        std::vector<float> dx2(static_cast<size_t>(in), 0.f);
        for (size_t i = 0; i < dy.size(); ++i) {
          const auto at = static_cast<int64_t>(i) / (s.oh * s.ow * c) * h * w + index2[i];
          dx2[static_cast<size_t>(at * c + static_cast<int64_t>(i) % c)] = dy[i];
        }
        max_pool_backward(s, stored<X>(dy).data(), index2.data(), dx.data());
        double sum = 0;
        for (size_t i = 0; i < dx2.size(); ++i) {
          wrong += !(static_cast<float>(dx[i]) == dx2[i]);
          const auto pixel = static_cast<int64_t>(i) / c;
          if (pixel / w % h >= 2 * s.oh || pixel % w >= 2 * s.ow)
            sum += std::fabs(static_cast<double>(dx[i]));
        }
        CHECK(wrong == 0);
        CHECK(sum == 0);  // an odd last row or column belongs to no window
        CHECK(static_cast<float>(dx.back()) == 77);
      }
  };
  on_every_machine([&] {
    check(float{});
    check(double{});
    check(bfloat16{});
  });
}

TEST_CASE("a NaN in the gradient passes through pooling to the maximum alone", "[kernels]") {
  const PoolSize s = halving(1, 2, 4, 3);
  const std::vector<float> x = integers<float>(24, 1, -9, 9);
  std::vector<float> y(6), dy(6, 1.f), dx(24);
  std::vector<int32_t> index(6);
  dy[4] = NAN;
  on_every_machine([&] {
    max_pool_forward(s, x.data(), y.data(), index.data());
    max_pool_backward(s, dy.data(), index.data(), dx.data());
    for (size_t i = 0; i < dx.size(); ++i)
      CHECK(std::isnan(dx[i]) == (i == static_cast<size_t>(index[4]) * 3 + 1));
  });
}

TEST_CASE("one update of many parameters is that of each by itself", "[kernels]") {
  // Sizes around a task's 32768 elements, many small ones that share a task, and none at all.
  const int64_t sizes[] = {0, 1, 32767, 1, 3, 32768, 0, 17, 70000, 5, 32769, 130, 2, 0};
  auto check = [&](auto zero) {
    using T = decltype(zero);
    std::vector<std::vector<T>> g, v, p, v2, p2;
    std::vector<SgdParameter<T>> parameters;
    for (int64_t n : sizes) {
      const uint64_t seed = 10 * g.size();
      g.push_back(integers<T>(n, seed)), v.push_back(integers<T>(n, seed + 1)),
          p.push_back(integers<T>(n, seed + 2));
      for (auto* list : {&g, &v, &p})
        for (T& x : list->back()) x /= 7;  // so that rounding shows what is computed how
    }
    v2 = v, p2 = p;
    int64_t changed = 0;
    for (size_t i = 0; i < g.size(); ++i) {  // each with its own options, as parameter groups have
      const SgdStep step{0.1 + 0.01 * static_cast<double>(i),
                         i % 3 ? 0.9 : 0.0,
                         i % 4 ? 0 : 0.5,
                         i % 2 ? 1e-4 : 0.0,
                         i % 4 == 1,
                         i % 5 == 0};
      parameters.push_back({sizes[i], step, g[i].data(), i % 3 ? v[i].data() : nullptr, p[i].data()});
      SgdParameter<T> alone = parameters.back();
      alone.p = p2[i].data(), alone.v = i % 3 ? v2[i].data() : nullptr;
      sgd_update(&alone, 1);
      changed += p2[i] != p[i];
    }
    CHECK(changed == 11);  // all but the empty ones
    sgd_update(parameters.data(), static_cast<int64_t>(parameters.size()));
    CHECK(p == p2);
    CHECK(v == v2);
    sgd_update(static_cast<const SgdParameter<T>*>(nullptr), 0);  // nothing to do
  };
  on_every_machine([&] { check(float{}); });
  check(double{});
}

TEST_CASE("rows take a bias or none, and a ReLU that keeps NaN", "[kernels]") {
  auto check = [](auto zero) {
    using X = decltype(zero);
    using T = Compute<X>;
    for (auto [rows, n] : {std::pair<int64_t, int64_t>{0, 3}, {1, 17}, {5, 1}, {300, 130}, {2, 40000}})
      for (bool relu : {false, true})
        for (bool with_bias : {false, true}) {
          INFO(rows << "x" << n << " relu " << relu << " bias " << with_bias);
          auto from = integers<T>(rows * n, 1), bias = integers<T>(n, 2);
          if (rows > 0) from[static_cast<size_t>(n - 1)] = std::numeric_limits<T>::quiet_NaN();
          std::vector<X> y(from.size());
          add_rows(rows, n, from.data(), with_bias ? bias.data() : nullptr, relu, y.data());
          int64_t wrong = 0, cut = 0;
          for (size_t i = 0; i < from.size(); ++i) {
            T v = with_bias ? from[i] + bias[i % bias.size()] : from[i], got = static_cast<T>(y[i]);
            cut += v < 0;
            if (relu && v < 0) v = 0;
            wrong += !(got == v || (std::isnan(got) && std::isnan(v)));
          }
          CHECK(wrong == 0);
          if (rows * n > 8) CHECK(cut > 0);
        }
  };
  on_every_machine([&] {
    check(float{});
    check(double{});
    check(bfloat16{});
  });
}

TEST_CASE("sums over many rows round once", "[kernels]") {
  // Tenths: float sums of thousands of them drift in the fifth digit; those in float64 are right to the last.
  auto check = [](auto zero) {
    using X = decltype(zero);
    for (auto [rows, n] : {std::pair<int64_t, int64_t>{5000, 3}, {70000, 1}, {1000, 70}}) {
      INFO(rows << "x" << n);
      const std::vector<X> x(static_cast<size_t>(rows * n), X(0.1f));
      std::vector<Compute<X>> sums(static_cast<size_t>(n));
      column_sums(x.data(), rows, n, sums.data());
      const double exact = static_cast<double>(rows) * static_cast<double>(static_cast<Compute<X>>(x[0]));
      for (Compute<X> s : sums)
        CHECK(std::fabs(static_cast<double>(s) - exact) <= (sizeof(s) == 4 ? 0x1p-24 : 1e-13) * exact);
    }
  };
  on_every_machine([&] {
    check(float{});
    check(double{});
    check(bfloat16{});
  });
}
