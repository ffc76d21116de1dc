// Layers of one learned number: what they compute, as words of a text, and what begins at zero.
#include "layers/scalar.h"

#include <cmath>

#include "core/math.h"
#include "layers/networks/models.h"
#include "layers/passes/fixup.h"
#include "tests/support/support.h"

using namespace sigma;
using namespace sigma::test;

namespace {

const ModelInput kInput{2, 8, 8, 3};

// A residual network of two blocks of two convolutions, one of them with a shortcut.
const char* const kResidual =
    "conv 4, relu, residual { conv 4, relu, conv 4, scale 0 }, relu, residual { conv 8 stride=2, relu, conv "
    "8 } "
    "{ conv 8 1 stride=2 }, relu, globalavgpool, flatten, linear classes";

std::vector<double> weights_of(Module& m, const std::string& path) {
  for (const auto& [name, p] : m.named_parameters())
    if (name == path) return p.value().contiguous().to_vector();
  FAIL("no " << path);
  return {};
}

double largest(const std::vector<double>& values) {
  double most = 0;
  for (double v : values) most = std::max(most, std::abs(v));
  return most;
}

}  // namespace

TEST_CASE("Scale and Shift are one number each, with the gradients of one number", "[layers][scalar]") {
  for (const Shape& shape : {Shape{4, 6}, {2, 3, 4, 5}}) {
    check_module([] { return std::make_shared<Scale>(-1.5); }, shape);
    check_module([] { return std::make_shared<Shift>(0.25); }, shape);
  }
  Tensor x = Tensor::empty({2, 2});
  for (int i = 0; i < 4; ++i) x.mutable_data<float>()[i] = static_cast<float>(i + 1);  // 1 2 3 4
  Variable input(x, true);
  Scale scale(3);
  const Variable y = scale(input);
  CHECK(y.value().to_vector() == std::vector<double>{3, 6, 9, 12});
  y.backward(Tensor::full({2, 2}, 2));
  CHECK(scale.weight.grad().to_vector() == std::vector<double>{20});  // 2 (1 + 2 + 3 + 4)
  CHECK(input.grad().to_vector() == std::vector<double>(4, 6));
  Shift shift(-1);
  const Variable z = shift(Variable(x));
  CHECK(z.value().to_vector() == std::vector<double>{0, 1, 2, 3});
  z.backward(Tensor::full({2, 2}, 2));
  CHECK(shift.bias.grad().to_vector() == std::vector<double>{8});

  scale.weight.mutable_value().fill_(7);
  scale.reset_parameters(5, "anywhere");
  CHECK(scale.weight.item() == 3);
  CHECK(!scale.decays("weight"));
  CHECK(!shift.decays("bias"));
  CHECK(scale.describe() == "Scale(3)");
  CHECK(error_of([] { Scale s(NAN); }).find("expected a finite value") != std::string::npos);
  CHECK(error_of([] { Shift s(HUGE_VAL); }).find("expected a finite value") != std::string::npos);
}

TEST_CASE("a text has scale and shift as words, with a value to begin with", "[networks][scalar]") {
  const std::string text = canonical_text("flatten, scale 0.5, shift, scale, shift -2, linear classes");
  CHECK(canonical_text(text) == text);
  ModulePtr net = make_model(text, kInput, true, 3);
  CHECK(weights_of(*net, "scale1.weight") == std::vector<double>{0.5});
  CHECK(weights_of(*net, "shift1.bias") == std::vector<double>{0});
  CHECK(weights_of(*net, "scale2.weight") == std::vector<double>{1});
  CHECK(weights_of(*net, "shift2.bias") == std::vector<double>{-2});
  CHECK(net->find("shift2")->kind() == "Shift");
  CHECK(error_of([] {
          make_model("scale x, flatten, linear classes", kInput, true);
        }).find("expected a number") != std::string::npos);
}

TEST_CASE("a branch that ends in a scale of 0 adds nothing, and learns", "[layers][scalar]") {
  const ModulePtr whole =
      make_model("residual { conv 2, relu, conv 2, scale 0 }, flatten, linear classes", kInput, true, 3);
  Module* net = whole->find("0");
  const Tensor x = randn({2, 2, 8, 8}, 1, DType::float32);
  const Variable y = (*net)(Variable(x));
  CHECK(max_abs_difference(y.value(), x) == 0);
  y.backward(randn({2, 2, 8, 8}, 2, DType::float32));
  for (const auto& [name, p] : net->named_parameters()) {
    INFO(name);
    CHECK((largest(p.grad().to_vector()) > 0) == (name == "scale.weight"));
  }
}

TEST_CASE("Fixup zeroes the ends of branches and the last layer, and scales what begins them",
          "[init][fixup]") {
  ModulePtr net = make_model(kResidual, kInput, true, 3), before = make_model(kResidual, kInput, true, 3);
  init::fixup(*net);
  auto ratio = [&](const std::string& name) {
    const std::vector<double> a = weights_of(*net, name), b = weights_of(*before, name);
    for (size_t i = 0; i < a.size(); ++i) CHECK(a[i] == Approx(a[0] / b[0] * b[i]).epsilon(1e-6));
    return a[0] / b[0];
  };
  // Two blocks of two convolutions: 2^(-1/2).
  CHECK(ratio("0.conv1.weight") == Approx(std::sqrt(0.5)).epsilon(1e-6));
  CHECK(ratio("1.conv1.weight") == Approx(std::sqrt(0.5)).epsilon(1e-6));
  CHECK(ratio("conv.weight") == 1);
  CHECK(ratio("1.shortcut.conv.weight") == 1);
  for (const char* zero :
       {"0.conv2.weight", "1.conv2.weight", "fc.weight", "fc.bias", "conv.bias", "0.conv1.bias"})
    CHECK(largest(weights_of(*net, zero)) == 0);
  CHECK(weights_of(*net, "0.scale.weight") == std::vector<double>{0});  // a layer of its own

  // Of three layers a block, with four blocks: 4^(-1/4).
  const char* deep = "flatten, linear 3, 4 x residual { linear 3, relu, linear 3, relu, linear 3 }";
  net = make_model(deep, kInput, true, 3);
  before = make_model(deep, kInput, true, 3);
  init::fixup(*net);
  CHECK(ratio("0.fc2.weight") == Approx(std::pow(4.0, -0.25)).epsilon(1e-6));
  CHECK(largest(weights_of(*net, "3.fc3.weight")) == 0);
  CHECK(largest(weights_of(*net, "fc.weight")) > 0);  // the last layer is within a block

  ModulePtr plain = make_model("flatten, linear classes", kInput, true),
            empty = make_model("residual { relu }, flatten, linear classes", kInput, true);
  CHECK(error_of([&] { init::fixup(*plain); }).find("expected a network with residual blocks") !=
        std::string::npos);
  CHECK(error_of([&] { init::fixup(*empty); }).find("in every residual block, 0 has none") !=
        std::string::npos);
}
