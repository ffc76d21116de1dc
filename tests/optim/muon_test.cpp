// Muon against PyTorch, its orthogonal factor, and what it does with parameters that are no matrices.
#include "optim/muon.h"

#include <cmath>

#include "optim/adamw.h"
#include "optim/sgd.h"
#include "tests/support/adaptive.h"
#include "tests/support/golden.h"
#include "tests/support/support.h"

using namespace sigma;
using namespace sigma::test;

namespace {

Variable parameter(const Shape& shape, uint64_t seed, DType dtype = DType::float64) {
  return Variable(randn(shape, seed, dtype), true);
}

// The step that Muon takes for a gradient, with a rate of 1, no decay and the original adjustment undone.
Tensor direction_of(const Tensor& gradient, const MuonOptions& options) {
  Variable p(Tensor::zeros(gradient.shape(), gradient.dtype()), true);
  Muon muon({group_of({p}, 1)}, options);
  p.set_grad(gradient.clone());
  muon.step();
  const double rows = static_cast<double>(gradient.dim(0)), columns = static_cast<double>(gradient.dim(1));
  return p.value() * (-1 / std::sqrt(std::max(1.0, rows / columns)));
}

}  // namespace

TEST_CASE("50 steps of Muon agree with PyTorch's formula to 1e-12", "[golden][optim]") {
  compare_with_golden("muon", [](std::vector<ParameterGroup> groups, const nlohmann::json& options) {
    const std::string adjust = options.at("adjust");
    return std::make_unique<Muon>(
        std::move(groups),
        MuonOptions{.momentum = options.at("momentum"),
                    .nesterov = options.at("nesterov") == 1,
                    .ns_steps = options.at("ns_steps"),
                    .adjust = adjust == "original"          ? MuonAdjust::original
                              : adjust == "match_rms_adamw" ? MuonAdjust::match_rms_adamw
                                                            : MuonAdjust::spectral_unclamped});
  });
}

TEST_CASE("50 steps of SGD agree with PyTorch to 1e-12", "[golden][optim]") {
  compare_with_golden("sgd_50", [](std::vector<ParameterGroup> groups, const nlohmann::json& options) {
    return std::make_unique<SGD>(std::move(groups), SGDOptions{.momentum = options.at("momentum"),
                                                               .dampening = options.at("dampening"),
                                                               .nesterov = options.at("nesterov") == 1});
  });
}

// PyTorch rounds the matrix to bfloat16 (u = 2^-8) and every product of the five iterations; an iteration
// stretches what came before by up to 3.4, but its polynomial maps all singular values to 0.7..1.2, so that
// errors do not grow without bound. Measured: 19 u in the 2-norm, where the step is at most 1.2.
TEST_CASE("Muon in float32 agrees with torch.optim.Muon within bfloat16's error", "[golden][optim]") {
  double worst = 0;
  for (const GoldenCase& c : load_golden("muon_bfloat16")) {
    INFO(c.name);
    Variable p(c["p"].to(DType::float32), true);
    const double lr = c.options.at("lr");
    Muon muon({group_of({p}, lr, c.options.at("weight_decay"))}, {});
    p.set_grad(c["g"].to(DType::float32));
    muon.step();
    const double adjust = std::sqrt(
        std::max(1.0, static_cast<double>(p.value().dim(0)) / static_cast<double>(p.value().dim(1))));
    const double error =
        matrix_norm(p.value().to(DType::float64) - c["a"], MatrixNorm::two).item() / (lr * adjust);
    CHECK(error <= 32 * 0x1p-8);
    worst = std::max(worst, error);
  }
  CHECK(worst > 0x1p-12);  // bfloat16 is not float32
}

TEST_CASE("Muon's exact step has singular values of 1, and of 0 where the gradient has", "[optim]") {
  const MuonOptions exact{.nesterov = false, .exact = true};
  for (const Shape& shape : {Shape{6, 4}, Shape{4, 6}, Shape{5, 5}, Shape{1, 3}, Shape{3, 1}}) {
    INFO(shape.str());
    const Tensor g = randn(shape, 7), step = direction_of(g, exact),
                 rough = direction_of(g, {.nesterov = false});
    for (double s : svdvals(step).to_vector()) CHECK(s == Approx(1).margin(1e-12));
    // The orthogonal matrix that is nearest: <g, U V'> is the sum of singular values (momentum scales both).
    CHECK(sum(g * step).item() == Approx(sum(svdvals(g)).item()).epsilon(1e-12));
    for (double s : svdvals(rough).to_vector()) {
      CHECK(s > 0.3);
      CHECK(s < 1.3);
    }
  }
  // A dead unit has a gradient of zero and is left alone, in both.
  Tensor g = randn({4, 6}, 8);
  std::fill_n(g.mutable_data<double>() + 6, 6, 0.0);
  for (bool is_exact : {true, false}) {
    const Tensor step = direction_of(g, {.exact = is_exact});
    CHECK(norm2(slice(step, 0, 1, 1)) <= 1e-15);
    CHECK(norm2(step) > 1);
  }
  CHECK(norm2(direction_of(Tensor::zeros({3, 4}, DType::float64), exact)) == 0);
  Tensor lost = randn({3, 3}, 9);
  lost.mutable_data<double>()[4] = NAN;
  CHECK_FALSE(all_finite(direction_of(lost, exact)));
}

TEST_CASE("Muon takes a convolution's weight as OUT x rest, in either layout", "[optim]") {
  const Tensor start = randn({4, 3, 2, 2}, 1), g = randn({4, 3, 2, 2}, 2);
  Variable matrix(start.reshape({4, 12}).clone(), true), images(start.to(Layout::channels_last), true);
  Muon muon({group_of({matrix, images}, 0.1, 0.01)}, {});
  for (int step = 0; step < 3; ++step) {
    matrix.set_grad((g * (step + 1.0)).reshape({4, 12}));
    images.set_grad(g * (step + 1.0));
    muon.step();
    CHECK(images.value().layout() == Layout::channels_last);
    CHECK(identical(images.value().contiguous().reshape({4, 12}), matrix.value()));
  }
}

TEST_CASE("Muon leaves biases and elementwise groups to AdamW", "[optim]") {
  Variable weight = parameter({3, 2}, 1), bias = parameter({3}, 2), gain = parameter({2, 2}, 3);
  Variable bias2(bias.value().clone(), true), gain2(gain.value().clone(), true);
  ParameterGroup gains = group_of({gain}, 0.2, 0.1);
  gains.parameters[0].first = "gain";
  gains.elementwise = true;
  Muon muon({{{{"weight", weight}, {"bias", bias}}, 0.1}, gains}, {.others_scale = 0.5});
  AdamW adamw({group_of({bias2}, 0.05), group_of({gain2}, 0.1, 0.1)}, {});
  for (uint64_t step = 0; step < 5; ++step) {
    weight.set_grad(randn({3, 2}, 10 + step));
    for (auto [one, other, seed] : {std::tuple(bias, bias2, 20 + step), std::tuple(gain, gain2, 30 + step)}) {
      one.set_grad(randn(one.shape(), seed));
      other.set_grad(one.grad());
    }
    muon.step();
    adamw.step();
    CHECK(identical(bias.value(), bias2.value()));
    CHECK(identical(gain.value(), gain2.value()));
  }
  std::string names;
  for (auto& [name, t] : muon.state_dict()) names += name + " ";
  CHECK(names ==
        "exp_avg.bias exp_avg.gain exp_avg_sq.bias exp_avg_sq.gain momentum_buffer.weight step.bias "
        "step.gain ");
}

TEST_CASE("Muon refuses what PyTorch refuses", "[optim]") {
  const MuonOptions bad[] = {{.lr = -1},        {.weight_decay = -1},     {.momentum = -0.1},
                             {.ns_steps = 100}, {.ns_steps = 0},          {.norm_epsilon = 0},
                             {.momentum = NAN}, {.others = {.beta1 = 1}}, {.others_scale = -1}};
  for (const MuonOptions& o : bad) {
    INFO("case " << &o - bad);
    CHECK(error_of([&] { Muon(std::vector<Variable>{}, o); }).find("[muon]") != std::string::npos);
  }
}
