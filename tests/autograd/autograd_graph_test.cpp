// The tape: hooks, long chains, derivatives of derivatives, and what is refused.
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

}  // namespace

TEST_CASE("hooks see complete gradients of leaves and intermediates", "[autograd]") {
  Variable x = leaf({3}), a = x * x;
  std::vector<double> of_x, of_a;
  x.register_hook([&](const Tensor& g) { of_x.push_back(g.item()); });
  a.register_hook([&](const Tensor& g) { of_a.push_back(g.item()); });
  Variable y = a * 2 + a * a;  // two paths into a: 2 + 2 a = 20
  y.backward({}, {.retain_graph = true});
  CHECK(of_a == std::vector<double>{20});
  CHECK(of_x == std::vector<double>{120});
  y.backward();
  CHECK(of_a == std::vector<double>{20, 20});
  CHECK(of_x == std::vector<double>{120, 120});  // this pass's gradient, not the accumulated one
  CHECK(x.grad().item() == 240);
  CHECK_THROWS_AS(x.detach().register_hook([](const Tensor&) {}), Error);
}

TEST_CASE("a chain of a million nodes is built, run and destroyed without deep recursion", "[autograd]") {
  // Recursion would overflow 8 MiB of stack with the smaller count as well: 80 bytes a node.
  const int small = 100000, n = kSanitized ? small : 1000000;
  Variable x = leaf({1});
  {
    Variable y = x;
    for (int i = 0; i < n; ++i) y = neg(y);
    y.backward();
    CHECK(x.grad().item() == 1);
    x.zero_grad();
  }
  {
    Variable y = x;  // never run: closures and inputs still in place when it is destroyed
    for (int i = 0; i < n; ++i) y = i % 2 ? y * x : y + x;
    CHECK(y.requires_grad());
  }
  Variable y = x;  // destroyed from within another graph's end
  for (int i = 0; i < small; ++i) y = y + x;
  Variable z = y * x;
  y = Variable();
  z.backward({}, {.retain_graph = true});
  CHECK(x.grad().item() == 2 * (small + 1));
}

TEST_CASE("derivatives of derivatives come out right", "[autograd]") {
  Variable x = leaf({1.5}), y = x;
  double expected = 1, power = 5;  // of x^5, five times
  y = sum(pow(x, 5));
  for (int order = 1; order <= 5; ++order) {
    expected *= power--;
    y = grad({y}, {x}, {}, {.create_graph = true})[0];
    CHECK(y.item() == Approx(expected * std::pow(1.5, power)).epsilon(1e-14));
  }
  CHECK_FALSE(x.grad().defined());  // grad() returns, it does not accumulate
  // A penalty on the gradient, trained through: L = |d(w x)/dx|^2 = w^2.
  Variable w = leaf({3}), u = leaf({2});
  Variable g = grad({sum(w * u)}, {u}, {}, {.create_graph = true})[0];
  sum(g * g).backward();
  CHECK(w.grad().item() == 6);
  CHECK_FALSE(u.grad().defined());
}

TEST_CASE("grad returns gradients of intermediates and says what is unused", "[autograd]") {
  Variable x = leaf({2}), unused = leaf({1}), a = x * x, y = a * a;
  Variables g = grad({y}, {a, x}, {}, {.retain_graph = true});
  CHECK(g[0].item() == 8);
  CHECK(g[1].item() == 32);
  CHECK(contains(error_of([&] { grad({y}, {x, unused}, {}, {.retain_graph = true}); }), "input 1"));
  Variables some = grad({y}, {x, unused}, {}, {.retain_graph = true, .allow_unused = true});
  CHECK(some[0].item() == 32);
  CHECK_FALSE(some[1].defined());
  Variables two = grad({y, a}, {x}, {Variable(), Variable(Tensor::from<double>({10}, {1}))});
  CHECK(two[0].item() == 32 + 40);
  CHECK_THROWS_AS(grad({y}, {x.detach()}), Error);
}

TEST_CASE("layers with kernels of their own refuse a second derivative by name", "[autograd]") {
  Variable image(randn({1, 2, 4, 4}, 1), true), weight(randn({2, 2, 3, 3}, 2), true);
  const std::pair<const char*, Variable> outputs[] = {{"conv2d", sum(conv2d(image, weight, {}, {}))},
                                                      {"relu", sum(relu(image))},
                                                      {"max_pool2d", sum(max_pool2d(image, {}))},
                                                      {"gelu", sum(gelu(image))}};
  for (auto& [name, y] : outputs) {
    std::string message;
    try {
      grad({y}, {image}, {}, {.create_graph = true});
      FAIL(name << " was differentiated");
    } catch (const Error& e) { message = e.what(); }
    CHECK(contains(message, fmt::format("[{}]", name)));
    CHECK(contains(message, "once"));
  }
}

TEST_CASE("detach cuts the graph and shares the value", "[autograd]") {
  Variable x = leaf({4}), cut = (x * x).detach();
  CHECK_FALSE(cut.requires_grad());
  CHECK(cut.is_leaf());
  sum(cut * x).backward();
  CHECK(x.grad().item() == 16);
  CHECK(x.detach().value().shares_storage(x.value()));
}

TEST_CASE("seeds and gradients of the wrong shape are refused", "[autograd]") {
  Variable x = leaf({1, 2}), y = x * x;
  CHECK(contains(error_of([&] { y.backward(); }), "pass a seed"));
  std::string message = error_of([&] { y.backward(Tensor::ones({3}, DType::float64)); });
  CHECK(contains(message, "(2)"));
  CHECK(contains(message, "(3)"));
  CHECK_FALSE(x.grad().defined());
  y.backward(Tensor::from<double>({10, 100}, {2}));
  CHECK(x.grad().to_vector() == std::vector<double>{20, 400});
  auto bad_shape = record("odd", x.value(), {x}, [](const Variables&, const Node&) -> Variables {
    return {Variable(Tensor::ones({5}, DType::float64))};
  });
  CHECK(contains(error_of([&] { sum(bad_shape).backward(); }), "(5)"));
  auto bad_count = record("many", x.value(), {x}, [](const Variables& g, const Node&) -> Variables {
    return {g[0], g[0]};
  });
  CHECK(contains(error_of([&] { sum(bad_count).backward(); }),
                 "[many] backward gave 2 gradients for 1 inputs"));
  CHECK_THROWS_AS(Variable(Tensor::zeros({2}, DType::int64), true), Error);
  CHECK_THROWS_AS(y.set_requires_grad(true), Error);
}

TEST_CASE("functions of several outputs get a gradient each, or none", "[autograd]") {
  Variable x = leaf({5, 7});
  Variables parts = record_many(
      "halves", {slice(x.value(), 0, 0, 1), slice(x.value(), 0, 1, 1)}, {x},
      [](const Variables& g, const Node& self) -> Variables {
        Tensor zero = Tensor::zeros({1}, self.dtype);
        return {cat({g[0].defined() ? g[0] : Variable(zero), g[1].defined() ? g[1] : Variable(zero)}, 0)};
      });
  sum(parts[1] * 3).backward({}, {.retain_graph = true});
  CHECK(x.grad().to_vector() == std::vector<double>{0, 3});
  sum(parts[0] * parts[1]).backward();
  CHECK(x.grad().to_vector() == std::vector<double>{7, 8});
}

TEST_CASE("what needs no gradient is not computed", "[autograd]") {
  Variable image(randn({2, 2, 4, 4}, 1)), weight(randn({2, 2, 3, 3}, 2), true), bias(randn({2}, 3), true);
  Variable y = conv2d(image, weight, bias, {});
  const Node& node = *y.state()->grad_fn;
  CHECK_FALSE(node.needs(0));
  NoGrad off;
  Variables g = node.backward({Variable(randn(y.shape(), 4))}, node);
  CHECK_FALSE(g[0].defined());
  CHECK(g[1].defined());
  CHECK(g[2].defined());
  Variable asked = [&] {
    NoGrad on(true);
    return conv2d(Variable(image.value(), true), weight.detach(), {}, {});
  }();
  const Node& other = *asked.state()->grad_fn;
  Variables h = other.backward({Variable(randn(asked.shape(), 4))}, other);
  CHECK(h[0].defined());
  CHECK_FALSE(h[1].defined());
  CHECK_FALSE(h[2].defined());
}

TEST_CASE("eval mode still gives gradients and NoGrad still trains statistics", "[autograd]") {
  Sequential net{std::make_shared<Conv2d>(2, 3), std::make_shared<BatchNorm2d>(3), std::make_shared<ReLU>()};
  net.eval();
  Variable x(randn({2, 2, 5, 5}, 1, DType::float32), true), y = net(x);
  y.backward(randn(y.shape(), 2, DType::float32));
  CHECK(norm2(x.grad()) > 0);
  for (auto& [name, p] : net.named_parameters()) {
    INFO(name);
    CHECK(p.grad().defined());
  }
  net.train();
  Tensor before = net.named_buffers()[0].second.value().clone();
  NoGrad off;
  CHECK_FALSE(net(x).requires_grad());
  CHECK_FALSE(identical(net.named_buffers()[0].second.value(), before));
}

TEST_CASE("the gradient of a leaf has the leaf's layout and survives what the seed goes through",
          "[autograd]") {
  Variable a(randn({2, 3, 2, 2}, 1).to(Layout::channels_last), true), b(randn({2, 3, 2, 2}, 2), true);
  Tensor seed = randn({2, 3, 2, 2}, 3);
  add(a, b).backward(seed);
  CHECK(a.grad().layout() == Layout::channels_last);
  CHECK(b.grad().layout() == Layout::contiguous);
  CHECK(identical(a.grad(), seed));
  CHECK(identical(b.grad(), seed));
}
