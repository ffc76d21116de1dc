// The tape: what it computes, when it refuses, and how it is built and torn down.
#include <atomic>
#include <thread>

#include "autograd/gradcheck.h"
#include "autograd/node.h"
#include "autograd/ops.h"
#include "core/math.h"
#include "layers/layers.h"
#include "tests/support/support.h"

using namespace sigma;
using test::error_of;
using test::randn;

namespace {

Variable leaf(const std::vector<double>& values) {
  return Variable(Tensor::from<double>(values, {static_cast<int64_t>(values.size())}), true);
}
bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}
std::vector<double> ones(size_t n, double value = 1) { return std::vector<double>(n, value); }

// Values of magnitude 0.5 to 2 and positive, away from every kink and pole.
Tensor away(const Shape& shape, uint64_t seed, bool positive) {
  Tensor t = Tensor::empty(shape, DType::float64);
  Rng rng(seed, "away");
  double* p = t.mutable_data<double>();
  for (int64_t i = 0; i < t.numel(); ++i)
    p[i] = rng.next_uniform(0.5, 2) * (!positive && rng.next_uniform() < 0.5 ? -1 : 1);
  return t;
}

// A function of ops.h and the shapes that it is checked on.
struct Case {
  const char* name;
  VariableFunction fn;
  std::vector<Shape> inputs;
  bool positive = false;
};
using V = const Variables&;

std::vector<Case> pointwise() {
  return {{"add", [](V v) { return v[0] + v[1]; }, {{2, 3}, {2, 3}}},
          {"add broadcast", [](V v) { return v[0] + v[1]; }, {{2, 1, 3}, {4, 1}}},
          {"sub", [](V v) { return v[0] - v[1]; }, {{2, 3}, {3}}},
          {"mul", [](V v) { return v[0] * v[1]; }, {{2, 3}, {2, 1}}},
          {"mul by itself", [](V v) { return v[0] * v[0]; }, {{2, 3}}},
          {"div", [](V v) { return v[0] / v[1]; }, {{2, 3}, {3}}},
          {"div broadcast", [](V v) { return v[0] / v[1]; }, {{}, {2, 2}}},
          {"scale", [](V v) { return v[0] * -2.5; }, {{2, 3}}},
          {"add_scalar", [](V v) { return add_scalar(v[0], 3); }, {{2, 3}}},
          {"neg", [](V v) { return -v[0]; }, {{4}}},
          {"exp", [](V v) { return exp(v[0]); }, {{2, 3}}},
          {"log", [](V v) { return log(v[0]); }, {{2, 3}}, true},
          {"sqrt", [](V v) { return sqrt(v[0]); }, {{2, 3}}, true},
          {"abs", [](V v) { return abs(v[0]); }, {{2, 3}}},
          {"pow 3", [](V v) { return pow(v[0], 3); }, {{2, 3}}},
          {"pow -0.5", [](V v) { return pow(v[0], -0.5); }, {{2, 3}}, true},
          {"pow 0", [](V v) { return pow(v[0], 0) * v[0]; }, {{3}}}};
}

std::vector<Case> products() {
  return {{"matmul", [](V v) { return matmul(v[0], v[1]); }, {{2, 3}, {3, 4}}},
          {"matmul batched", [](V v) { return matmul(v[0], v[1]); }, {{2, 2, 3}, {2, 3, 2}}},
          {"matmul 3-D by 2-D", [](V v) { return matmul(v[0], v[1]); }, {{2, 2, 3}, {3, 2}}},
          {"matmul 2-D by 3-D", [](V v) { return matmul(v[0], v[1]); }, {{2, 3}, {2, 3, 2}}},
          {"linear", [](V v) { return linear(v[0], v[1], v[2]); }, {{3, 2}, {4, 2}, {4}}}};
}

std::vector<Case> shapes() {
  return {{"transpose", [](V v) { return transpose(v[0], 0, -1); }, {{2, 3, 2}}},
          {"permute",
           [](V v) {
             return permute(v[0], {2, 0, -2});
           },
           {{2, 3, 4}}},
          {"reshape",
           [](V v) {
             return reshape(v[0], {3, 2});
           },
           {{2, 3}}},
          {"sum", [](V v) { return sum(v[0]); }, {{2, 3}}},
          {"sum of two dimensions",
           [](V v) {
             return sum(v[0], {0, -1});
           },
           {{2, 3, 2}}},
          {"sum keepdim", [](V v) { return sum(v[0], {1}, true); }, {{2, 3}}},
          {"mean", [](V v) { return mean(v[0]); }, {{2, 3}}},
          {"mean of a dimension", [](V v) { return mean(v[0], {-2}); }, {{2, 3, 2}}},
          {"broadcast_to",
           [](V v) {
             return broadcast_to(v[0], {2, 3, 4});
           },
           {{3, 1}}},
          {"sum_to",
           [](V v) {
             return sum_to(v[0], {3, 1});
           },
           {{2, 3, 2}}},
          {"slice", [](V v) { return slice(v[0], 1, 1, 2); }, {{2, 4}}},
          {"cat",
           [](V v) {
             return cat({v[0], v[1], v[0]}, -1);
           },
           {{2, 1}, {2, 3}}}};
}

// First and second derivatives.
void check_gradients(const Case& c) {
  INFO(c.name);
  Variables inputs;
  for (size_t i = 0; i < c.inputs.size(); ++i) inputs.emplace_back(away(c.inputs[i], i, c.positive), true);
  GradcheckResult first = gradcheck(c.fn, inputs);
  INFO(first.message);
  CHECK(first.passed);
  CHECK(first.checked > 0);
  CHECK(first.largest_gradient > 0.05);
  // Squared and cubed, so that functions whose own second derivative is zero still have one to check.
  auto curved = [&](V v) {
    Variable y = c.fn(v);
    return y * y * y;
  };
  GradcheckResult second = gradgradcheck(curved, inputs, {.rtol = 1e-5});
  INFO(second.message);
  CHECK(second.passed);
  CHECK(second.largest_gradient > 0.01);
}

}  // namespace

TEST_CASE("every function of ops.h passes the first and second gradient check", "[autograd]") {
  for (const auto& subject : {pointwise(), products(), shapes()})
    for (const Case& c : subject) check_gradients(c);
}

TEST_CASE("gradients of powers at zero are numbers, to any order", "[autograd]") {
  for (double exponent : {0.0, 1.0, 2.0}) {
    Variable x = leaf({0}), y = sum(pow(x, exponent));
    const double derivatives[3][3] = {{0, 0, 0}, {1, 0, 0}, {0, 2, 0}};
    for (int order = 0; order < 3; ++order) {
      y = grad({sum(y)}, {x}, {}, {.create_graph = true, .allow_unused = true})[0];
      INFO("exponent " << exponent << " order " << order + 1);
      if (!y.defined()) break;
      CHECK(y.item() == derivatives[static_cast<int>(exponent)][order]);
      if (!y.requires_grad()) break;
    }
  }
}

TEST_CASE("the gradient check catches a wrong backward pass and one that is not deterministic",
          "[autograd]") {
  Variable x(randn({3, 2}, 1), true);
  auto with_backward = [](BackwardFn fn) {
    return [fn](const Variables& v) { return record("square", mul(v[0].value(), v[0].value()), {v[0]}, fn); };
  };
  auto backward = [](double factor) {
    return [factor](const Variables& g, const Node& self) -> Variables {
      (void)self;
      return {scale(g[0], factor)};
    };
  };
  GradcheckResult r = gradcheck(with_backward(backward(2)), {x});
  CHECK_FALSE(r.passed);
  CHECK(r.worst > 1);
  CHECK(contains(r.message, "analytic"));
  // Wrong by one part in 10^5 only.
  auto nearly = [](const Variables& v) {
    return record("square", mul(v[0].value(), v[0].value()), {v[0]},
                  [x = v[0].value()](const Variables& g, const Node&) -> Variables {
                    return {Variable(scale(mul(g[0].value(), x), 2 * (1 + 1e-5)))};
                  });
  };
  CHECK_FALSE(gradcheck(nearly, {x}).passed);
  CHECK_FALSE(gradgradcheck(
                  [](const Variables& v) {
                    // Right in value, but its dependence on x is not recorded.
                    return record("square", mul(v[0].value(), v[0].value()), {v[0]},
                                  [x = v[0].value()](const Variables& g, const Node&) -> Variables {
                                    return {mul(g[0], Variable(scale(x, 2)))};
                                  });
                  },
                  {x})
                  .passed);
  auto counter = std::make_shared<int>(0);
  GradcheckResult unstable = gradcheck(with_backward([counter](const Variables& g, const Node&) -> Variables {
                                         return {scale(g[0], 2 + 1e-15 * ++*counter)};
                                       }),
                                       {x});
  CHECK_FALSE(unstable.passed);
  CHECK(contains(unstable.message, "different bits"));
  CHECK_FALSE(gradcheck(with_backward([](const Variables& g, const Node&) -> Variables {
                          return {scale(g[0], std::numeric_limits<double>::quiet_NaN())};
                        }),
                        {x})
                  .passed);
  CHECK_THROWS_AS(gradcheck([](const Variables& v) { return v[0]; }, {Variable(Tensor::ones({2}), true)}),
                  Error);
}

TEST_CASE("gradients accumulate over backward passes until they are cleared", "[autograd]") {
  Variable x = leaf({1, 2});
  sum(x * x).backward();
  CHECK(x.grad().to_vector() == std::vector<double>{2, 4});
  sum(x * 3).backward();
  CHECK(x.grad().to_vector() == std::vector<double>{5, 7});
  x.zero_grad();
  CHECK_FALSE(x.grad().defined());
  sum(x).backward();
  CHECK(x.grad().to_vector() == ones(2));
}

TEST_CASE("a value used along several paths gets the sum of their gradients", "[autograd]") {
  Variable x = leaf({3}), a = x * x, b = a * 2, c = a + x;  // d/dx (2 x^2 (x^2 + x)) = 8 x^3 + 6 x^2
  sum(b * c).backward();
  CHECK(x.grad().item() == 8 * 27 + 6 * 9);
  Variable y = leaf({1}), z = y;
  for (int i = 0; i < 40; ++i) z = z + z;  // 2^40 paths, visited once each node
  z.backward();
  CHECK(y.grad().item() == 0x1p40);
}

TEST_CASE("a graph runs once unless it is retained", "[autograd]") {
  Variable x = leaf({2}), y = sum(x * x);
  y.backward({}, {.retain_graph = true});
  y.backward({}, {.retain_graph = true});
  CHECK(x.grad().item() == 8);
  y.backward();
  std::string message = error_of([&] { y.backward(); });
  CHECK(contains(message, "sum"));
  CHECK(contains(message, "retain_graph"));
  CHECK(x.grad().item() == 12);
}

TEST_CASE("a saved tensor that was changed since is an error that names the function", "[autograd]") {
  Variable x = leaf({2}), w = leaf({5});
  Variable y = x * w, z = exp(x), r = relu(x);
  x.mutable_value().fill_(7);
  CHECK(contains(error_of([&] { y.backward(); }), "[mul]"));
  CHECK(contains(error_of([&] { z.backward(); }), "[exp]"));
  CHECK(contains(error_of([&] { z.backward(); }), "modified"));
  CHECK_NOTHROW(r.backward());  // ReLU saved its output, which is unharmed
  Variable image(randn({1, 2, 4, 4}, 1), true), weight(randn({2, 2, 3, 3}, 2), true);
  Variable c = conv2d(image, weight, {}, {});
  weight.mutable_value().fill_(1);
  // The saved copy of another layout does not see the change; in the same layout it is an error.
  Variable last(weight.value().to(Layout::channels_last).clone(), true), d = conv2d(image, last, {}, {});
  last.mutable_value().fill_(2);
  CHECK(contains(error_of([&] { d.backward(randn(d.shape(), 3)); }), "[conv2d]"));
}

TEST_CASE("NoGrad switches recording off on this thread, within its scope", "[autograd]") {
  Variable x = leaf({2});
  CHECK(grad_enabled());
  {
    NoGrad off;
    CHECK_FALSE(grad_enabled());
    CHECK_FALSE((x * x).requires_grad());
    {
      NoGrad on(true);
      CHECK((x * x).requires_grad());
    }
    CHECK_FALSE(grad_enabled());
    bool other = false;
    std::thread([&] { other = grad_enabled(); }).join();
    CHECK(other);
  }
  CHECK((x * x).requires_grad());
  CHECK(contains(error_of([&] { (x.detach() * 2).backward(Tensor::ones({1}, DType::float64)); }),
                 "requires a gradient"));
}
