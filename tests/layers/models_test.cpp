// The demo networks, the initialisers and dropout.
#include <cmath>

#include "core/math.h"
#include "layers/layers.h"
#include "tests/support/support.h"

using namespace sigma;
using test::error_of;
using test::randn;

namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

double mean_of(const Tensor& t) { return mean(t.to(DType::float64)).item(); }
double variance_of(const Tensor& t) {
  Tensor d = sub(t.to(DType::float64), Tensor::scalar(mean_of(t), DType::float64));
  return mean_of(mul(d, d));
}
double largest_of(const Tensor& t) { return max(abs(t)).item(); }

}  // namespace

TEST_CASE("the networks with batch norm have their published numbers of parameters", "[models]") {
  // The residual networks are those of He et al. 2016 with 1x1 convolutions on the shortcuts.
  const std::pair<const char*, int64_t> counts[] = {
      {"mlp", 671754},      {"sigmoid-mlp", 100310}, {"lenet5", 62158},    {"cnn", 422090},
      {"vgg", 1188170},     {"resnet20", 272474},    {"resnet32", 466906}, {"resnet44", 661338},
      {"resnet56", 855770}, {"resnet110", 1730714}};
  CHECK(model_names().size() == std::size(counts));
  for (auto& [name, count] : counts) {
    INFO(name);
    CHECK(make_model(name, default_input(name), true)->parameter_count() == count);
  }
}

TEST_CASE("every network maps its images to one value a class, with and without batch norm", "[models]") {
  for (const std::string& name : model_names()) {
    if (name == "resnet44" || name == "resnet56" || name == "resnet110") continue;  // more of the same blocks
    for (bool bn : {false, true})
      for (int64_t classes : {10, 3}) {
        ModelInput input = default_input(name);
        input.classes = classes;
        ModulePtr m = make_model(name, input, bn);
        m->eval();
        NoGrad off;
        Variable y = (*m)(Variable(randn(input.shape(2), 1, DType::float32)));
        INFO(name << " batch norm " << bn);
        CHECK(y.shape() == Shape{2, classes});
        CHECK(all_finite(y.value()));
        CHECK(norm2(y.value()) > 1e-3);
        bool has = false;
        m->visit([&](const std::string&, Module& part) { has |= contains(part.kind(), "BatchNorm"); });
        CHECK(has == bn);
      }
  }
}

TEST_CASE("networks take other sizes where their pooling fits and say what does not fit", "[models]") {
  const std::pair<const char*, int64_t> smallest[] = {{"mlp", 1}, {"sigmoid-mlp", 1}, {"lenet5", 12},
                                                      {"cnn", 4}, {"vgg", 8},         {"resnet20", 1}};
  for (auto& [name, side] : smallest) {
    INFO(name);
    ModelInput input{.channels = 2, .height = side, .width = side + 1, .classes = 4};
    NoGrad off;
    ModulePtr m = make_model(name, input, false);
    CHECK((*m)(Variable(randn(input.shape(1), 1, DType::float32))).shape() == Shape{1, 4});
    input.width = side - 1;
    std::string message = error_of([&, model = name] { make_model(model, input, false); });
    CHECK(contains(message, name));
    CHECK(contains(message, input.str()));
  }
  for (ModelInput bad : {ModelInput{0, 28, 28, 10}, ModelInput{1, -1, 28, 10}, ModelInput{1, 28, 28, 1}})
    CHECK_THROWS_AS(make_model("mlp", bad, true), Error);
  std::string message = error_of([] { make_model("alexnet", {}, true); });
  CHECK(contains(message, "\"alexnet\""));
  CHECK(contains(message, "resnet20"));

  // Images other than those the network was built for.
  auto run = [](const char* name, const Shape& shape) {
    ModulePtr m = make_model(name, default_input(name), true);
    return error_of([&] { (*m)(Variable(Tensor::zeros(shape))); });
  };
  CHECK(contains(run("resnet20", {2, 1, 32, 32}),
                 "[conv2d] conv1: expected 3 channels, got input (2, 1, 32, 32)"));
  CHECK(contains(run("resnet20", {3, 32, 32}), "[conv2d]"));
  CHECK(contains(run("cnn", {2, 1, 32, 32}), "[linear] fc1: expected 3136 features"));
  CHECK(contains(run("mlp", {2, 1, 27, 28}), "[linear] fc1: expected 784 features"));
}

TEST_CASE("initialisers have the mean, variance and range they promise", "[models]") {
  // fan_in 16 * 9 = 144, fan_out 64 * 9 = 576, 9216 numbers; six standard errors of mean and variance.
  const double in = 144, out = 576, n = 9216;
  struct Case {
    const char* name;
    std::function<void(Tensor&)> fill;
    double variance;
    bool is_uniform;
  };
  const Case cases[] = {
      {"kaiming_normal", [](Tensor& t) { init::kaiming_normal(t, Rng(1, "a")); }, 2 / in, false},
      {"kaiming_normal, gain 1", [](Tensor& t) { init::kaiming_normal(t, Rng(1, "b"), 1); }, 1 / in, false},
      {"kaiming_uniform", [](Tensor& t) { init::kaiming_uniform(t, Rng(1, "c")); }, 2 / in, true},
      {"xavier_normal", [](Tensor& t) { init::xavier_normal(t, Rng(1, "d")); }, 2 / (in + out), false},
      {"xavier_uniform", [](Tensor& t) { init::xavier_uniform(t, Rng(1, "e")); }, 2 / (in + out), true},
      {"uniform", [](Tensor& t) { init::uniform(t, -3, 3, Rng(1, "f")); }, 3, true},
      {"PyTorch's", [](Tensor& t) { t = Conv2d(16, 64).weight.value(); }, 1 / (3 * in), true}};
  for (const Case& c : cases)
    for (Layout layout : {Layout::contiguous, Layout::channels_last}) {
      INFO(c.name);
      Tensor t = Tensor::zeros({64, 16, 3, 3}, DType::float32, layout);
      c.fill(t);
      CHECK(std::fabs(mean_of(t)) < 6 * std::sqrt(c.variance / n));
      // Var of the squared deviation: 2 v^2 for the normal, 0.8 v^2 for the uniform distribution.
      CHECK(std::fabs(variance_of(t) - c.variance) <
            6 * c.variance * std::sqrt((c.is_uniform ? 0.8 : 2) / n));
      double bound = std::sqrt(3 * c.variance);
      if (c.is_uniform) CHECK(largest_of(t) <= bound * (1 + 1e-6));
      if (c.is_uniform) CHECK(largest_of(t) > 0.99 * bound);
      if (!c.is_uniform) CHECK(largest_of(t) > 3 * std::sqrt(c.variance));
      Tensor again = Tensor::zeros({64, 16, 3, 3});
      c.fill(again);
      CHECK(identical(t.contiguous(), again.contiguous()));  // whatever the layout
    }
  Tensor constant = Tensor::zeros({3});
  init::constant(constant, 2.5);
  CHECK(constant.to_vector() == std::vector<double>{2.5, 2.5, 2.5});
  CHECK(contains(error_of([] {
                   Tensor t = Tensor::zeros({3});
                   init::kaiming_normal(t, Rng(1, "x"));
                 }),
                 "at least 2 dimensions"));
}

TEST_CASE("orthogonal initial values are orthogonal to rounding", "[models]") {
  for (Shape shape : {Shape{5, 5}, {3, 40}, {40, 3}, {1, 7}, {8, 3, 2, 2}, {8, 4, 3, 3}}) {
    INFO(shape.str());
    Tensor t = Tensor::zeros(shape, DType::float64);
    init::orthogonal(t, Rng(2, "q"), 2);
    int64_t rows = shape[0], cols = t.numel() / rows;
    Tensor m = t.reshape({rows, cols}), mt = transpose(m, 0, 1);
    Tensor gram = rows <= cols ? matmul(m, mt) : matmul(mt, m);
    Tensor expected = Tensor::zeros(gram.shape(), DType::float64);
    for (int64_t i = 0; i < gram.dim(0); ++i) expected.mutable_data<double>()[i * gram.dim(0) + i] = 4;
    // 4 * length roundings of products that add up to at most 4.
    CHECK(max_abs_difference(gram, expected) < 4 * 40 * 4 * 0x1p-53);
  }
  // Haar measure on 2x2: the first entry is the cosine of a uniform angle, of mean 0 and variance 1/2.
  double sum = 0, squares = 0;
  const int n = 4000;
  for (uint64_t i = 0; i < n; ++i) {
    Tensor t = Tensor::zeros({2, 2}, DType::float64);
    init::orthogonal(t, Rng(3, "haar", i));
    double v = t.at({0, 0});
    sum += v, squares += v * v;
  }
  CHECK(std::fabs(sum / n) < 6 * std::sqrt(0.5 / n));
  CHECK(std::fabs(squares / n - 0.5) < 6 * std::sqrt(0.125 / n));  // variance of cos^2 is 1/8
}

TEST_CASE("dropout keeps the mean, drops its share and is the identity in eval", "[models]") {
  const int64_t n = 40000;
  Variable x(Tensor::ones({200, 200}), true);
  for (double p : {0.1, 0.5, 0.9}) {
    Dropout layer({.p = p});
    initialize(layer, 3);
    Tensor y = layer(x).value();
    int64_t dropped = 0, wrong = 0;
    const float keep = static_cast<float>(1 / (1 - p));
    for (double v : y.to_vector()) {
      dropped += v == 0;
      wrong += v != 0 && v != static_cast<double>(keep);
    }
    CHECK(wrong == 0);
    CHECK(std::fabs(static_cast<double>(dropped) - p * n) < 6 * std::sqrt(n * p * (1 - p)));
    CHECK(std::fabs(mean_of(y) - 1) < 6 * std::sqrt(p / (1 - p) / n));
    layer.eval();
    CHECK(identical(layer(x).value(), x.value()));
  }
  Dropout none({.p = 0}), all({.p = 1});
  CHECK(identical(none(x).value(), x.value()));
  CHECK(norm2(all(x).value()) == 0);
  CHECK_THROWS_AS(Dropout({.p = 1.5}), Error);
  CHECK_THROWS_AS(Dropout({.p = -0.1}), Error);
}

TEST_CASE("dropout draws the same mask for the same step and another for the next", "[models]") {
  Variable x(Tensor::ones({50, 50}), true);
  Dropout a, b;
  initialize(a, 3);
  initialize(b, 3);
  for (Dropout* d : {&a, &b}) d->set_step(17);
  Tensor first = a(x).value(), second = a(x).value();
  CHECK(identical(first, b(x).value()));
  CHECK_FALSE(identical(first, second));  // a second call within the step
  a.set_step(18);
  CHECK_FALSE(identical(first, a(x).value()));
  a.set_step(17);
  CHECK(identical(first, a(x).value()));
  initialize(b, 4);
  b.set_step(17);
  CHECK_FALSE(identical(first, b(x).value()));
  // Two layers of one network drop different elements.
  Sequential net{std::make_shared<Dropout>(), std::make_shared<Dropout>()};
  initialize(net, 3);
  CHECK_FALSE(
      identical((*net.named_children()[0].second)(x).value(), (*net.named_children()[1].second)(x).value()));
  // The gradient goes through the same mask.
  a.set_step(17);
  x.zero_grad();
  sum(a(x)).backward();
  CHECK(identical(x.grad(), first));
}
