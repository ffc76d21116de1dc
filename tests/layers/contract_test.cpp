// What passes over networks ask of a layer, and a layer of one's own that answers: everything here is defined
// in this file, and it is compressed, folded, measured and traced without an edit elsewhere.
#include "core/math.h"
#include "layers/checks.h"
#include "layers/layers.h"
#include "tests/support/batch_norm_reference.h"
#include "tests/support/support.h"

using namespace sigma;
using namespace sigma::test;
using sigma::test::Contains;

namespace {

// A linear map of the channels of sequences: y[n,o,l] = sum_c w[o,c] x[n,c,l] + b[o], x (N, C, L).
class Pointwise : public AffineLayer {
 public:
  static std::vector<LayerExample> examples() { return {example<Pointwise>("sequences", {2, 3, 5}, 3, 4)}; }
  Pointwise(int64_t in, int64_t out, bool with_bias = true)
      : AffineLayer({.in = in, .out = out, .bias = with_bias, .features = 1}, "pointwise") {}
  Variable forward(const Variable& x) override {
    Variable rows = permute(x, {0, 2, 1});
    return permute(linear(rows, weight, bias), {0, 2, 1});
  }
  std::string kind() const override { return "Pointwise"; }
  ModulePtr make(const AffineForm& f) const override {
    return std::make_shared<Pointwise>(f.in, f.out, f.bias);
  }
};

SIGMA_LAYER(Pointwise);

// Groups of channels apart from each other: an affine layer that cannot be factored.
class Grouped : public AffineLayer {
 public:
  Grouped(int64_t in, int64_t out, int64_t groups)
      : AffineLayer({.in = in, .out = out, .groups = groups}, "grouped") {}
  Variable forward(const Variable& x) override {
    const AffineForm& f = form();
    Variables parts;
    for (int64_t g = 0; g < f.groups; ++g) {
      const int64_t in = f.in / f.groups, out = f.out / f.groups;
      parts.push_back(
          linear(slice(x, -1, g * in, in), slice(weight, 0, g * out, out), slice(bias, 0, g * out, out)));
    }
    return cat(parts, -1);
  }
  std::string kind() const override { return "Grouped"; }
  ModulePtr make(const AffineForm& f) const override {
    return std::make_shared<Grouped>(f.in, f.out, f.groups);
  }
};

std::shared_ptr<Sequential> sequences() {
  auto net = std::make_shared<Sequential>();
  net->add<Pointwise>("first", 6, 9, false);
  net->add<BatchNorm1d>("norm", 9);
  net->add<ReLU>("relu");
  net->add<Pointwise>("second", 9, 7);
  initialize(*net, 3);
  net->to(DType::float64);
  randomize(layer_as<BatchNorm>(*net, "norm"), 5);
  net->eval();
  return net;
}

}  // namespace

TEST_CASE("a layer of one's own meets the module contract", "[contract]") {
  check_module([] { return std::make_shared<Pointwise>(3, 4); }, {2, 3, 5});
  check_module([] { return std::make_shared<Grouped>(6, 4, 2); }, {3, 6});
  // SIGMA_LAYER put it into the table that sigma gradcheck walks through, beside the library's.
  std::vector<CheckRow> rows = gradcheck_layers("Pointwise");
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].result.passed);
  CHECK(layer_names().size() > 20);
}

TEST_CASE("a layer of one's own is factored into layers of its kind", "[contract]") {
  auto net = sequences();
  Variable x(randn({2, 6, 5}, 1));
  Tensor want = (*net)(x).value();
  CHECK(factor_schemes(*net->find("second")) == std::vector<FactorScheme>{FactorScheme::linear});
  CHECK(weights_per_rank(*net->find("second"), FactorScheme::linear) == 16);
  CHECK(macs_per_rank(*net->find("second"), FactorScheme::linear, {2, 9, 5}, {2, 7, 5}) == 2 * 5 * 16);
  apply_factors(*net, {{"second", FactorScheme::linear, 7}}, true);
  CHECK(net->find("second.0")->kind() == "Pointwise");
  CHECK(net->find("second.0")->affine()->form().out == 7);
  CHECK(!net->find("second.0")->affine()->bias.defined());
  CHECK(max_abs_difference((*net)(x).value(), want) <= 1e-13 * (1 + norm2(want)));
  CHECK(factor_schemes(Grouped(6, 4, 2)).empty());
  CHECK(factor_schemes(ReLU()).empty());
}

TEST_CASE("a batch norm folds into a layer of one's own", "[contract]") {
  auto net = sequences();
  Variable x(randn({2, 6, 5}, 1));
  Tensor want = (*net)(x).value();
  CHECK(fold_batch_norms(*net) == 1);
  CHECK(net->find("norm")->kind() == "Identity");
  CHECK(net->find("first")->affine()->bias.defined());
  CHECK(net->find("first")->affine()->form().bias);
  CHECK(max_abs_difference((*net)(x).value(), want) <= 1e-13 * (1 + norm2(want)));
  // Rows of a grouped matrix are scaled like any other.
  Sequential grouped{std::make_shared<Grouped>(6, 4, 2), std::make_shared<BatchNorm1d>(4)};
  initialize(grouped, 1);
  grouped.to(DType::float64);
  randomize(layer_as<BatchNorm>(grouped, "1"), 2);
  grouped.eval();
  Variable y(randn({3, 6}, 2));
  want = grouped(y).value();
  CHECK(fold_batch_norms(grouped) == 1);
  CHECK(max_abs_difference(grouped(y).value(), want) <= 1e-13 * (1 + norm2(want)));
}

TEST_CASE("a layer of one's own shows in spectra", "[contract]") {
  auto net = sequences();
  auto layers = layer_spectra(*net, {1, 6, 5});
  REQUIRE(layers.size() == 2);
  CHECK(layers[1].path == "second");
  CHECK(layers[1].kind == "Pointwise");
  CHECK(layers[1].shape == Shape{7, 9});
  CHECK(layers[1].weight.numel() == 7);
  CHECK(!layers[1].op.defined());
  Tensor x = randn({8, 6, 5}, 4);
  auto found = activation_spectra(*net, 8, [&] { return Variable(x); });
  REQUIRE(found.size() == 2);
  CHECK(found[0].samples == 8 * 5);
  CHECK(found[0].features == 9);
  Tensor rows = permute((*net->find("first"))(Variable(x)).value(), {0, 2, 1}).contiguous().reshape({40, 9});
  CHECK(identical(found[0].covariance, covariance_spectrum(rows)));
}

TEST_CASE("trace has a row for each call with shapes and costs, and leaves the network as it was",
          "[contract]") {
  auto net = sequences();
  net->train();
  StateDict before = copy_of(*net);
  auto rows = trace(*net, Shape{2, 6, 5});
  REQUIRE(rows.size() == 5);
  CHECK(rows[0].path == "first");
  CHECK(rows[0].kind == "Pointwise");
  CHECK(rows[0].in == Shape{2, 6, 5});
  CHECK(rows[0].out == Shape{2, 9, 5});
  CHECK(rows[0].parameters == 54);
  CHECK(rows[0].macs == 2 * 5 * 54);
  CHECK(rows[1].macs == 0);  // folds away
  CHECK(rows[3].description == "Pointwise()");
  CHECK(rows[4].path.empty());
  CHECK_FALSE(rows[4].leaf);
  CHECK(rows[4].parameters == net->parameter_count());
  CHECK(total_macs(rows) == 2 * 5 * (54 + 63));
  CHECK(trace_leaves(*net, {2, 6, 5}).size() == 4);
  CHECK(net->is_training());
  CHECK(net->find("norm")->is_training());
  for (auto& [name, t] : net->state_dict().items) CHECK(identical(t, *before.find(name)));
  net->visit([](const std::string&, Module& m) { CHECK_FALSE(m.has_forward_hooks()); });
  // A layer that is called twice has two rows.
  auto shared = std::make_shared<Linear>(4, 4);
  Sequential twice{shared, std::make_shared<ReLU>(), shared};
  rows = trace(twice, Shape{1, 4});
  REQUIRE(rows.size() == 4);
  CHECK(rows[0].path == "0");
  CHECK(rows[2].path == "0");
}

TEST_CASE("chains are the children that run one after the other, in residual blocks too", "[contract]") {
  BasicBlock block(2, 4, 2, true);
  CHECK(block.named_children().size() == 6);
  REQUIRE(block.chain().size() == 5);
  CHECK(block.chain()[4].first == "bn2");
  Residual residual(std::make_shared<Linear>(3, 3), std::make_shared<Linear>(3, 3));
  REQUIRE(residual.chain().size() == 1);
  CHECK(residual.chain()[0].first == "body");
  CHECK(ReLU().chain().empty());
}

// A norm that two layers' outputs go through, or weights that two places use, cannot be folded into one of
// them alone.
TEST_CASE("weights that are used in two places are not folded into", "[contract]") {
  auto shared = std::make_shared<Linear>(4, 4);
  Sequential net{shared, std::make_shared<BatchNorm1d>(4), shared, std::make_shared<ReLU>()};
  randomize(layer_as<BatchNorm>(net, "1"), 2);
  net.eval();
  Variable x(randn({3, 4}, 1, DType::float32));
  Tensor want = net(x).value();
  CHECK(fold_batch_norms(net) == 0);
  CHECK(identical(net(x).value(), want));
}

namespace {
// Keeps pointers of its own to its layers.
struct OwnNet : Module {
  std::shared_ptr<Linear> fc = register_module("fc", std::make_shared<Linear>(4, 4));
  std::shared_ptr<BatchNorm1d> bn = register_module("bn", std::make_shared<BatchNorm1d>(4));
  Variable forward(const Variable& x) override { return (*bn)((*fc)(x)); }
  std::string kind() const override { return "OwnNet"; }
};
}  // namespace

TEST_CASE("a layer that a class keeps a pointer to is not replaced behind its back", "[contract]") {
  OwnNet net;
  initialize(net, 1);
  CHECK_THAT(error_of([&] {
               apply_factors(net, {{"fc", FactorScheme::linear, 2}}, true);
             }),
             Contains("[replace_child] OwnNet may keep a pointer to its layer \"fc\""));
  CHECK_THROWS_AS(net.replace_child(0, std::make_shared<Identity>()), Error);
  net.eval();
  CHECK(fold_batch_norms(net) == 0);
  CHECK(net.find("fc") == net.fc.get());
  Sequential outer{std::make_shared<OwnNet>(), std::make_shared<Linear>(4, 2)};
  apply_factors(outer, {{"1", FactorScheme::linear, 1}}, true);
  CHECK(outer.find("1.0")->kind() == "Linear");
}

TEST_CASE("without an update of statistics a training pass normalizes by the batch and counts nothing",
          "[contract]") {
  Sequential net{std::make_shared<Linear>(3, 4), std::make_shared<BatchNorm1d>(4), std::make_shared<ReLU>()};
  Variable x(randn({6, 3}, 1, DType::float32));
  StateDict before = copy_of(net);
  Tensor y;
  {
    NoStatisticsUpdate off;
    y = net(x).value();
    for (auto& [name, t] : net.state_dict().items) CHECK(identical(t, *before.find(name)));
  }
  CHECK(identical(net(x).value(), y));
  CHECK_FALSE(identical(*net.state_dict().find("1.running_mean"), *before.find("1.running_mean")));
}
