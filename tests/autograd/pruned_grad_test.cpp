// grad(outputs, inputs) computes only what leads to the inputs; Variables that are undefined, and passes that
// throw, end in an error and leave everything usable.
#include "autograd/node.h"
#include "autograd/ops.h"
#include "core/storage.h"
#include "layers/layers.h"
#include "tests/support/support.h"

using namespace sigma;
using test::error_of;
using test::randn;

namespace {

struct Counts {
  int runs = 0, first = 0, second = 0;
};
// a * b, which counts what of its backward pass runs.
Variable counted(const Variable& a, const Variable& b, Counts& counts) {
  return record("counted", mul(a.value(), b.value()), {a, b},
                [ta = a.value(), tb = b.value(), &counts](const Variables& g, const Node& self) -> Variables {
                  ++counts.runs;
                  Variable da, db;
                  if (self.needs(0)) {
                    ++counts.first;
                    da = mul(g[0], Variable(tb));
                  }
                  if (self.needs(1)) {
                    ++counts.second;
                    db = mul(g[0], Variable(ta));
                  }
                  return {da, db};
                });
}
Variable leaf(uint64_t seed) { return Variable(randn({3}, seed), true); }

}  // namespace

// grad(loss, x) of a network computed the gradient of every weight too and threw it away.
TEST_CASE("the gradient of one input runs nothing beside the way to it", "[autograd]") {
  Variable x = leaf(1), w = leaf(2), other = leaf(3);
  Counts way, beside;
  Variable y = sum(counted(x, w, way) + counted(other, other, beside));
  Variables g = grad({y}, {x}, {}, {.retain_graph = true});
  CHECK(identical(g[0].value(), w.value()));
  CHECK(way.runs == 1);
  CHECK(way.first == 1);
  CHECK(way.second == 0);
  CHECK(beside.runs == 0);

  grad({y}, {w, other}, {}, {.retain_graph = true});
  CHECK(way.runs == 2);
  CHECK(way.first == 1);
  CHECK(way.second == 1);
  CHECK(beside.runs == 1);

  y.backward();  // what was beside the way has not been released
  CHECK(way.first == 2);
  CHECK(way.second == 2);
  CHECK(identical(x.grad(), w.value()));
}

TEST_CASE("an intermediate result is reached without running what computed it", "[autograd]") {
  Variable x = leaf(1), w = leaf(2);
  Counts below, above;
  Variable h = counted(x, w, below), y = sum(counted(h, h, above));
  Variables g = grad({y}, {h}, {}, {.retain_graph = true});
  CHECK(identical(g[0].value(), scale(h.value(), 2)));
  CHECK(above.runs == 1);
  CHECK(below.runs == 0);
  g = grad({y}, {h, x}, {}, {.retain_graph = true});  // both, one below the other
  CHECK(identical(g[0].value(), scale(h.value(), 2)));
  CHECK(identical(g[1].value(), mul(scale(h.value(), 2), w.value())));
  CHECK(below.first == 1);
  CHECK(below.second == 0);
}

TEST_CASE("pruned gradients are the unpruned ones, and can be differentiated again", "[autograd]") {
  Variable x = leaf(1), w = leaf(2);
  Variable y = sum(exp(mul(x, w)) + pow(x, 3) * log(w * w));
  Variables both = grad({y}, {x, w}, {}, {.retain_graph = true});
  for (int i : {0, 1}) {
    Variables alone = grad({y}, {i ? w : x}, {}, {.retain_graph = true});
    CHECK(identical(alone[0].value(), both[static_cast<size_t>(i)].value()));
  }
  Variable dx = grad({y}, {x}, {}, {.create_graph = true})[0];
  Variable mixed = grad({sum(dx)}, {w})[0];  // d2y/dxdw = e^xw (1 + xw) + 6 x^2 / w
  for (int64_t i = 0; i < 3; ++i) {
    const double a = x.value().at({i}), b = w.value().at({i});
    CHECK(mixed.value().at({i}) == Approx(std::exp(a * b) * (1 + a * b) + 6 * a * a / b).epsilon(1e-12));
  }
}

TEST_CASE("a convolution asked for its input's gradient alone computes no weight's", "[autograd]") {
  Conv2d conv(64, 512, {.kernel = 3});  // weights of 1.2 MB, images of a few kB
  Variable x(randn({1, 64, 3, 3}, 1, DType::float32), true);
  Variable y = sum(conv(x));
  const size_t before = pool_stats().in_use;
  auto peak_of = [&](const Variables& inputs) {
    reset_pool_peak();
    grad({y}, inputs, {}, {.retain_graph = true});
    return pool_stats().peak - before;
  };
  CHECK(peak_of({x}) < conv.weight.value().bytes());
  CHECK(peak_of({conv.weight}) >= conv.weight.value().bytes());
}

TEST_CASE("an undefined Variable answers with an error", "[autograd]") {
  const Variable none;
  Variable assigned;
  const std::function<void()> uses[] = {[&] { none.value(); },
                                        [&] { none.shape(); },
                                        [&] { none.dim(0); },
                                        [&] { none.rank(); },
                                        [&] { none.numel(); },
                                        [&] { none.dtype(); },
                                        [&] { none.item(); },
                                        [&] { none.grad(); },
                                        [&] { none.is_leaf(); },
                                        [&] { none.detach(); },
                                        [&] { assigned.zero_grad(); },
                                        [&] { assigned.set_grad(Tensor()); },
                                        [&] { assigned.set_requires_grad(true); },
                                        [&] { assigned.mutable_value(); },
                                        [&] { none + none; },
                                        [&] { none + 1.0; },
                                        [&] { sum(none); },
                                        [&] { Linear(2, 2, {.bias = false}).bias.value(); },
                                        [&] { grad({none}, {leaf(1)}); }};
  for (const auto& use : uses) CHECK(error_of(use).find("undefined") != std::string::npos);
  CHECK(error_of([&] { none.backward(); }) != "");
  CHECK(error_of([&] { grad({leaf(1)}, {none}); }) != "");
  CHECK(error_of([&] { none.register_hook([](const Tensor&) {}); }) != "");
  CHECK_FALSE(none.requires_grad());
}

TEST_CASE("an undefined Tensor answers with an error", "[tensor]") {
  Tensor none;
  const Tensor one = Tensor::ones({1});
  const std::function<void()> uses[] = {[&] { none.raw(); },
                                        [&] { none.mutable_raw(); },
                                        [&] { none.clone(); },
                                        [&] { none.reshape({0}); },
                                        [&] { none.item(); },
                                        [&] { none.at({}); },
                                        [&] { none.fill_(1); },
                                        [&] { none.to_vector(); },
                                        [&] { none.to(DType::float64); },
                                        [&] { none.copy_(Tensor::scalar(1)); },
                                        [&] { add(none, none); },
                                        [&] { mul(none, one); },
                                        [&] { exp(none); },
                                        [&] { sum(none); },
                                        [&] { amax(none); },
                                        [&] { eq(none, none); },
                                        [&] { where(one.to(DType::uint8), none, none); },
                                        [&] { gather(none, 0, Tensor::arange(1)); },
                                        [&] { softmax(none, 0); },
                                        [&] { identical(none, none); }};
  for (const auto& use : uses) CHECK(error_of(use) != "");
}

TEST_CASE("a hook that throws changes no gradient, and the next pass works", "[autograd]") {
  Variable a = leaf(1), b = leaf(2);
  bool angry = true;
  b.register_hook([&](const Tensor&) {
    if (angry) throw std::runtime_error("no");
  });
  auto pass = [&] { sum(a * b).backward(); };
  CHECK_THROWS_AS(pass(), std::runtime_error);
  CHECK_FALSE(a.grad().defined());
  CHECK_FALSE(b.grad().defined());
  CHECK(grad_enabled());
  angry = false;
  pass();
  CHECK(identical(a.grad(), b.value()));
  CHECK(identical(b.grad(), a.value()));
}

TEST_CASE("a backward that throws changes no gradient, and the next pass works", "[autograd]") {
  Variable a = leaf(1);
  bool angry = true;
  auto pass = [&] {
    Variable y =
        record("angry", a.value().clone(), {a}, [&](const Variables& g, const Node& self) -> Variables {
          if (angry) fail(ErrorKind::internal, self.name, "no");
          return {g[0]};
        });
    sum(y * y).backward();
  };
  CHECK_THROWS_AS(pass(), Error);
  CHECK_FALSE(a.grad().defined());
  CHECK(grad_enabled());
  angry = false;
  pass();
  CHECK(identical(a.grad(), scale(a.value(), 2)));
}
