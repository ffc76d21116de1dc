// The optimiser against steps worked out by hand, and the schedules at known points.
#include <cmath>
#include <limits>

#include "autograd/ops.h"
#include "core/math.h"
#include "layers/networks/models.h"
#include "optim/clip.h"
#include "optim/lr_schedule.h"
#include "optim/sgd.h"
#include "tests/support/support.h"

using namespace sigma;
using test::error_of;

namespace {

Variable parameter(const std::vector<double>& values) {
  return Variable(Tensor::from<double>(values, {static_cast<int64_t>(values.size())}), true);
}
void give(Variable p, const std::vector<double>& g) { p.set_grad(Tensor::from<double>(g, p.shape())); }
bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// All numbers below are dyadic, so every step is exact.
double after(SGDOptions options, const std::vector<double>& gradients, double start = 4) {
  Variable p = parameter({start});
  SGD sgd({p}, options);
  for (double g : gradients) {
    give(p, {g});
    sgd.step();
  }
  return p.item();
}

}  // namespace

TEST_CASE("steps of SGD equal those worked out by hand", "[optim]") {
  // Plain: 4 - 0.5 * 2 - 0.5 * 1.
  CHECK(after({.lr = 0.5}, {2, 1}) == 2.5);
  // Weight decay: d = 2 + 0.5 * 4 = 4, p = 2; d = 1 + 0.5 * 2 = 2, p = 1.
  CHECK(after({.lr = 0.5, .weight_decay = 0.5}, {2, 1}) == 1);
  // Momentum: v = 2, p = 3; v = 0.5 * 2 + 1 = 2, p = 2; v = 0.5 * 2 + 0 = 1, p = 1.5.
  CHECK(after({.lr = 0.5, .momentum = 0.5}, {2}) == 3);
  CHECK(after({.lr = 0.5, .momentum = 0.5}, {2, 1}) == 2);
  CHECK(after({.lr = 0.5, .momentum = 0.5}, {2, 1, 0}) == 1.5);
  // Dampening leaves the first step alone: v = 2, p = 3; v = 0.5 * 2 + 0.75 * 1 = 1.75, p = 2.125.
  CHECK(after({.lr = 0.5, .momentum = 0.5, .dampening = 0.25}, {2, 1}) == 2.125);
  // Nesterov: v = 2, p = 4 - 0.5 (2 + 0.5 * 2) = 2.5; v = 2, p = 2.5 - 0.5 (1 + 0.5 * 2) = 1.5.
  CHECK(after({.lr = 0.5, .momentum = 0.5, .nesterov = true}, {2}) == 2.5);
  CHECK(after({.lr = 0.5, .momentum = 0.5, .nesterov = true}, {2, 1}) == 1.5);
  // All at once: d = 2 + 0.25 * 4 = 3, v = 3, p = 4 - 0.5 (3 + 1.5) = 1.75;
  //              d = 1 + 0.25 * 1.75 = 1.4375, v = 1.5 + 1.4375 = 2.9375, p = 1.75 - 0.5 (1.4375 + 1.46875).
  CHECK(after({.lr = 0.5, .momentum = 0.5, .weight_decay = 0.25, .nesterov = true}, {2, 1}) == 0.296875);
  CHECK(after({.lr = 0}, {2, 1}) == 4);
}

TEST_CASE("groups have options of their own and decay only where told", "[optim]") {
  Variable weight = parameter({4}), bias = parameter({4}), idle = parameter({4});
  SGD sgd({{{{"weight", weight}}, 0.5, 0.5}, {{{"bias", bias}, {"idle", idle}}, 0.25}}, {.momentum = 0.5});
  give(weight, {2});
  give(bias, {2});
  sgd.step();
  CHECK(weight.item() == 2);  // 4 - 0.5 (2 + 2)
  CHECK(bias.item() == 3.5);  // 4 - 0.25 * 2
  CHECK(idle.item() == 4);    // no gradient: left alone
  Optimizer::State state = sgd.state_dict();
  CHECK(state.size() == 2);
  CHECK(state.at("velocity.weight").item() == 4);
  CHECK(state.at("velocity.bias").item() == 2);
  sgd.set_lr(1);
  give(weight, {0});
  give(bias, {0});
  sgd.step();
  CHECK(weight.item() == -1);  // 2 - 1 (0.5 * 4 + 0 + 0.5 * 2)
  CHECK(bias.item() == 2.5);   // 3.5 - 1 (0.5 * 2)
  sgd.zero_grad();
  CHECK_FALSE(weight.grad().defined());
  CHECK_FALSE(bias.grad().defined());

  // A network's weights decay, its biases and normalization do not.
  ModulePtr net = make_model("lenet5", default_input("lenet5"), true);
  DecayGroups groups = split_decay(*net);
  CHECK(groups.decay.size() == 5);
  CHECK(groups.no_decay.size() == 5 + 4 * 2);
  for (const Variable& p : groups.decay) CHECK(p.rank() >= 2);
  for (const Variable& p : groups.no_decay) CHECK(p.rank() == 1);
}

TEST_CASE("momentum buffers saved and restored continue exactly, and misfits change nothing", "[optim]") {
  SGDOptions o{.lr = 0.1, .momentum = 0.9, .weight_decay = 1e-3, .nesterov = true};
  auto make = [] {
    return Variable(test::randn({2, 3, 2, 2}, 1, DType::float32).to(Layout::channels_last), true);
  };
  Variable p = make(), q = make();
  SGD one({p}, o), two({q}, o);
  auto step = [](SGD& sgd, Variable v, uint64_t seed) {
    v.set_grad(test::randn({2, 3, 2, 2}, seed, DType::float32));
    sgd.step();
  };
  step(one, p, 2);
  step(one, p, 3);
  q.mutable_value().copy_(p.value());
  two.load_state_dict({{"velocity.0", one.state_dict().at("velocity.0").contiguous()}});  // as from a file
  step(one, p, 4);
  CHECK_FALSE(identical(p.value(), q.value()));
  step(two, q, 4);
  CHECK(identical(p.value(), q.value()));
  Tensor before = two.state_dict().at("velocity.0").clone();
  auto load = [&](const Optimizer::State& state) {
    return error_of([&] { two.load_state_dict(state, true); });
  };
  CHECK(contains(load({}), "velocity.0 is missing"));
  CHECK(contains(load({{"velocity.0", Tensor::zeros({3, 2, 2, 2})}}), "(3, 2, 2, 2)"));
  CHECK(contains(load({{"velocity.0", Tensor::zeros({5})}}), "(2, 3, 2, 2)"));
  CHECK(contains(load({{"velocity.0", Tensor::zeros({2, 3, 2, 2}, DType::int64)}}), "int64"));
  CHECK(contains(load({{"velocity.0", Tensor::full({2, 3, 2, 2}, NAN)}}), "not finite"));
  CHECK(contains(load({{"velocity.0", before}, {"velocity.1", before}}), "velocity.1 is not of this"));
  CHECK(identical(two.state_dict().at("velocity.0"), before));
}

TEST_CASE("bad options are refused", "[optim]") {
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  const SGDOptions bad[] = {{.lr = -0.1},
                            {.lr = nan},
                            {.lr = inf},
                            {.momentum = -0.1},
                            {.momentum = nan},
                            {.momentum = inf},
                            {.weight_decay = -1},
                            {.weight_decay = nan},
                            {.weight_decay = inf},
                            {.momentum = 0.5, .dampening = nan},
                            {.momentum = 0.5, .dampening = inf},
                            {.nesterov = true},
                            {.momentum = 0.9, .dampening = 0.1, .nesterov = true}};
  for (const SGDOptions& o : bad) {
    INFO("case " << &o - bad);
    CHECK(contains(error_of([&] { SGD({parameter({1})}, o); }), "[sgd]"));
  }
  SGD sgd({parameter({1})}, {.lr = 0.5});
  for (double lr : {-1.0, nan, inf}) CHECK_THROWS_AS(sgd.set_lr(lr), Error);
  CHECK(sgd.lr() == 0.5);
  for (double norm : {0.0, -1.0, nan}) CHECK_THROWS_AS(clip_grad_norm({}, norm), Error);
}

TEST_CASE("clipping scales all gradients together and only when they are too long", "[optim]") {
  Variable a = parameter({0, 0}), b = parameter({0}), none = parameter({0});
  give(a, {3, 0});
  give(b, {4});
  CHECK(clip_grad_norm({a, b, none}, 10) == 5);
  CHECK(a.grad().to_vector() == std::vector<double>{3, 0});
  CHECK(clip_grad_norm({a, b, none}, 1) == 5);
  // PyTorch divides by the norm plus 1e-6.
  CHECK(a.grad().at({0}) == Approx(3 / (5 + 1e-6)).epsilon(1e-15));
  CHECK(b.grad().at({0}) == Approx(4 / (5 + 1e-6)).epsilon(1e-15));
  CHECK_FALSE(none.grad().defined());
  const double inf = std::numeric_limits<double>::infinity();
  give(b, {inf});
  CHECK(clip_grad_norm({a, b}, 1) == inf);
  CHECK(b.grad().item() == inf);
  CHECK(a.grad().at({0}) == Approx(0.6).epsilon(1e-6));
}

TEST_CASE("clipping scales a gradient that two leaves share once", "[optim]") {
  // y = a + b hands the same gradient to both, and the engine need not copy it.
  Variable a = parameter({1, 2}), b = parameter({3, 4});
  Tensor seed = Tensor::from<double>({8, 6}, {2});
  add(a, b).backward(seed);
  CHECK(clip_grad_norm({a, b}, 1) == Approx(std::sqrt(200.0)).epsilon(1e-15));
  CHECK(a.grad().at({0}) == Approx(8 / std::sqrt(200.0)).epsilon(1e-6));
  CHECK(b.grad().at({1}) == Approx(6 / std::sqrt(200.0)).epsilon(1e-6));
  CHECK(seed.to_vector() == std::vector<double>{8, 6});
}

TEST_CASE("schedules have their known values", "[optim]") {
  using S = Schedule;
  const double tight = 1e-14;
  LrSchedule constant{.kind = S::constant, .total_steps = 10};
  for (int64_t t : {0, 5, 9, 100}) CHECK(constant.at(t, 0.3) == 0.3);

  LrSchedule step{.kind = S::step, .total_steps = 100};
  CHECK(step.at(49, 1) == 1);
  CHECK(step.at(50, 1) == Approx(0.1).epsilon(tight));
  CHECK(step.at(74, 1) == Approx(0.1).epsilon(tight));
  CHECK(step.at(75, 1) == Approx(0.01).epsilon(tight));
  CHECK(step.at(1000, 1) == Approx(0.01).epsilon(tight));

  LrSchedule cosine{.kind = S::cosine, .total_steps = 100};
  CHECK(cosine.at(0, 2) == 2);
  CHECK(cosine.at(50, 2) == Approx(1).epsilon(tight));
  CHECK(cosine.at(25, 2) == Approx(1 + std::sqrt(0.5)).epsilon(tight));
  CHECK(cosine.at(99, 2) == Approx(1 + std::cos(std::acos(-1.0) * 0.99)).epsilon(1e-10));
  CHECK(cosine.at(99, 2) > 0);
  CHECK(cosine.at(500, 2) == cosine.at(99, 2));

  LrSchedule warm{.kind = S::cosine, .total_steps = 110, .warmup_steps = 10};
  CHECK(warm.at(0, 1) == 0.1);
  CHECK(warm.at(4, 1) == 0.5);
  CHECK(warm.at(9, 1) == 1);
  CHECK(warm.at(10, 1) == 1);
  CHECK(warm.at(60, 1) == Approx(0.5).epsilon(tight));

  // Peak at step 0.3 * 100 - 1, as PyTorch's OneCycleLR.
  LrSchedule cycle{.kind = S::one_cycle, .total_steps = 100};
  CHECK(cycle.at(0, 1) == Approx(0.04).epsilon(tight));
  CHECK(cycle.at(29, 1) == Approx(1).epsilon(tight));
  CHECK(cycle.at(99, 1) == Approx(1e-4).epsilon(1e-10));
  CHECK(cycle.at(64, 1) == Approx((1 + 1e-4) / 2).epsilon(1e-10));
  for (int64_t t = 1; t < 100; ++t) CHECK((cycle.at(t, 1) > cycle.at(t - 1, 1)) == (t <= 29));

  for (S kind : {S::constant, S::step, S::cosine, S::one_cycle})
    for (int64_t total : {0, 1, 2, 3})  // the shortest runs have finite rates too
      for (int64_t t : {-1, 0, 1, 2, 5}) {
        double lr = LrSchedule{.kind = kind, .total_steps = total, .warmup_steps = 1}.at(t, 0.5);
        CHECK(lr >= 0);
        CHECK(lr <= 0.5);
      }
}

TEST_CASE("schedules are known by name", "[optim]") {
  CHECK(parse_schedule("constant") == Schedule::constant);
  CHECK(parse_schedule("step") == Schedule::step);
  CHECK(parse_schedule("cosine") == Schedule::cosine);
  CHECK(parse_schedule("one-cycle") == Schedule::one_cycle);
  CHECK(contains(error_of([] { parse_schedule("linear"); }), "\"linear\""));
}
