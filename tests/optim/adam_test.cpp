// Adam against PyTorch over 50 steps, and its update against a plain loop.
#include "optim/adam.h"

#include <cmath>

#include "core/math.h"
#include "tests/support/adaptive.h"
#include "tests/support/kernels.h"

using namespace sigma;
using namespace sigma::test;

TEST_CASE("50 steps of Adam agree with PyTorch to 1e-12", "[golden][optim]") {
  compare_with_golden("adam", [](std::vector<ParameterGroup> groups, const nlohmann::json& options) {
    return std::make_unique<Adam>(std::move(groups), adam_options_of(options));
  });
}

TEST_CASE("Adam's update is that of a plain loop at every length, alone or among others", "[kernels]") {
  auto check = [](auto zero) {
    using T = decltype(zero);
    const double u = std::is_same_v<T, float> ? 0x1p-24 : 0x1p-53;
    std::vector<std::vector<T>> all[5];  // g m v w p, of each parameter
    std::vector<kernels::AdamParameter<T>> parameters;
    for (int64_t n : {0, 1, 3, 15, 16, 17, 130, 32767, 32768, 32769, 70001}) {
      for (uint64_t k = 0; k < 5; ++k) {
        all[k].push_back(integers<T>(n, 10 * static_cast<uint64_t>(n) + k));
        for (T& x : all[k].back()) x = k == 2 || k == 3 ? (x * x + 1) / 9 : x / 7;
      }
    }
    auto before = all[0];
    std::vector<std::vector<T>> start[5] = {all[0], all[1], all[2], all[3], all[4]};
    for (size_t i = 0; i < all[0].size(); ++i)
      parameters.push_back({static_cast<int64_t>(all[0][i].size()),
                            {0.1, 0.5, 0.9, 0.99, 1e-3, i % 2 ? 0.1 : 0, i % 3 ? 1 : 0.9},
                            all[0][i].data(),
                            all[1][i].data(),
                            all[2][i].data(),
                            i % 4 ? nullptr : all[3][i].data(),
                            all[4][i].data()});
    kernels::adam_update(parameters.data(), static_cast<int64_t>(parameters.size()));
    int64_t wrong = 0, moved = 0;
    for (size_t i = 0; i < parameters.size(); ++i)
      for (size_t j = 0; j < all[0][i].size(); ++j) {
        const kernels::AdamStep& s = parameters[i].step;
        const double x = s.shrink * start[4][i][j], d = start[0][i][j] + s.weight_decay * x;
        const double m = s.beta1 * start[1][i][j] + (1 - s.beta1) * d;
        const double v = s.beta2 * start[2][i][j] + (1 - s.beta2) * d * d;
        const double w = parameters[i].w ? std::max<double>(start[3][i][j], v) : v;
        const double step = s.step_size * m / (std::sqrt(w) / s.root + s.epsilon);
        // m may cancel: its error is that of its terms.
        const double size = 0.1 * (std::fabs(start[1][i][j]) + std::fabs(d)) / (std::sqrt(w) / s.root);
        wrong += !(std::fabs(all[4][i][j] - (x - step)) <= 16 * u * (std::fabs(x) + size));
        wrong += !(std::fabs(all[2][i][j] - v) <= 16 * u * v);
        wrong +=
            parameters[i].w ? !(std::fabs(all[3][i][j] - w) <= 16 * u * w) : all[3][i][j] != start[3][i][j];
        moved += all[4][i][j] != start[4][i][j];
      }
    CHECK(wrong == 0);
    CHECK(moved > 100000);
    CHECK(all[0] == before);
    // Each by itself gives the same bits.
    std::vector<std::vector<T>> alone[5] = {start[0], start[1], start[2], start[3], start[4]};
    for (size_t i = 0; i < parameters.size(); ++i) {
      kernels::AdamParameter<T> one = parameters[i];
      one.m = alone[1][i].data();
      one.v = alone[2][i].data();
      one.w = one.w ? alone[3][i].data() : nullptr;
      one.p = alone[4][i].data();
      kernels::adam_update(&one, 1);
    }
    for (size_t k = 0; k < 5; ++k) CHECK(alone[k] == all[k]);
    kernels::adam_update(static_cast<const kernels::AdamParameter<T>*>(nullptr), 0);
  };
  on_every_machine([&] {
    check(float{});
    check(double{});
  });
}

TEST_CASE("Adam refuses what PyTorch refuses", "[optim]") {
  const AdamOptions bad[] = {
      {.lr = -1},         {.beta1 = 1},          {.beta1 = -0.1},      {.beta2 = 1},         {.beta2 = NAN},
      {.epsilon = -1e-8}, {.epsilon = INFINITY}, {.weight_decay = -1}, {.weight_decay = NAN}};
  for (const AdamOptions& o : bad) {
    INFO("case " << &o - bad);
    CHECK(error_of([&] { Adam(std::vector<Variable>{}, o); }).find("[adam]") != std::string::npos);
  }
}
