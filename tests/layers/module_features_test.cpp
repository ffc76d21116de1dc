// Modules of several inputs, frozen ones, shared ones, saved ones; errors that name the layer; hooks and
// checks that leave nothing behind.
#include <filesystem>
#include <fstream>

#include "core/math.h"
#include "layers/checks.h"
#include "layers/layers.h"
#include "optim/sgd.h"
#include "tests/support/support.h"

using namespace sigma;
using namespace sigma::test;
using sigma::test::Contains;

namespace {

// a W^T + b V^T.
struct TwoInputs : Module {
  std::shared_ptr<Linear> left = register_module("left", std::make_shared<Linear>(3, 4)),
                          right = register_module("right", std::make_shared<Linear>(5, 4));
  Variable forward_inputs(const Variables& x) override {
    SIGMA_CHECK(x.size() == 2, "two_inputs", "expected 2 inputs, got {}", x.size());
    return (*left)(x[0]) + (*right)(x[1]);
  }
  std::string kind() const override { return "TwoInputs"; }
};

Variable input(const Shape& shape, uint64_t seed = 1) { return Variable(randn(shape, seed, DType::float32)); }

std::shared_ptr<Sequential> norm_net() {
  auto net = std::make_shared<Sequential>();
  net->add<Linear>("fc1", 4, 6);
  net->add<BatchNorm1d>("bn", 6);
  net->add<Dropout>("drop", DropoutOptions{.p = 0.5});
  net->add<Linear>("fc2", 6, 3);
  initialize(*net, 2);
  return net;
}

}  // namespace

TEST_CASE("a module of several inputs is called with them and trains", "[module]") {
  TwoInputs m;
  Variable a = input({2, 3}), b = input({2, 5}, 2), y = m(a, b);
  CHECK(y.shape() == Shape{2, 4});
  CHECK(identical(m(Variables{a, b}).value(), y.value()));
  sum(y).backward();
  CHECK(m.left->weight.grad().defined());
  CHECK(m.right->weight.grad().defined());
  int seen = 0;
  {
    ScopedHooks hooks;
    hooks.add(m, [&](const Module&, const Variable& in, const Variable& out) {
      CHECK(identical(in.value(), a.value()));
      CHECK(identical(out.value(), y.value()));
      ++seen;
    });
    m(a, b);
  }
  m(a, b);
  CHECK(seen == 1);
  CHECK(error_of([&] { m(a); }) == "[TwoInputs] expected several inputs, got 1");
  CHECK(error_of([&] { m(a, b, a); }) == "[two_inputs] expected 2 inputs, got 3");
  Linear fc(3, 4);
  CHECK(error_of([&] { fc(a, b); }) == "[Linear] expected 1 input, got 2");
  CHECK(identical(fc(Variables{a}).value(), fc(a).value()));
}

TEST_CASE("frozen layers get no gradient and their statistics keep every bit", "[module]") {
  auto net = norm_net();
  net->find("bn")->freeze();
  net->find("fc1")->freeze();
  StateDict before = copy_of(*net);
  net->train();
  CHECK(net->is_training());
  CHECK(net->find("drop")->is_training());
  CHECK_FALSE(net->find("bn")->is_training());
  SGD sgd(net->parameters(), {.lr = 0.1, .weight_decay = 0.1});
  sum((*net)(input({8, 4}))).backward();
  sgd.step();
  for (auto& [name, p] : net->named_parameters()) CHECK(p.grad().defined() == (name.rfind("fc2", 0) == 0));
  for (auto& [name, t] : net->state_dict().items)
    CHECK(identical(t, *before.find(name)) == (name.rfind("fc2", 0) != 0));
  // Measuring statistics anew leaves frozen ones alone.
  int64_t batches = 1;
  update_bn(*net, [&] { return batches-- ? input({8, 4}, 3) : Variable(); });
  CHECK(identical(*net->state_dict().find("bn.running_mean"), *before.find("bn.running_mean")));
  net->find("bn")->freeze(false);
  net->train();
  (*net)(input({8, 4}));
  CHECK_FALSE(identical(*net->state_dict().find("bn.running_mean"), *before.find("bn.running_mean")));
  net->requires_grad_(false);
  CHECK_FALSE((*net)(input({8, 4})).requires_grad());
  net->requires_grad_(true);
  CHECK((*net)(input({8, 4})).requires_grad());
}

// A module under two names had its parameters twice: a double step, and a data race in it.
TEST_CASE("a module under two names is stepped once and saved under both", "[module][regression]") {
  auto shared = std::make_shared<Linear>(3, 3);
  Sequential net;
  net.append("encoder", shared).append("relu", std::make_shared<ReLU>()).append("decoder", shared);
  initialize(net, 1);
  CHECK(net.parameters().size() == 2);
  CHECK(net.named_parameters()[0].first == "encoder.weight");
  CHECK(net.parameter_count() == 12);
  std::vector<std::string> names;
  for (auto& [name, t] : net.state_dict().items) names.push_back(name);
  CHECK(names ==
        std::vector<std::string>{"encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias"});
  CHECK(net.find("decoder") == shared.get());
  CHECK(split_decay(net).decay.size() == 1);
  Tensor before = shared->weight.value().clone();
  sum(net(input({2, 3}))).backward();
  Tensor gradient = shared->weight.grad().clone();
  SGD sgd(net.parameters(), {.lr = 0.5});
  sgd.step();
  CHECK(identical(shared->weight.value(), sub(before, scale(gradient, 0.5))));
  // Initial values are those of the first name.
  Linear alone(3, 3);
  Sequential first;
  first.append("encoder", std::make_shared<Linear>(3, 3));
  initialize(net, 7);
  initialize(first, 7);
  CHECK(identical(*net.state_dict().find("decoder.weight"), *first.state_dict().find("encoder.weight")));
  StateDict missing = copy_of(net);
  missing.items.pop_back();
  CHECK_THAT(error_of([&] { net.load_state_dict(missing); }), Contains("missing decoder.bias"));
  // A compressed layer is compressed wherever it is.
  apply_factors(net, {{"encoder", FactorScheme::linear, 2}}, true);
  CHECK(net.find("encoder") == net.find("decoder"));
  CHECK(net.parameter_count() == 2 * 6 + 3);
  auto parent = std::make_shared<Sequential>();
  parent->append("self", std::make_shared<ReLU>());
  CHECK_THAT(error_of([&] {
               auto child = std::make_shared<Sequential>();
               child->append("parent", parent);
               parent->append("child", child);
             }),
             Contains("has its parent among its own children"));
}

TEST_CASE("weights that two layers share are one parameter with two names", "[module]") {
  auto first = std::make_shared<Linear>(3, 3);
  auto second = std::make_shared<Linear>(first->weight);  // a bias of its own it has none
  Sequential net{first, second};
  CHECK(net.parameters().size() == 2);
  CHECK(net.state_dict().items.size() == 3);
  sum(net(input({2, 3}))).backward();
  Tensor both = first->weight.grad().clone();
  CHECK(identical(both, second->weight.grad()));
  net.to(DType::float64);
  CHECK(second->weight.dtype() == DType::float64);
  CHECK(second->weight.state() == first->weight.state());
  CHECK_THAT(error_of([&] { Linear(input({3})); }), Contains("[linear] expected weights (out, in)"));
  CHECK_THAT(error_of([&] { Linear(first->weight, input({4})); }), Contains("[linear] expected a bias of 3"));
}

TEST_CASE("a saved module is read back to the bit, and a file that does not fit changes nothing",
          "[module]") {
  TemporaryFolder folder;
  const std::string path = (folder / "net.safetensors").string();
  auto a = norm_net(), b = norm_net();
  (*a)(input({8, 4}));
  initialize(*b, 9);
  save(*a, path);
  load(*b, path);
  for (auto& [name, t] : b->state_dict().items) CHECK(identical(t, *a->state_dict().find(name)));
  b->to(DType::float64);
  load(*b, path);
  CHECK(b->state_dict().find("fc1.weight")->dtype() == DType::float64);
  Sequential other{std::make_shared<Linear>(4, 6)};
  StateDict before = copy_of(other);
  CHECK_THAT(error_of([&] { load(other, path); }),
             Contains(path) && Contains("missing 0.weight") && Contains("unknown fc1.weight"));
  CHECK_THAT(error_of([&] { load(other, (folder / "none").string()); }), Contains("none"));
  {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-3, std::ios::end);
    file.put('\x7f');
  }
  StateDict whole = copy_of(*b);
  CHECK_THROWS_AS(load(*b, path), Error);
  for (auto& [name, t] : b->state_dict().items) CHECK(identical(t, *whole.find(name)));
  for (auto& [name, t] : other.state_dict().items) CHECK(identical(t, *before.find(name)));
  auto shared = std::make_shared<Linear>(2, 2);
  Sequential twice{shared, shared};
  save(twice, path);
  load(twice, path);
  CHECK(twice.state_dict().items.size() == 4);
}

TEST_CASE("an error in a forward pass names the layer by its path", "[module]") {
  ModulePtr net = make_model("resnet20", {3, 16, 16, 10}, true);
  net->find("layer2.1")->replace_child(3, std::make_shared<Conv2d>(5, 32, Conv2dOptions{.padding = 1}));
  const std::string message = "expected 5 channels, got input (2, 32, 8, 8)";
  auto run = [&](Module& m, const Shape& shape) { return error_of([&] { m(input(shape)); }); };
  CHECK(run(*net, {2, 3, 16, 16}) == "[conv2d] layer2.1.conv2: " + message);
  CHECK(run(*net->find("layer2.1"), {2, 32, 8, 8}) == "[conv2d] conv2: " + message);
  CHECK(run(*net->find("layer2.1.conv2"), {2, 32, 8, 8}) == "[conv2d] " + message);
  {
    NoFusion off;
    CHECK(run(*net, {2, 3, 16, 16}) == "[conv2d] layer2.1.conv2: " + message);
    NoGrad no;
    CHECK(run(*net, {2, 3, 16, 16}) == "[conv2d] layer2.1.conv2: " + message);
  }
  // Of a class that catches an error and throws its own, the path is its own.
  struct Catches : Module {
    std::shared_ptr<Linear> fc = register_module("fc", std::make_shared<Linear>(3, 3));
    Variable forward(const Variable& x) override {
      try {
        return (*fc)(x);
      } catch (const Error&) { fail(ErrorKind::usage, "", "[catches] gave up"); }
    }
    std::string kind() const override { return "Catches"; }
  };
  Sequential outer{std::make_shared<ReLU>(), std::make_shared<Catches>()};
  CHECK(run(outer, {2, 4}) == "[catches] 1: gave up");
  CHECK(outer(input({2, 3})).defined());
  // What is no Error of a layer passes as it is.
  struct Throws : Module {
    Variable forward(const Variable&) override { throw std::runtime_error("other"); }
    std::string kind() const override { return "Throws"; }
  };
  Sequential throws{std::make_shared<Throws>()};
  CHECK_THROWS_WITH(throws(input({1})), "other");
}

// Hooks of a forward pass that threw stayed behind.
TEST_CASE("no hook stays behind when the forward pass throws", "[module][regression]") {
  auto net = norm_net();
  net->eval();
  CHECK_THROWS_AS(trace(*net, Shape{1, 5}), Error);
  CHECK_THROWS_AS(layer_spectra(*net, {1, 5}), Error);
  CHECK_THROWS_AS(activation_spectra(*net, 4, [] { return input({4, 5}); }), Error);
  net->visit([](const std::string&, Module& m) { CHECK_FALSE(m.has_forward_hooks()); });
  net->train();
  CHECK_THROWS_AS(trace(*net, Shape{1, 5}), Error);
  CHECK(net->find("bn")->is_training());
  // Hooks may go before and after their module does, and remove themselves.
  ScopedHooks hooks;
  int calls = 0;
  {
    ReLU gone;
    hooks.add(gone, [&](const Module&, const Variable&, const Variable&) { ++calls; });
    gone(input({2}));
  }
  ReLU relu;
  size_t id = 0;
  id = relu.register_forward_hook([&](const Module& m, const Variable&, const Variable&) {
    const_cast<Module&>(m).remove_forward_hook(id);
    ++calls;
  });
  relu(input({2}));
  relu(input({2}));
  CHECK(calls == 2);
}

// The caller's module was left in float64, its norms' weights moved.
TEST_CASE("a gradient check leaves the module as it was, every bit", "[module][regression]") {
  auto net = norm_net();
  sum((*net)(input({5, 4}))).backward();
  StateDict before = copy_of(*net);
  Tensor gradient = net->parameters()[0].grad().clone();
  GradcheckResult r = gradcheck_module(*net, smooth_input({5, 4}, 3));
  CHECK(r.passed);
  auto check = [&](DType dtype) {
    for (auto& [name, t] : net->state_dict().items) {
      INFO(name);
      CHECK(identical(t, *before.find(name)));
    }
    CHECK(net->parameters()[0].dtype() == dtype);
    CHECK(identical(net->parameters()[0].grad(), gradient));
  };
  check(DType::float32);
  CHECK_THROWS_AS(gradcheck_module(*net, smooth_input({5, 3}, 3)), Error);
  check(DType::float32);
  net->to(DType::float64);
  before = copy_of(*net);
  net->parameters()[0].set_grad(gradient);
  CHECK(gradcheck_module(*net, smooth_input({5, 4}, 3)).passed);
  check(DType::float64);
}

// The step was told to the outermost module alone: dropout within a network went on drawing where it was.
TEST_CASE("set_step reaches dropout below", "[module][regression]") {
  auto net = norm_net();
  Variable x = input({5, 4});
  StateDict before = copy_of(*net);
  net->set_step(3);
  Tensor y = (*net)(x).value();
  CHECK_FALSE(identical((*net)(x).value(), y));
  net->set_step(3);
  CHECK(identical((*net)(x).value(), y));
}
