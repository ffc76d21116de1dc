// Internal covariate shift against networks small enough for paper and pencil.
#include <training/covariate_shift.h>

#include <cmath>

#include "autograd/ops.h"
#include "core/math.h"
#include "layers/cross_entropy.h"
#include "layers/linear.h"
#include "layers/networks/models.h"
#include "layers/sequential.h"
#include "tests/support/support.h"

using namespace sigma;
using namespace sigma::test;

namespace {

std::shared_ptr<Linear> linear(int64_t in, int64_t out, const std::vector<double>& weights) {
  auto layer = std::make_shared<Linear>(in, out, LinearOptions{.bias = false});
  layer->to(DType::float64);
  layer->weight.mutable_value().copy_(Tensor::from(weights, {out, in}));
  return layer;
}

// (f(1) - y)^2 / 2
std::function<Variable()> half_square(Module& model, double y) {
  return [&model, y] {
    const Variable error = model(Variable(Tensor::ones({1, 1}, DType::float64))) - y;
    return sum(error * error) * 0.5;
  };
}

}  // namespace

TEST_CASE("covariate shift of two layers is that of the formula, worked by hand", "[measures]") {
  // W1 = (1, 2)', W2 = (1, 1/2): h = (1, 2), f = 2; G1 = f W2 = (2, 1), G2 = f h = (2, 4). Half of G1 away
  // h = (0, 3/2), f = 3/4, so G2' = (0, 9/8).
  Sequential net;
  net.append("first", linear(1, 2, {1, 2}));
  net.append("second", linear(2, 1, {1, 0.5}));
  const CovariateShift shift = covariate_shift(net, half_square(net, 0), 0.5);
  CHECK(shift.layers == std::vector<std::string>{"first", "second"});
  CHECK(shift.gradient_norm[0] == Approx(std::sqrt(5.0)).epsilon(1e-14));
  CHECK(shift.distance[0] == 0);
  CHECK(shift.cosine[0] == Approx(1).epsilon(1e-14));
  CHECK(shift.gradient_norm[1] == Approx(std::sqrt(20.0)).epsilon(1e-14));
  CHECK(shift.distance[1] == Approx(std::sqrt(4 + 2.875 * 2.875)).epsilon(1e-14));
  CHECK(shift.cosine[1] == Approx(4 / std::sqrt(20.0)).epsilon(1e-14));
}

TEST_CASE("a layer's shift is that of all layers before it, each moved by the gradient of the beginning",
          "[measures]") {
  // f = abc; da = (f - 1) bc and so on.
  const double a = 2, b = 3, c = 0.5, y = 1, rate = 0.01;
  Sequential net;
  net.append("a", linear(1, 1, {a}));
  net.append("b", linear(1, 1, {b}));
  net.append("c", linear(1, 1, {c}));
  const double error = a * b * c - y, moved_a = a - rate * error * b * c, moved_b = b - rate * error * a * c;
  const CovariateShift shift = covariate_shift(net, half_square(net, y), rate);
  CHECK(shift.distance[1] ==
        Approx(std::abs((moved_a * b * c - y) * moved_a * c - error * a * c)).epsilon(1e-12));
  CHECK(shift.distance[2] ==
        Approx(std::abs((moved_a * moved_b * c - y) * moved_a * moved_b - error * a * b)).epsilon(1e-12));
  // A step past the least loss turns the gradient round.
  CHECK(covariate_shift(net, half_square(net, y), 0.5).cosine[1] == Approx(-1).epsilon(1e-14));
}

TEST_CASE("measuring covariate shift leaves weights, statistics and mode as they were", "[measures]") {
  ModulePtr model = make_model("flatten, linear 6, bn, relu, linear classes", {1, 3, 3, 4}, Norm("batch"), 1);
  model->eval();
  const Variable images(Tensor::randn({16, 1, 3, 3}, 2));
  Tensor labels = Tensor::empty({16}, DType::int64);
  for (int64_t i = 0; i < 16; ++i) labels.mutable_data<int64_t>()[i] = i % 4;
  const auto before = copy_of(*model).by_name();
  auto unchanged = [&] {
    for (const auto& [name, t] : copy_of(*model).by_name())
      if (!identical(t, before.at(name))) return false;
    return !model->is_training();
  };
  int calls = 0;
  auto loss = [&] {
    CHECK(model->is_training());
    ++calls;
    return cross_entropy((*model)(images), labels);
  };
  const CovariateShift shift = covariate_shift(*model, loss, 0.1);
  CHECK(shift.layers == std::vector<std::string>{"fc1", "bn", "fc2"});
  CHECK(calls == 3);
  CHECK(shift.distance[2] > 0);
  CHECK(unchanged());
  calls = 0;
  CHECK(error_of([&] {
          covariate_shift(
              *model,
              [&] {
                if (++calls == 3) fail(ErrorKind::usage, "loss", "the third");
                return cross_entropy((*model)(images), labels);
              },
              0.1);
        }).find("the third") != std::string::npos);
  CHECK(unchanged());
  model->requires_grad_(false);
  CHECK(error_of([&] { covariate_shift(*model, loss, 0.1); }).find("parameters that learn") !=
        std::string::npos);
}
