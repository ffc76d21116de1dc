// Batch normalization, forward: values, running statistics, options (cases 1-4, 7, 8, 10-19 of the
// specification's list, section 1.8).
//
// The golden numbers are the specification's, which has them from PyTorch in float64. Where a formula is
// short the long double reference is compared as well, so that they do not rest on one source.
#include "tests/support/batch_norm_reference.h"

using namespace sigma;
using namespace sigma::test;

namespace {

const Tensor X0 = f64({1, 2, 3, 6, 5, 10}, {3, 2});
const Tensor X1 = f64({3, 5, 7, 13, 11, 21}, {3, 2});  // 2 X0 + 1
const Tensor X0_plus_7 = f64({8, 9, 10, 13, 12, 17}, {3, 2});
const Tensor two_rows = f64({1, 2, 3, 6}, {2, 2});

// One training step of BatchNorm1d(2) with this momentum on [[1,2],[3,6]], whose means are 2 and 4 and whose
// unbiased variances are 2 and 8.
void check_momentum(double momentum, const std::vector<double>& mean, const std::vector<double>& var) {
  BatchNorm1d bn(2, {.momentum = momentum});
  bn.to(DType::float64);
  bn(Variable(two_rows));
  CHECK(gap(bn.running_mean, mean) <= 1e-12);
  CHECK(gap(bn.running_var, var) <= 1e-12);
  CHECK(bn.num_batches_tracked.item() == 1);
}

}  // namespace

TEST_CASE("batch norm case 01: training forward gives the golden values", "[batch_norm]") {
  BatchNorm1d bn(2);
  bn.to(DType::float64);
  Variable y = bn(Variable(X0));
  double a = 1.224742575001414, b = 1.2247442972928346;
  CHECK(gap(y, {-a, -b, 0, 0, a, b}) <= 1e-12);
  CHECK(gap(y, reference({.x = X0}).y) <= 1e-12);
}

TEST_CASE("batch norm case 02: running statistics after one and two batches", "[batch_norm]") {
  BatchNorm1d bn(2);
  bn.to(DType::float64);
  bn(Variable(X0));
  CHECK(gap(bn.running_mean, {.3, .6}) <= 1e-12);
  CHECK(gap(bn.running_var, {1.3, 2.5}) <= 1e-12);
  CHECK(bn.num_batches_tracked.item() == 1);
  bn(Variable(X1));
  CHECK(gap(bn.running_mean, {.97, 1.84}) <= 1e-12);
  CHECK(gap(bn.running_var, {2.77, 8.65}) <= 1e-12);
  CHECK(bn.num_batches_tracked.item() == 2);
}

TEST_CASE("batch norm case 03: without momentum the running statistics are cumulative averages",
          "[batch_norm]") {
  BatchNorm1d bn(2, {.momentum = std::nullopt});
  bn.to(DType::float64);
  bn(Variable(X0));
  CHECK(gap(bn.running_mean, {3, 6}) <= 1e-12);
  CHECK(gap(bn.running_var, {4, 16}) <= 1e-12);
  bn(Variable(X1));
  CHECK(gap(bn.running_mean, {5, 9.5}) <= 1e-12);
  CHECK(gap(bn.running_var, {10, 40}) <= 1e-12);
  bn(Variable(X0_plus_7));
  CHECK(gap(bn.running_mean, {20.0 / 3, 32.0 / 3}) <= 1e-12);
  CHECK(gap(bn.running_var, {8, 32}) <= 1e-12);
  CHECK(bn.num_batches_tracked.item() == 3);
}

TEST_CASE("batch norm case 04: a fresh layer in eval divides by the root of one plus eps", "[batch_norm]") {
  BatchNorm1d bn(2);
  bn.to(DType::float64);
  bn.eval();
  std::vector<double> y = bn(Variable(X0)).value().to_vector();
  CHECK(std::fabs(y[0] - .9999950000374997) <= 1e-12);
  CHECK(gap(y, scale(X0, .9999950000374997).to_vector()) <= 1e-12);
  CHECK(gap(bn.running_mean, {0, 0}) == 0);
  CHECK(gap(bn.running_var, {1, 1}) == 0);
  CHECK(bn.num_batches_tracked.item() == 0);
}

TEST_CASE("batch norm case 07: the example of PyTorch issue 60528 in float32", "[batch_norm]") {
  Tensor x = Tensor::empty({4, 3, 4});
  for (int64_t n = 0, i = 0; n < 4; ++n)
    for (int64_t c = 0; c < 3; ++c)
      for (int64_t l = 0; l < 4; ++l) x.mutable_data<float>()[i++] = static_cast<float>(n + 4 * c + l + 1);
  BatchNorm1d bn(3);
  std::vector<double> y = bn(Variable(x)).value().to_vector();
  CHECK(gap({y.begin(), y.begin() + 4}, {-1.8973628, -1.2649085, -.6324543, 0}) <= 1e-6);
  CHECK(gap(bn.running_mean, {.4, .8, 1.2}) <= 1e-6);
  CHECK(gap(bn.running_var, {1.1666667, 1.1666667, 1.1666667}) <= 1e-6);
}

TEST_CASE("batch norm case 08: the output uses the biased variance and the buffer the unbiased one",
          "[batch_norm]") {
  BatchNorm1d bn(1);
  bn.to(DType::float64);
  Variable y = bn(Variable(f64({1, 3}, {2, 1})));
  CHECK(gap(y, {-.9999950000374997, .9999950000374997}) <= 1e-12);
  CHECK(gap(bn.running_var, {.9 * 1 + .1 * 2}) <= 1e-12);
}

TEST_CASE("batch norm case 10: momentum 0 leaves the statistics but counts the batch", "[batch_norm]") {
  check_momentum(0, {0, 0}, {1, 1});
}

TEST_CASE("batch norm case 11: momentum 1 takes the batch's statistics", "[batch_norm]") {
  check_momentum(1, {2, 4}, {2, 8});
}

TEST_CASE("batch norm case 12: momentum 1.5 extrapolates", "[batch_norm]") {
  check_momentum(1.5, {3, 6}, {2.5, 11.5});
}

TEST_CASE("batch norm case 13: momentum -1 follows the same formula", "[batch_norm]") {
  check_momentum(-1, {-2, -4}, {0, -6});  // 2 * old - batch
  BatchNorm1d bn(2, {.momentum = -1.0});
  bn.to(DType::float64);
  set(bn.running_mean, f64({.5, -3}));
  set(bn.running_var, f64({7, 11}));
  bn(Variable(X0));
  CHECK(gap(bn.running_mean, {2 * .5 - 3, 2 * -3.0 - 6}) <= 1e-12);
  CHECK(gap(bn.running_var, {2 * 7 - 4, 2 * 11 - 16}) <= 1e-12);
  bn(Variable(two_rows));
  CHECK(gap(bn.running_var, {2 * 10 - 2, 2 * 6 - 8}) <= 1e-12);
  // Such a momentum can make the running variance negative; then eval has no real answer.
  bn(Variable(X0));
  bn(Variable(scale(X0, 3)));
  REQUIRE(bn.running_var.value().at({1}) < 0);
  bn.eval();
  CHECK(std::isnan(bn(Variable(X0)).value().at({0, 1})));
}

TEST_CASE("batch norm case 14: eps is added inside the root", "[batch_norm]") {
  Tensor x = randn({5, 5, 5}, 14);
  for (double eps : {.5, .6}) {
    BatchNorm1d bn(5, {.eps = eps, .momentum = .5});
    bn.to(DType::float64);
    Reference r = reference({.x = x, .eps = eps});
    CHECK(gap(bn(Variable(x)), r.y) <= 1e-12);
    std::vector<double> mean = moved({0, 0, 0, 0, 0}, r.mean, .5),
                        var = moved({1, 1, 1, 1, 1}, r.unbiased, .5);
    CHECK(gap(bn.running_mean, mean) <= 1e-12);
    CHECK(gap(bn.running_var, var) <= 1e-12);
    bn.eval();
    ReferenceInput eval{.x = x, .running_mean = f64(mean), .running_var = f64(var), .eps = eps};
    CHECK(gap(bn(Variable(x)), reference(eval).y) <= 1e-12);
  }
  // By hand: v = 1, so x - mu = +-1 is divided by sqrt(1.5); eps outside the root would give 2/3.
  Variable y = batch_norm(Variable(f64({1, 3}, {2, 1})), {.eps = .5});
  CHECK(gap(y, {-std::sqrt(1 / 1.5), std::sqrt(1 / 1.5)}) <= 1e-12);
}

TEST_CASE("batch norm case 15: every shape of PyTorch's module tests agrees with the reference",
          "[batch_norm]") {
  std::vector<Shape> shapes{{4, 10},   {4, 5, 3}, {2, 3, 6, 6}, {5, 5, 5},
                            {3, 2, 4}, {3, 1},    {2, 1},       {3, 2, 3, 4}};
  uint64_t seed = 150;
  for (const Shape& shape : shapes) {
    INFO(shape.str());
    std::shared_ptr<BatchNorm> bn;
    if (shape.rank() == 4)
      bn = std::make_shared<BatchNorm2d>(shape[1]);
    else
      bn = std::make_shared<BatchNorm1d>(shape[1]);
    bn->to(DType::float64);
    randomize(*bn, ++seed);
    ReferenceInput in{
        .x = randn(shape, seed + 50), .weight = bn->weight.value(), .bias = bn->bias.value(), .g = {}};
    in.g = randn(shape, seed + 90);
    std::vector<double> mean = bn->running_mean.value().to_vector(),
                        var = bn->running_var.value().to_vector();
    auto compare = [&](const Reference& r) {
      Variable x(in.x, true), y = (*bn)(x);
      CHECK(y.shape() == shape);
      bn->zero_grad();
      y.backward(in.g);
      CHECK(gap(y, r.y) <= 1e-12);
      CHECK(gap(x.grad(), r.dx) <= 1e-12);
      CHECK(gap(bn->weight.grad(), r.dweight) <= 1e-12);
      CHECK(gap(bn->bias.grad(), r.dbias) <= 1e-12);
    };
    Reference training = reference(in);
    compare(training);
    mean = moved(mean, training.mean, .1);
    var = moved(var, training.unbiased, .1);
    CHECK(gap(bn->running_mean, mean) <= 1e-12);
    CHECK(gap(bn->running_var, var) <= 1e-12);
    bn->eval();
    in.running_mean = f64(mean);
    in.running_var = f64(var);
    compare(reference(in));
  }
}

TEST_CASE("batch norm case 16: a layer that is not affine has no parameters and acts as weight 1 and bias 0",
          "[batch_norm]") {
  BatchNorm1d bn(3, {.affine = false});
  bn.to(DType::float64);
  CHECK(bn.parameters().empty());
  CHECK_FALSE(bn.weight.defined());
  CHECK_FALSE(bn.bias.defined());
  StateDict state = bn.state_dict();
  REQUIRE(state.items.size() == 3);
  CHECK(state.items[0].first == "running_mean");
  CHECK(state.items[1].first == "running_var");
  CHECK(state.items[2].first == "num_batches_tracked");
  Tensor g = randn({6, 3}, 17);
  Variable x(randn({6, 3}, 16), true), y = bn(x);
  y.backward(g);
  Reference r = reference({.x = x.value(), .g = g});
  CHECK(gap(y, r.y) <= 1e-12);
  CHECK(gap(x.grad(), r.dx) <= 1e-12);
}

TEST_CASE("batch norm case 17: a layer that tracks nothing uses the batch in eval too", "[batch_norm]") {
  BatchNorm1d bn(3, {.track_running_stats = false});
  bn.to(DType::float64);
  CHECK(bn.named_buffers().empty());
  StateDict state = bn.state_dict();
  REQUIRE(state.items.size() == 2);
  CHECK(state.items[0].first == "weight");
  CHECK(state.items[1].first == "bias");
  Variable x(randn({6, 3}, 17));
  Tensor training = bn(x).value();
  bn.eval();
  CHECK(identical(bn(x).value(), training));
  CHECK(gap(training, reference({.x = x.value()}).y) <= 1e-12);
}

TEST_CASE("batch norm case 18: tracking switched off later freezes the buffers and eval still uses them",
          "[batch_norm]") {
  BatchNorm1d bn(3);
  bn.to(DType::float64);
  bn(Variable(randn({6, 3}, 18)));
  Tensor mean = bn.running_mean.value().clone(), var = bn.running_var.value().clone();
  REQUIRE(norm2(mean) > 0);
  bn.set_track_running_stats(false);
  Tensor x = randn({6, 3}, 19);
  CHECK(gap(bn(Variable(x)), reference({.x = x}).y) <= 1e-12);
  CHECK(identical(bn.running_mean.value(), mean));
  CHECK(identical(bn.running_var.value(), var));
  CHECK(bn.num_batches_tracked.item() == 1);
  bn.eval();
  CHECK(gap(bn(Variable(x)), reference({.x = x, .running_mean = mean, .running_var = var}).y) <= 1e-12);
}

TEST_CASE("batch norm case 19: the function trains with both buffers or one or none", "[batch_norm]") {
  Tensor x = randn({6, 3}, 19);
  Reference r = reference({.x = x});
  CHECK(gap(batch_norm(Variable(x), {}), r.y) <= 1e-12);
  Variable mean(Tensor::zeros({3}, DType::float64)), var(Tensor::ones({3}, DType::float64));
  CHECK(gap(batch_norm(Variable(x), {.running_mean = mean}), r.y) <= 1e-12);
  CHECK(gap(mean, moved({0, 0, 0}, r.mean, .1)) <= 1e-12);
  CHECK(gap(batch_norm(Variable(x), {.running_var = var}), r.y) <= 1e-12);
  CHECK(gap(var, moved({1, 1, 1}, r.unbiased, .1)) <= 1e-12);
}
