// The average of weights against PyTorch's AveragedModel, and that it and the network change places.
#include "optim/ema.h"

#include <cmath>

#include "core/math.h"
#include "tests/support/golden.h"
#include "tests/support/support.h"

using namespace sigma;
using namespace sigma::test;

TEST_CASE("50 updates of an average of weights and buffers agree with PyTorch to 1e-12", "[golden][optim]") {
  for (const GoldenCase& c : load_golden("ema")) {
    INFO(c.name);
    std::vector<Variable> values;
    for (const char* name : {"weight", "bias", "running_mean", "running_var"})
      values.emplace_back(slice(c[name], 0, 0, 1).clone());
    Ema ema(values, c.options.at("decay"));
    const int64_t steps = c.options.at("steps");
    double worst = 0;
    for (int64_t step = 0; step < steps; ++step) {
      for (size_t i = 0; i < values.size(); ++i)
        values[i].mutable_value().copy_(slice(c[i == 0   ? "weight"
                                                : i == 1 ? "bias"
                                                : i == 2 ? "running_mean"
                                                         : "running_var"],
                                              0, step, 1));
      ema.update();
      for (size_t i = 0; i < values.size(); ++i) {
        const Tensor want = slice(c[i == 0   ? "a.weight"
                                    : i == 1 ? "a.bias"
                                    : i == 2 ? "a.running_mean"
                                             : "a.running_var"],
                                  0, step, 1);
        worst = std::max(worst, max_abs_difference(ema.average_of(values[i].value()), want) / norm2(want));
      }
    }
    CHECK(worst <= 1e-12);
    CHECK(ema.updates() == steps);
  }
}

TEST_CASE("an average keeps every bit of what does not move, and counts as the network does", "[optim]") {
  for (DType dtype : {DType::float32, DType::float64}) {
    Tensor still = randn({1000}, 1, dtype);
    still.fill_(-0.0);
    Variable fixed(still), count(Tensor::scalar(3, DType::int64)), moving(randn({1000}, 2, dtype));
    Ema ema({fixed, count, moving}, 0.9);
    for (int step = 1; step <= 4; ++step) {
      count.mutable_value().fill_(3 + step);
      moving.mutable_value() += 1.0;
      ema.update();
    }
    CHECK(identical(ema.average_of(fixed.value()), still));
    CHECK(ema.average_of(count.value()).item() == 7);
  }
}

TEST_CASE("the network and its average change places and back", "[optim]") {
  Variable v(Tensor::from<double>({1, 2}, {2}), true);
  Ema ema({v}, 0.5);
  ema.update();
  v.mutable_value() += 4.0;
  ema.update();
  const Tensor raw = v.value(), average = ema.average_of(raw);
  CHECK(average.to_vector() == std::vector<double>{3, 4});
  ema.swap();
  CHECK(v.value().shares_storage(average));
  ema.swap();
  CHECK(v.value().shares_storage(raw));
  CHECK(error_of([&] { ema.average_of(Tensor::zeros({1})); }).find("[ema]") != std::string::npos);
  for (double decay : {-0.1, 1.0, double{NAN}})
    CHECK(error_of([&] { Ema({v}, decay); }).find("[ema]") != std::string::npos);
}
