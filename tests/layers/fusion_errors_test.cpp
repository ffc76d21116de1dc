// What fused layers refuse, and that they say so in the words of the layers they stand for.
#include "core/math.h"
#include "layers/fused/functions.h"
#include "layers/layers.h"
#include "tests/support/support.h"

using namespace sigma;
using namespace sigma::test;
using sigma::test::Contains;

namespace {

template <class M, class... Args>
std::shared_ptr<M> make(Args&&... args) {
  return std::make_shared<M>(std::forward<Args>(args)...);
}

Variable input(const Shape& shape, bool gradient = false) {
  return Variable(randn(shape, 1, DType::float32), gradient);
}

// The message with fusion; that without must be the same.
std::string error_both_ways(const std::function<void()>& fn) {
  std::string fused = error_of(fn);
  NoFusion off;
  CHECK(error_of(fn) == fused);
  return fused;
}

}  // namespace

TEST_CASE("a body and a shortcut of different shapes are refused as such", "[fusion]") {
  std::vector<ModulePtr> chains = {
      ModulePtr(new Sequential{make<Conv2d>(3, 4), make<BatchNorm2d>(4)}),
      ModulePtr(new Sequential{make<Conv2d>(3, 4), make<BatchNorm2d>(4), make<ReLU>(),
                               make<Conv2d>(4, 4, Conv2dOptions{.padding = 1})}),
      ModulePtr(new Sequential{make<Conv2d>(3, 4), make<Sigmoid>(), make<BatchNorm2d>(4)})};
  for (const ModulePtr& chain : chains)
    for (const Shape& skip : {Shape{2, 4, 6, 6}, Shape{2, 3, 4, 4}, Shape{1, 4, 4, 4}}) {
      auto& children = chain->named_children();
      CHECK_THAT(
          error_both_ways([&] {
            run_chain(children, input({2, 3, 6, 6}), input(skip));
          }),
          Contains("[residual] body and shortcut give different shapes, (2, 4, 4, 4) and " + skip.str()));
    }
}

TEST_CASE("a body and a shortcut of different types are refused as such", "[fusion]") {
  // As in mixed precision, where a body gives bfloat16 and the input itself, as shortcut, may be float32.
  Sequential norm{make<Conv2d>(3, 4), make<BatchNorm2d>(4)}, conv{make<Conv2d>(3, 4)};
  Variable skip(randn({2, 4, 4, 4}, 2, DType::float64));
  for (Sequential* chain : {&norm, &conv}) {
    auto& children = chain->named_children();
    CHECK(error_both_ways([&] {
            run_chain(children, input({2, 3, 6, 6}), skip);
          }) == "[residual] body and shortcut give different types, float32 and float64");
  }
}

TEST_CASE("a skip is added to a chain on sequences", "[fusion]") {
  Sequential chain{make<BatchNorm1d>(3)};
  Variable x = input({4, 3, 5}), skip = input({4, 3, 5});
  auto run = [&] { return run_chain(chain.named_children(), x, skip).value(); };
  Tensor y = run();
  NoFusion off;
  CHECK(identical(y, run()));
}

TEST_CASE("fused layers refuse what they refuse one by one", "[fusion]") {
  Sequential net{make<Conv2d>(3, 4), make<BatchNorm2d>(4), make<ReLU>()};
  CHECK_THAT(error_both_ways([&] { net(input({2, 2, 5, 5})); }), Contains("[conv2d] 0: expected 3 channels"));
  CHECK_THAT(error_both_ways([&] { net(input({2, 3, 2, 5})); }), Contains("[conv2d] 0: the kernel spans"));
  CHECK_THAT(error_both_ways([&] {
               net(input({1, 3, 3, 3}));
             }),
             Contains("Expected more than 1 value per channel when training, got input size (1, 4, 1, 1)"));
  Sequential narrow{make<Conv2d>(3, 16), make<BatchNorm2d>(8), make<ReLU>()};
  CHECK_THAT(error_both_ways([&] {
               narrow(input({2, 3, 5, 5}));
             }),
             Contains("should contain 16 elements not 8"));
  Sequential bare{make<Conv2d>(3, 4),
                  make<BatchNorm2d>(8, BatchNormOptions{.affine = false, .track_running_stats = false})};
  CHECK_THAT(error_both_ways([&] {
               bare(input({2, 3, 5, 5}));
             }),
             Contains("[batch_norm] 1: expected 8 channels"));
  Sequential flat{make<Conv2d>(3, 4), make<BatchNorm1d>(4)};
  CHECK_THAT(error_both_ways([&] {
               flat(input({2, 3, 5, 5}));
             }),
             Contains("[batch_norm1d] 1: expected 2D or 3D input"));
  // A pass that failed has counted nothing.
  auto& bn = layer_as<BatchNorm2d>(net, "1");
  CHECK(bn.num_batches_tracked.item() == 0);
  CHECK(norm2(bn.running_mean.value()) == 0);
  // No images at all are no error.
  CHECK(net(input({0, 3, 5, 5})).shape() == Shape{0, 4, 3, 3});
}

TEST_CASE("differentiating a fused ReLU twice is refused, a norm alone is not", "[fusion]") {
  Sequential relu{make<BatchNorm2d>(3), make<ReLU>()},
      block{make<Conv2d>(3, 3), make<BatchNorm2d>(3), make<ReLU>()}, norm{make<BatchNorm2d>(3)};
  auto twice = [](Module& net) {
    Variable x = input({2, 3, 4, 4}, true), y = net(x);
    return grad({y}, {x}, {Variable(randn(y.shape(), 2, DType::float32))}, {.create_graph = true});
  };
  for (Sequential* net : {&relu, &block})
    CHECK(error_both_ways([&] { twice(*net); }) ==
          "[relu] this function can be differentiated once only; its backward pass is not recorded");
  CHECK(twice(norm)[0].requires_grad());
}

TEST_CASE("a bias changed before the backward pass of a fused ReLU is an error", "[fusion]") {
  // The mask is computed again from the bias: with another one it would be wrong.
  Sequential net{make<BatchNorm2d>(3), make<ReLU>()};
  auto& bn = layer_as<BatchNorm2d>(net, "0");
  Variable x = input({2, 3, 4, 4}, true), y = net(x);
  bn.bias.mutable_value().fill_(1);
  CHECK_THAT(error_of([&] { y.backward(Tensor::ones(y.shape())); }),
             Contains("[batch_norm] a tensor (3) saved for backward was modified since"));
}

// conv2d and linear could take a ReLU along and recorded their backward pass without its mask.
TEST_CASE("a fused ReLU without a mask for backward refuses where a gradient would be recorded",
          "[fusion][regression]") {
  Variable image = input({2, 3, 5, 5}), w = input({4, 3, 3, 3}), b = input({4}), rows = input({2, 3}),
           m = input({4, 3});
  Variable y = fused::conv2d_relu(image, w, b, {}), z = fused::linear_relu(rows, m, b);
  CHECK(identical(y.value(), relu(conv2d(image, w, b, {})).value()));
  CHECK(identical(z.value(), relu(linear(rows, m, b)).value()));
  for (Variable* v : {&image, &w, &b}) {
    v->set_requires_grad(true);
    CHECK_THAT(error_of([&] { fused::conv2d_relu(image, w, b, {}); }),
               Contains("[conv2d_relu] this function has no gradient"));
    {
      NoGrad off;
      CHECK(identical(fused::conv2d_relu(image, w, b, {}).value(), y.value()));
    }
    v->set_requires_grad(false);
  }
  for (Variable* v : {&rows, &m, &b}) {
    v->set_requires_grad(true);
    CHECK_THAT(error_of([&] { fused::linear_relu(rows, m, b); }), Contains("[linear_relu] this function"));
    v->set_requires_grad(false);
  }
  Variable skip = input({2, 3, 4, 5});
  CHECK_THAT(error_of([&] { fused::batch_norm_relu(image, skip, {}, {}); }),
             Contains("[batch_norm_relu] expected a skip of float32 (2, 3, 5, 5), got float32 (2, 3, 4, 5)"));
}
