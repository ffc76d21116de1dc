// Batch normalization in a model: saved states, folding, re-estimated statistics, weight decay (cases 55,
// 58-60 and 63 of the specification's list, section 1.8).
#include "layers/layers.h"
#include "optim/sgd.h"
#include "tests/support/batch_norm_reference.h"

using namespace sigma;
using namespace sigma::test;
using sigma::test::Contains;

namespace {

// Folds `norm` into `layer` and compares with the two in turn. The tolerance is relative to the largest
// output, at least 1.
template <class Layer>
void check_fold(Layer& layer, BatchNorm& norm, const Tensor& input, double tolerance) {
  Variable x(input);
  Tensor plain = layer(x).value(), want = norm(layer(x)).value();
  double largest = 1;
  for (double v : want.to_vector()) largest = std::max(largest, std::fabs(v));
  CHECK(max_abs_difference(plain, want) > .1);  // the norm does something
  fold_batch_norm(layer, norm);
  CHECK(layer.bias.defined());
  CHECK(max_abs_difference(layer(x).value(), want) <= tolerance * largest);
}

}  // namespace

TEST_CASE("batch norm case 55: the state goes through a state dict with its count", "[batch_norm]") {
  auto make = [] {
    auto bn = std::make_unique<BatchNorm1d>(2, BatchNormOptions{.momentum = std::nullopt});
    bn->to(DType::float64);
    return bn;
  };
  auto a = make(), b = make();
  set(a->weight, f64({2, -1}));
  set(a->bias, f64({.5, .25}));
  (*a)(Variable(randn({6, 2}, 55)));
  (*a)(Variable(randn({6, 2}, 56)));
  StateDict state = copy_of(*a);
  std::vector<std::string> names;
  for (auto& [name, t] : state.items) names.push_back(name);
  CHECK(names ==
        std::vector<std::string>{"weight", "bias", "running_mean", "running_var", "num_batches_tracked"});
  REQUIRE(state.find("num_batches_tracked"));
  CHECK(state.find("num_batches_tracked")->dtype() == DType::int64);
  CHECK(state.find("num_batches_tracked")->item() == 2);
  b->load_state_dict(state);
  for (auto& [name, t] : copy_of(*b).items) CHECK(identical(t, *state.find(name)));
  CHECK(b->num_batches_tracked.dtype() == DType::int64);
  // The cumulative average goes on with weight 1/3 for the third batch.
  Variable third(randn({6, 2}, 57));
  Reference r = reference({.x = third.value()});
  (*a)(third);
  (*b)(third);
  CHECK(identical(b->running_mean.value(), a->running_mean.value()));
  CHECK(identical(b->running_var.value(), a->running_var.value()));
  CHECK(gap(b->running_mean, moved(state.find("running_mean")->to_vector(), r.mean, 1.0 / 3)) <= 1e-12);
  CHECK(b->num_batches_tracked.item() == 3);

  // Files of version 1 had no count: it becomes 0. In later ones its absence is an error.
  StateDict old = state;
  std::erase_if(old.items, [](auto& item) { return item.first == "num_batches_tracked"; });
  CHECK_THAT(error_of([&] { b->load_state_dict(old); }), Contains("missing num_batches_tracked"));
  CHECK(b->num_batches_tracked.item() == 3);
  old.version = 1;
  b->load_state_dict(old);
  CHECK(b->num_batches_tracked.item() == 0);
  CHECK(identical(b->running_mean.value(), *state.find("running_mean")));
}

TEST_CASE("batch norm case 58: folding into a convolution or a linear layer keeps the output",
          "[batch_norm]") {
  for (DType dtype : {DType::float64, DType::float32})
    for (bool bias : {true, false})
      for (bool affine : {true, false}) {
        INFO(name_of(dtype) << (bias ? " bias" : " no bias") << (affine ? " affine" : " not affine"));
        double tolerance = dtype == DType::float64 ? 1e-13 : 1e-5;
        Conv2d conv(3, 4, {.kernel = 3, .padding = 1, .bias = bias});
        BatchNorm2d bn2(4, {.affine = affine});
        Linear lin(6, 4, {.bias = bias});
        BatchNorm1d bn1(4, {.affine = affine});
        for (Module* m : std::vector<Module*>{&conv, &bn2, &lin, &bn1}) m->to(dtype).eval();
        randomize(bn2, 58);
        randomize(bn1, 59);
        check_fold(conv, bn2, randn({2, 3, 6, 5}, 60, dtype), tolerance);
        check_fold(lin, bn1, randn({5, 6}, 61, dtype), tolerance);
      }
  // A norm in training mode or without statistics is refused, and nothing is changed.
  Conv2d conv(3, 4, {.bias = false});
  BatchNorm2d training(4), untracked(4, {.track_running_stats = false});
  untracked.eval();
  StateDict before = copy_of(conv);
  CHECK_THAT(error_of([&] { fold_batch_norm(conv, training); }), Contains("training mode"));
  CHECK_THAT(error_of([&] { fold_batch_norm(conv, untracked); }), Contains("does not track"));
  CHECK(identical(conv.weight.value(), *before.find("weight")));
  CHECK_FALSE(conv.bias.defined());
  // The neighbours in a chain, all at once.
  Sequential net;
  net.add<Conv2d>("conv", 3, 4, Conv2dOptions{.bias = false});
  net.add<BatchNorm2d>("bn", 4);
  net.add<BatchNorm2d>("alone", 4);  // follows no layer to be folded into
  net.to(DType::float64).eval();
  for (const char* name : {"bn", "alone"}) randomize(layer_as<BatchNorm>(net, name), 62);
  Variable x(randn({2, 3, 6, 5}, 63));
  Tensor want = net(x).value();
  CHECK(fold_batch_norms(net) == 1);
  CHECK(net.find("bn")->kind() == "Identity");
  CHECK(net.find("alone")->kind() == "BatchNorm2d");
  CHECK(max_abs_difference(net(x).value(), want) <= 1e-12);
}

TEST_CASE("batch norm case 59: folding a running variance of 1e-10 keeps the output", "[batch_norm]") {
  // The outputs are up to 1e5 times the layer's, so the bounds are relative to the largest.
  for (double eps : {1e-5, 0.0})
    for (DType dtype : {DType::float64, DType::float32}) {
      INFO(name_of(dtype) << " eps " << eps);
      Conv2d conv(3, 4, {.kernel = 3, .bias = false});
      BatchNorm2d bn(4, {.eps = eps});
      conv.to(dtype).eval();
      bn.to(dtype).eval();
      randomize(bn, 59);
      set(bn.running_var, Tensor::full({4}, 1e-10));
      Tensor x = randn({2, 3, 6, 5}, 60, dtype);
      double largest = 0;
      for (double v : bn(conv(Variable(x))).value().to_vector()) largest = std::max(largest, std::fabs(v));
      CHECK(largest > (eps > 0 ? 100 : 1e4));
      check_fold(conv, bn, x, dtype == DType::float64 ? 1e-13 : 1e-5);
    }
}

TEST_CASE("batch norm case 60: update_bn gives the mean of the data and the mean unbiased variance",
          "[batch_norm]") {
  auto bn = std::make_shared<BatchNorm1d>(3, BatchNormOptions{.momentum = .3});
  Sequential net{{"bn", bn}, {"fc", std::make_shared<Linear>(3, 2)}};
  net.to(DType::float64);
  randomize(*bn, 60);
  bn->eval();  // a mode that differs from the model's
  Tensor data = randn({24, 3}, 61);
  bool recorded = false, trained = true;
  bn->register_forward_hook([&](const Module& m, const Variable&, const Variable& y) {
    recorded = recorded || y.requires_grad();
    trained = trained && m.is_training();
  });
  int64_t at = 0;
  auto next = [&] {
    Variable batch = at < 24 ? Variable(slice(data, 0, at, 6)) : Variable();
    at += 6;
    return batch;
  };
  update_bn(net, next);
  std::vector<double> var(3, 0.0);
  for (int64_t start = 0; start < 24; start += 6) {
    Reference r = reference({.x = slice(data, 0, start, 6)});
    for (size_t c = 0; c < 3; ++c) var[c] += r.unbiased[c] / 4;
  }
  CHECK(gap(bn->running_mean, reference({.x = data}).mean) <= 1e-12);
  CHECK(gap(bn->running_var, var) <= 1e-12);
  CHECK(bn->num_batches_tracked.item() == 4);
  CHECK_FALSE(recorded);
  CHECK(trained);
  auto check_restored = [&] {
    CHECK(bn->options().momentum == .3);
    CHECK(net.is_training());
    CHECK_FALSE(bn->is_training());
    CHECK(net.find("fc")->is_training());
    CHECK(grad_enabled());
  };
  check_restored();
  CHECK_THROWS_AS(update_bn(net, []() -> Variable { throw std::runtime_error("no data"); }),
                  std::runtime_error);
  check_restored();
}

TEST_CASE("batch norm case 63: a group without weight decay leaves weight and bias alone", "[batch_norm]") {
  Sequential net;
  net.add<Linear>("fc", 4, 3);
  net.add<BatchNorm1d>("bn", 3);
  net.to(DType::float64);
  auto& bn = layer_as<BatchNorm1d>(net, "bn");
  auto& fc = layer_as<Linear>(net, "fc");
  randomize(bn, 63);
  StateDict before = copy_of(net);
  for (Variable p : net.parameters()) p.set_grad(Tensor::zeros(p.shape(), p.dtype()));
  DecayGroups groups = split_decay(net);
  REQUIRE(groups.decay.size() == 1);
  REQUIRE(groups.no_decay.size() == 3);
  CHECK(groups.decay[0].handle() == fc.weight.handle());
  SGD({group_of(groups.decay, .1, .5), group_of(groups.no_decay, .1)}, {}).step();
  CHECK(identical(bn.weight.value(), *before.find("bn.weight")));
  CHECK(identical(bn.bias.value(), *before.find("bn.bias")));
  CHECK(identical(fc.bias.value(), *before.find("fc.bias")));
  CHECK(max_abs_difference(fc.weight.value(), scale(*before.find("fc.weight"), .95)) <= 1e-12);
  // With one group for all, as PyTorch has by default, they shrink too.
  SGD(net.parameters(), {.lr = .1, .weight_decay = .5}).step();
  CHECK(max_abs_difference(bn.weight.value(), scale(*before.find("bn.weight"), .95)) <= 1e-12);
}
