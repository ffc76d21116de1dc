// Batch normalization, gradients: golden values, checks by differences, identities (cases 5, 6, 9, 41-49 and
// 52-54 of the specification's list, section 1.8).
//
// The golden numbers are the specification's, which has them from PyTorch in float64; the long double
// reference is compared beside them.
#include "autograd/gradcheck.h"
#include "autograd/ops.h"
#include "layers/conv2d.h"
#include "layers/linear.h"
#include "tests/support/batch_norm_reference.h"

using namespace sigma;
using namespace sigma::test;
using sigma::test::Contains;

namespace {

struct Golden {
  std::vector<double> y, dx, dweight, dbias;
};

// weight [2,-1], bias [.5,.25], on [[1,2],[3,6],[5,10]] with the upstream gradient [[1,0],[0,2],[3,-1]].
void check_golden(BatchNorm1d& bn, const Golden& want) {
  set(bn.weight, f64({2, -1}));
  set(bn.bias, f64({.5, .25}));
  Tensor g = f64({1, 0, 0, 2, 3, -1}, {3, 2});
  Variable x(f64({1, 2, 3, 6, 5, 10}, {3, 2}), true), y = bn(x);
  y.backward(g);
  CHECK(gap(y, want.y) <= 1e-12);
  CHECK(gap(x.grad(), want.dx) <= 1e-12);
  CHECK(gap(bn.weight.grad(), want.dweight) <= 1e-12);
  CHECK(gap(bn.bias.grad(), want.dbias) <= 1e-12);
  ReferenceInput in{.x = x.value(), .weight = bn.weight.value(), .bias = bn.bias.value(), .g = g};
  if (!bn.is_training()) in.running_mean = bn.running_mean.value(), in.running_var = bn.running_var.value();
  CHECK(gap(x.grad(), reference(in).dx) <= 1e-12);
}

// The specification's bounds for checks by differences.
const GradcheckOptions bounds{.step = 1e-6, .atol = 1e-5, .rtol = 1e-3};

VariableFunction function_of_xwb(bool training) {
  BatchNormArguments a{.training = training};
  if (!training) {
    a.running_mean = Variable(randn({3}, 1));
    a.running_var = Variable(uniform({3}, .5, 2, 2));
  }
  return [a](const Variables& v) {
    BatchNormArguments b = a;
    b.weight = v[1], b.bias = v[2];
    return batch_norm(v[0], b);
  };
}
Variables xwb(const Shape& shape, uint64_t seed) {
  return {Variable(randn(shape, seed), true), Variable(randn({3}, seed + 1), true),
          Variable(randn({3}, seed + 2), true)};
}

void check_result(const GradcheckResult& r, int64_t derivatives) {
  INFO(r.message);
  CHECK(r.passed);
  CHECK(r.checked == derivatives);
  CHECK(r.largest_gradient > .1);
}

// y = BN(u W^T) with eps = 0 and the gradient of <r, y> with respect to W.
struct Scaled {
  Tensor y, dw;
};
Scaled normalized_linear(const Tensor& w, const Tensor& u, const Tensor& r) {
  Variable weight(w, true), y = batch_norm(linear(Variable(u), weight), {.eps = 0});
  y.backward(r);
  return {y.value(), weight.grad()};
}

}  // namespace

TEST_CASE("batch norm case 05: the training gradients are the golden ones", "[batch_norm]") {
  BatchNorm1d bn(2);
  bn.to(DType::float64);
  check_golden(bn, {{-1.9494851500028278, 1.4747442972928346, .5, .25, 2.949485150002827, -.9747442972928343},
                    {.8164904572335094, .2551549184114194, -1.632990100001885, -.5103101238720144,
                     .8164996427683758, .2551552054605949},
                    {2.4494851500028276, -1.2247442972928344},
                    {4, 1}});
}

TEST_CASE("batch norm case 06: the eval gradients are the golden ones", "[batch_norm]") {
  BatchNorm1d bn(2);
  bn.to(DType::float64);
  set(bn.running_mean, f64({1, 2}));
  set(bn.running_var, f64({4, 9}));
  bn.eval();
  check_golden(bn,
               {{.5, .25, 2.4999975000046875, -1.0833325925932098, 4.499995000009375, -2.4166651851864196},
                {.9999987500023437, 0, 0, -.6666662962966049, 2.9999962500070314, .33333314814830245},
                {5.999992500014063, 0},
                {4, 1}});
}

TEST_CASE("batch norm case 09: with two values the gradient nearly vanishes", "[batch_norm]") {
  Variable x(f64({1, 3}, {2, 1}), true);
  batch_norm(x, {}).backward(f64({1, 0}, {2, 1}));
  CHECK(gap(x.grad(), {4.999925000854692e-06, -4.999925000854692e-06}) <= 1e-12);
}

TEST_CASE("batch norm case 41: the training gradient agrees with differences", "[batch_norm]") {
  check_result(gradcheck(function_of_xwb(true), xwb({4, 3, 2, 2}, 41), bounds), 54);
  check_result(gradcheck(function_of_xwb(true), xwb({4, 3}, 44), bounds), 18);
  check_result(gradcheck(function_of_xwb(true), xwb({4, 3, 2}, 47), bounds), 30);
}

TEST_CASE("batch norm case 42: the eval gradient agrees with differences", "[batch_norm]") {
  check_result(gradcheck(function_of_xwb(false), xwb({4, 3, 2, 2}, 42), bounds), 54);
  check_result(gradcheck(function_of_xwb(false), xwb({4, 3}, 45), bounds), 18);
  check_result(gradcheck(function_of_xwb(false), xwb({4, 3, 2}, 48), bounds), 30);
}

TEST_CASE("batch norm case 43: the second derivatives agree with differences", "[batch_norm]") {
  for (bool training : {true, false}) {
    INFO((training ? "training" : "eval"));
    // Inputs, weight, bias and the cotangent.
    check_result(gradgradcheck(function_of_xwb(training), xwb({4, 3, 2, 2}, 43), bounds), 54 + 48);
    check_result(gradgradcheck(function_of_xwb(training), xwb({4, 3}, 46), bounds), 18 + 12);
    check_result(gradgradcheck(function_of_xwb(training), xwb({4, 3, 2}, 49), bounds), 30 + 24);
  }
  // Without a weight.
  auto plain = [](const Variables& v) { return batch_norm(v[0], {}); };
  check_result(gradgradcheck(plain, {Variable(randn({4, 3}, 43), true)}, bounds), 24);
}

TEST_CASE("batch norm case 44: the gradient of x sums to zero over a channel", "[batch_norm]") {
  for (const Shape& shape : std::vector<Shape>{{32, 3}, {4, 3, 5}, {4, 3, 5, 5}}) {
    Variable x(randn(shape, 44), true);
    Tensor g = randn(shape, 45);
    batch_norm(x, {.weight = Variable(f64({2, -.5, 3}))}).backward(g);
    std::vector<int> dims;
    for (int i = 0; i < shape.rank(); ++i)
      if (i != 1) dims.push_back(i);
    CHECK(norm2(x.grad()) > .1 * norm2(g));
    CHECK(gap(sum(x.grad(), dims), {0, 0, 0}) <= 1e-12 * norm2(g));
  }
}

TEST_CASE("batch norm case 45: the gradient of x is orthogonal to the normalized x up to eps",
          "[batch_norm]") {
  for (double eps : {1e-5, .5}) {
    Tensor g = randn({32, 3}, 45), weight = f64({2, -.5, 3});
    Variable x(randn({32, 3}, 46), true), gamma(weight, true);
    batch_norm(x, {.weight = gamma, .eps = eps}).backward(g);
    Reference r = reference({.x = x.value(), .weight = weight, .g = g, .eps = eps});
    Tensor dot = sum(mul(x.grad(), f64(r.xhat, {32, 3})), {0});
    std::vector<double> want;
    for (size_t c = 0; c < 3; ++c) {
      double v = r.biased[c], s = 1 / std::sqrt(v + eps);
      want.push_back(weight.to_vector()[c] * s * gamma.grad().to_vector()[c] * eps / (v + eps));
    }
    CHECK(gap(dot, want) <= 1e-12);
  }
}

TEST_CASE("batch norm case 46: scaling the input changes nothing when eps is 0", "[batch_norm]") {
  for (const Shape& shape : std::vector<Shape>{{16, 3}, {4, 3, 5, 5}}) {
    Tensor x = randn(shape, 46);
    Variable y = batch_norm(Variable(x), {.eps = 0});
    CHECK(gap(batch_norm(Variable(scale(x, 10)), {.eps = 0}), y.value().to_vector()) <= 1e-12);
    CHECK(gap(batch_norm(Variable(scale(x, -10)), {.eps = 0}), scale(y.value(), -1).to_vector()) <= 1e-12);
  }
}

TEST_CASE("batch norm case 47: scaling the weights before it divides their gradient", "[batch_norm]") {
  Tensor w = randn({3, 4}, 47), u = randn({10, 4}, 48), r = randn({10, 3}, 49);
  Scaled one = normalized_linear(w, u, r);
  CHECK(norm2(one.dw) > .1);
  for (double a : {10.0, .3}) {
    Scaled scaled = normalized_linear(scale(w, a), u, r);
    CHECK(max_abs_difference(scaled.y, one.y) <= 1e-12);
    CHECK(max_abs_difference(scaled.dw, scale(one.dw, 1 / a)) <= 1e-12);
  }
}

TEST_CASE("batch norm case 48: the gradient of the weights before it is orthogonal to them", "[batch_norm]") {
  Tensor w = randn({3, 4}, 48), u = randn({10, 4}, 49), r = randn({10, 3}, 50);
  Tensor dw = normalized_linear(w, u, r).dw;
  // Row by row, as each output is normalized by itself.
  CHECK(norm2(dw) > .1);
  CHECK(gap(sum(mul(w, dw), {1}), {0, 0, 0}) <= 1e-12);
}

TEST_CASE("batch norm case 49: the bias of a convolution before it has no gradient", "[batch_norm]") {
  Conv2d conv(2, 3, {.kernel = 3, .padding = 1});
  BatchNorm2d bn(3);
  conv.to(DType::float64);
  bn.to(DType::float64);
  randomize(bn, 49);
  Variable y = bn(conv(Variable(randn({4, 2, 5, 5}, 49))));
  y.backward(randn(y.shape(), 50));
  CHECK(norm2(conv.weight.grad()) > .1);
  CHECK(gap(conv.bias.grad(), {0, 0, 0}) <= 1e-12);
  // In eval it has one.
  conv.zero_grad();
  bn.eval();
  y = bn(conv(Variable(randn({4, 2, 5, 5}, 49))));
  y.backward(randn(y.shape(), 50));
  CHECK(norm2(conv.bias.grad()) > .1);
}

TEST_CASE("batch norm case 52: two backward passes add up and two halves are not the whole batch",
          "[batch_norm]") {
  Linear lin(4, 3);
  BatchNorm1d bn(3);
  lin.to(DType::float64);
  bn.to(DType::float64);
  randomize(bn, 52);
  Tensor x = randn({8, 4}, 52), r = randn({8, 3}, 53);
  auto backward = [&](int64_t start, int64_t length) {
    bn(lin(Variable(slice(x, 0, start, length)))).backward(slice(r, 0, start, length));
  };
  backward(0, 8);
  Tensor whole = lin.weight.grad().clone(), dgamma = bn.weight.grad().clone();
  backward(0, 8);
  CHECK(identical(lin.weight.grad(), scale(whole, 2)));
  CHECK(identical(bn.weight.grad(), scale(dgamma, 2)));
  lin.zero_grad();
  bn.zero_grad();
  backward(0, 4);
  backward(4, 4);
  // Each half is normalized by its own statistics; only the bias's gradient does not see them.
  CHECK(norm2(sub(lin.weight.grad(), whole)) / norm2(whole) > .01);
  CHECK(gap(bn.bias.grad(), sum(r, {0}).to_vector()) <= 1e-12);
}

TEST_CASE("batch norm case 53: a second backward pass needs the graph to be retained", "[batch_norm]") {
  Tensor g = randn({6, 3}, 53);
  Variable x(randn({6, 3}, 54), true), y = batch_norm(x, {});
  y.backward(g);
  Tensor once = x.grad().clone();
  CHECK_THAT(error_of([&] { y.backward(g); }), Contains("already released"));
  CHECK(identical(x.grad(), once));
  x.zero_grad();
  y = batch_norm(x, {});
  y.backward(g, {.retain_graph = true});
  y.backward(g);
  CHECK(identical(x.grad(), scale(once, 2)));
}

TEST_CASE("batch norm case 54: the backward pass of eval uses the statistics its forward pass saw",
          "[batch_norm]") {
  // PyTorch issue 13402: there a training step in between changes the gradient silently.
  BatchNorm1d bn(2);
  bn.to(DType::float64);
  bn.eval();
  Tensor g = randn({5, 2}, 54), data = randn({5, 2}, 55);
  Variable x(data, true), y = bn(x);
  bn.train();
  bn(Variable(scale(randn({5, 2}, 56), 30)));
  REQUIRE(bn.running_var.value().at({0}) > 2);
  y.backward(g);
  CHECK(gap(x.grad(), scale(g, 1 / std::sqrt(1 + 1e-5)).to_vector()) <= 1e-12);
  CHECK(gap(bn.weight.grad(), scale(sum(mul(g, data), {0}), 1 / std::sqrt(1 + 1e-5)).to_vector()) <= 1e-12);
}
