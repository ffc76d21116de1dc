// Layers in two factors: the same function at full rank, the best approximation below, and what they cost.
#include "core/math.h"
#include "layers/layers.h"
#include "tests/support/support.h"

using namespace sigma;
using namespace sigma::test;

namespace {

Tensor run(Module& m, const Tensor& x) {
  NoGrad off;
  return m(Variable(x)).value();
}

Svd thin(const Module& layer, FactorScheme scheme) {
  return svd(factor_matrix(layer, scheme), {.full_matrices = false});
}

// The weight of one layer that computes what the two do.
Tensor product(const Module& both, FactorScheme scheme) {
  auto weight = [&](size_t i) {
    for (auto& [name, p] : both.named_children()[i].second->named_parameters())
      if (name == "weight") return p.value().contiguous();
    return Tensor();
  };
  Tensor a = weight(0), b = weight(1);
  if (scheme == FactorScheme::linear) return matmul(b, a);
  int64_t r = a.dim(0), out = b.dim(0), in = a.dim(1);
  if (scheme == FactorScheme::channel)
    return matmul(b.reshape({out, r}), a.reshape({r, a.numel() / r})).reshape({out, in, a.dim(2), a.dim(3)});
  Tensor w = Tensor::zeros({out, in, a.dim(2), b.dim(3)}, a.dtype());
  double* p = w.mutable_data<double>();
  for (int64_t o = 0; o < out; ++o)
    for (int64_t c = 0; c < in; ++c)
      for (int64_t u = 0; u < a.dim(2); ++u)
        for (int64_t v = 0; v < b.dim(3); ++v, ++p)
          for (int64_t k = 0; k < r; ++k) *p += a.at({k, c, u, 0}) * b.at({o, k, 0, v});
  return w;
}

std::vector<ModulePtr> examples() {
  std::vector<ModulePtr> all{
      std::make_shared<Linear>(7, 5),
      std::make_shared<Linear>(4, 9, LinearOptions{.bias = false}),
      std::make_shared<Conv2d>(3, 4, Conv2dOptions{.padding = 1}),
      std::make_shared<Conv2d>(5, 2, Conv2dOptions{.kernel = {3, 5}, .stride = {2, 1}, .padding = {1, 2}}),
      std::make_shared<Conv2d>(2, 6,
                               Conv2dOptions{.kernel = 2, .stride = 2, .padding = {0, 1}, .bias = false}),
      std::make_shared<Conv2d>(3, 3, Conv2dOptions{.kernel = 3, .padding = 2, .dilation = 2}),
      std::make_shared<Conv2d>(6, 4, Conv2dOptions{.kernel = 1, .stride = 2})};
  uint64_t seed = 0;
  for (ModulePtr& m : all) {
    initialize(*m, ++seed);
    m->to(DType::float64);
  }
  return all;
}

Shape input_of(const Module& m) {
  const AffineForm& form = m.affine()->form();
  if (!form.convolution) return {6, form.in};
  return {2, form.in, 9, 8};
}

}  // namespace

TEST_CASE("at full rank two factors compute what the layer does", "[factor]") {
  for (const ModulePtr& layer : examples())
    for (FactorScheme scheme : factor_schemes(*layer)) {
      INFO(layer->describe() << " " << name_of(scheme));
      Svd d = thin(*layer, scheme);
      ModulePtr both = factored(*layer, scheme, d.s.numel(), &d);
      Tensor x = randn(input_of(*layer), 1);
      Tensor want = run(*layer, x), got = run(*both, x);
      REQUIRE(got.shape() == want.shape());
      CHECK(max_abs_difference(got, want) <= 1e-13 * (1 + norm2(want)));
      CHECK(norm2(want) > 0.1);
    }
}

TEST_CASE("at any rank the factors are the best approximation of their matrix", "[factor]") {
  for (const ModulePtr& layer : examples())
    for (FactorScheme scheme : factor_schemes(*layer)) {
      INFO(layer->describe() << " " << name_of(scheme));
      Svd d = thin(*layer, scheme);
      std::vector<double> s = d.s.to_vector();
      double tail = 0;
      for (auto r = static_cast<int64_t>(s.size()); r >= 1; --r) {
        ModulePtr both = factored(*layer, scheme, r, &d);
        Tensor w = product(*both, scheme);
        // Eckart and Young: the error is what the dropped values hold.
        Tensor own = layer->affine()->weight.value().contiguous();
        CHECK(std::abs(norm2(sub(w, own)) - std::sqrt(tail)) <= 1e-13);
        tail += s[static_cast<size_t>(r - 1)] * s[static_cast<size_t>(r - 1)];
        // Both factors have the same share of each singular value.
        std::vector<double> norms;
        for (auto& [name, p] : both->named_parameters())
          if (name.find("weight") != std::string::npos) norms.push_back(norm2(p.value()));
        CHECK(norms[0] == Approx(norms[1]));
      }
    }
}

TEST_CASE("what a rank costs is what the two layers have and do", "[factor]") {
  for (const ModulePtr& layer : examples())
    for (FactorScheme scheme : factor_schemes(*layer)) {
      INFO(layer->describe() << " " << name_of(scheme));
      ModulePtr both = factored(*layer, scheme, 2);
      int64_t weights = 0, macs = 0;
      for (auto& [name, p] : both->named_parameters())
        if (name.find("weight") != std::string::npos) weights += p.numel();
      both->visit([&](const std::string&, Module& m) {
        m.register_forward_hook([&](const Module& l, const Variable& in, const Variable& out) {
          macs += l.macs(in.shape(), out.shape());
        });
      });
      Shape in = input_of(*layer);
      Tensor y = run(*both, randn(in, 2));
      CHECK(weights == 2 * weights_per_rank(*layer, scheme));
      CHECK(macs == 2 * macs_per_rank(*layer, scheme, in, y.shape()));
    }
}

TEST_CASE("a network with factors loads its state, folds its norms and fuses as if it were flat",
          "[factor]") {
  ModelInput input{3, 16, 16, 10};
  std::vector<Factor> factors{{"conv1", FactorScheme::spatial, 3},
                              {"conv3", FactorScheme::channel, 7},
                              {"conv6", FactorScheme::spatial, 20},
                              {"fc", FactorScheme::linear, 5}};
  ModulePtr a = make_model("vgg", input, true, 4), b = make_model("vgg", input, true, 5);
  update_bn(*a, [n = 0]() mutable {
    return n++ ? Variable() : Variable(randn({8, 3, 16, 16}, 3, DType::float32).to(Layout::channels_last));
  });
  apply_factors(*a, factors, true);
  apply_factors(*b, factors, false);
  b->load_state_dict(a->state_dict());
  Tensor x = randn({4, 3, 16, 16}, 6, DType::float32).to(Layout::channels_last);
  a->eval(), b->eval();
  Tensor want = run(*a, x);
  CHECK(identical(run(*b, x), want));
  {
    NoFusion off;
    CHECK(identical(run(*b, x), want));
  }
  CHECK(fold_batch_norms(*b) == 6);
  CHECK(max_abs_difference(run(*b, x), want) <= 1e-4 * (1 + norm2(want)));
  CHECK(a->find("conv3.1") != nullptr);
  CHECK(a->find("conv3.1")->describe() == "Conv2d(7, 128, kernel_size=(1, 1), stride=(1, 1))");
  // A residual network: the block's chain has a Sequential in it, the skip is added after.
  ModulePtr r = make_model("resnet20", input, true, 1), q = make_model("resnet20", input, true, 2);
  std::vector<Factor> blocks{{"layer2.0.conv1", FactorScheme::spatial, 24},
                             {"layer3.2.conv2", FactorScheme::channel, 9}};
  apply_factors(*r, blocks, true);
  apply_factors(*q, blocks, false);
  q->load_state_dict(r->state_dict());
  Variable loss = sum(mul((*r)(Variable(x)), (*r)(Variable(x))));
  loss.backward();
  r->eval(), q->eval();
  q->load_state_dict(r->state_dict());
  CHECK(identical(run(*q, x), run(*r, x)));
  CHECK(fold_batch_norms(*q) > 15);
  CHECK(max_abs_difference(run(*q, x), run(*r, x)) <= 1e-4 * (1 + norm2(run(*r, x))));
}

TEST_CASE("factors that do not fit a model are refused with the reason", "[factor]") {
  ModulePtr m = make_model("lenet5", {1, 28, 28, 10}, true);
  auto error = [&](Factor f) { return error_of([&] { apply_factors(*m, {f}, true); }); };
  CHECK(error({"conv9", FactorScheme::channel, 1}).find("there is no layer \"conv9\"") != std::string::npos);
  CHECK(error({"", FactorScheme::channel, 1}).find("there is no layer") != std::string::npos);
  CHECK(error({"bn1", FactorScheme::channel, 1}).find("cannot be factored by the channel") !=
        std::string::npos);
  CHECK(error({"fc1", FactorScheme::spatial, 1}).find("cannot be factored by the spatial") !=
        std::string::npos);
  CHECK(error({"fc1", FactorScheme::linear, 121}).find("a rank of 1 to 120, got 121") != std::string::npos);
  CHECK(error({"fc1", FactorScheme::linear, 0}).find("got 0") != std::string::npos);
  Conv2d grouped(4, 4, {.groups = 2});
  CHECK(factor_schemes(grouped).empty());
  CHECK(error_of([] { parse_factor_scheme("tucker"); }).find("\"tucker\"") != std::string::npos);
}
