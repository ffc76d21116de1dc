// Passes that neighbouring layers share: the same numbers as layer by layer, in outputs, gradients and
// statistics, whatever is trained, observed, derived or folded.
#include <map>

#include "autograd/precision.h"
#include "core/math.h"
#include "layers/layers.h"
#include "layers/networks/models.h"
#include "layers/passes/fold.h"
#include "tests/support/fused_nets.h"
#include "tests/support/kernels.h"

using namespace sigma;
using namespace sigma::test;
using sigma::test::Contains;

TEST_CASE("fused layers give what they give one by one", "[fusion]") {
  for (const FusedNet& n : fused_nets())
    for (DType dtype : {DType::float32, DType::float64})
      for (bool training : {true, false}) {
        INFO(n.what << " " << name_of(dtype) << (training ? " training" : " eval"));
        ModulePtr net = prepared(n.make_net());
        net->to(dtype).train(training);
        Tensor x = randn(n.input, 5, dtype);
        Step fused = step(*net, x, true), alone = step(*net, x, false);
        CHECK(fused.function == n.fused);
        CHECK(alone.function == n.alone);
        CHECK(norm2(alone.values.at("input gradient")) > 0.1);
        // Only sums over the batch may be cut elsewhere.
        check_same(fused, alone, !training ? 0 : dtype == DType::float32 ? 1e-6 : 1e-13);
        // Where one part holds the whole batch even they are the same.
        Shape one = n.input;
        if (x.rank() == 4) one[0] = 1;
        x = randn(one, 6, dtype);
        check_same(step(*net, x, true), step(*net, x, false), 0);
        NoGrad off;
        for (DType kept : {DType::float32, DType::bfloat16}) {
          if (kept == DType::bfloat16 && Contains("block").match(n.what)) continue;  // rounds once, not twice
          Autocast scope(kept);
          Tensor y = (*net)(Variable(x)).value();
          NoFusion no;
          CHECK(identical(y, (*net)(Variable(x)).value()));
        }
      }
}

TEST_CASE("fused layers train what asks for gradients and nothing else", "[fusion]") {
  for (const char* frozen : {"conv", "bn", "weight", "bias", "1"})
    for (bool input_gradient : {true, false})
      for (bool training : {true, false}) {
        ModulePtr net = prepared(make<BasicBlock>(8, 16, 2, true));
        net->train(training);
        int left = 0;
        for (auto& [name, p] : net->named_parameters()) {
          bool off = name.find(frozen) != std::string::npos;
          Variable(p).set_requires_grad(!off);
          left += !off;
        }
        INFO("without " << frozen << (input_gradient ? ", input" : "") << " training " << training);
        Tensor x = randn({1, 8, 6, 5}, 5, DType::float32);
        Step fused = step(*net, x, true, input_gradient);
        check_same(fused, step(*net, x, false, input_gradient), 0);
        int defined = 0;
        for (auto& [name, value] : fused.values)
          defined += value.defined() && Contains("gradient").match(name);
        CHECK(defined == left + input_gradient);
      }
}

TEST_CASE("a hook sees its layer's own output in a fused chain", "[fusion]") {
  for (const FusedNet& n : fused_nets())
    for (bool training : {true, false}) {
      ModulePtr net = prepared(n.make_net());
      net->train(training);
      Shape shape = n.input;
      if (shape.rank() == 4) shape[0] = 1;  // statistics of one part: the same bits
      Tensor x = randn(shape, 5, DType::float32);
      std::vector<std::pair<std::string, Module*>> layers;
      net->visit([&](const std::string& path, Module& m) {
        if (m.named_children().empty()) layers.emplace_back(path, &m);
      });
      auto watch = [&](Module& m, Tensor& into) {
        return m.register_forward_hook([&into](const Module&, const Variable&, const Variable& y) {
          REQUIRE_FALSE(into.defined());  // once
          into = y.value();
        });
      };
      StateDict before = copy_of(*net);
      for (bool gradients : {true, false}) {
        NoGrad mode(gradients);
        std::vector<Tensor> own(layers.size());
        Tensor output;
        {
          NoFusion off;
          std::vector<size_t> ids;
          for (size_t i = 0; i < layers.size(); ++i) ids.push_back(watch(*layers[i].second, own[i]));
          output = (*net)(Variable(x)).value();
          for (size_t i = 0; i < layers.size(); ++i) layers[i].second->remove_forward_hook(ids[i]);
        }
        for (size_t i = 0; i < layers.size(); ++i) {
          INFO(n.what << ", " << layers[i].first << " training " << training << " gradients " << gradients);
          net->load_state_dict(before);
          Tensor seen;
          size_t id = watch(*layers[i].second, seen);
          Tensor y = (*net)(Variable(x)).value();
          layers[i].second->remove_forward_hook(id);
          REQUIRE(seen.defined());
          CHECK(identical(seen, own[i]));
          CHECK(identical(y, output));
        }
        net->load_state_dict(before);
      }
    }
}

namespace {
int calls = 0;
struct OwnConv : Conv2d {
  using Conv2d::Conv2d;
  using Conv2d::forward;
  Variable forward(const Variable& x) override { return ++calls, Conv2d::forward(x); }
};
struct OwnNorm : BatchNorm2d {
  using BatchNorm2d::BatchNorm2d;
  using BatchNorm2d::forward;
  Variable forward(const Variable& x) override { return ++calls, BatchNorm2d::forward(x); }
};
struct OwnReLU : ReLU {
  Variable forward(const Variable& x) override { return ++calls, ReLU::forward(x); }
};
}  // namespace

TEST_CASE("a nested Sequential is a part of its parent's chain, unless it is observed", "[fusion]") {
  auto chain = [](std::initializer_list<ModulePtr> layers) { return ModulePtr(new Sequential(layers)); };
  ModulePtr first = make<Conv2d>(8, 6, Conv2dOptions{.padding = 1, .bias = false}),
            second = make<Conv2d>(6, 16, Conv2dOptions{.kernel = 1}), norm = make<BatchNorm2d>(16),
            relu = make<ReLU>(), factors = chain({first, second});
  ModulePtr flat = prepared(chain({first, second, norm, relu}));
  const ModulePtr nets[] = {chain({factors, norm, relu}),
                            chain({chain({make<Identity>(), factors}), norm, relu}),
                            chain({chain({factors, norm}), relu})};  // of the same layers
  flat->to(DType::float64);
  const Tensor x = randn({19, 8, 13, 11}, 5, DType::float64);
  auto output = [](const Step& s) { return s.values.at("output"); };
  const Step whole = step(*flat, x, true), alone = step(*flat, x, false);
  CHECK(whole.function == "batch_norm");
  // The second convolution gives the norm its moments, whose sums are cut elsewhere than the norm's own: the
  // last bits of float64 tell which it was.
  CHECK_FALSE(identical(output(whole), output(alone)));
  for (const ModulePtr& net : nets) {
    const bool norm_inside = net == nets[2];
    INFO("net " << &net - nets);
    Step nested = step(*net, x, true);
    CHECK(nested.function == "batch_norm");
    CHECK(identical(output(nested), output(whole)));
    CHECK(identical(output(step(*net, x, false)), output(alone)));

    Module& observed = *net->named_children()[0].second;
    Tensor seen;
    int times = 0;
    size_t id = observed.register_forward_hook([&](const Module&, const Variable& in, const Variable& y) {
      CHECK(identical(in.value(), x));
      seen = y.value(), ++times;
    });
    Step watched = step(*net, x, true);
    CHECK(times == 1);
    CHECK(watched.function == (norm_inside ? "relu" : "batch_norm"));
    CHECK(identical(output(watched), output(norm_inside ? whole : alone)));
    observed.remove_forward_hook(id);
    CHECK(identical(seen, observed(Variable(x)).value()));
    CHECK(identical(output(step(*net, x, true)), output(whole)));
    CHECK(times == 1);
  }
}

TEST_CASE("classes derived from fused layers run by their own forward", "[fusion]") {
  for (int own = 0; own < 8; ++own) {
    INFO("own " << own);
    auto layer = [&](int bit, ModulePtr derived, ModulePtr plain) { return own & bit ? derived : plain; };
    ModulePtr net = prepared(ModulePtr(new Sequential{
        layer(1, make<OwnConv>(16, 16), make<Conv2d>(16, 16)),
        layer(2, make<OwnNorm>(16), make<BatchNorm2d>(16)), layer(4, make<OwnReLU>(), make<ReLU>()),
        layer(1, make<OwnConv>(16, 16), make<Conv2d>(16, 16)), layer(4, make<OwnReLU>(), make<ReLU>())}));
    Tensor x = randn({1, 16, 7, 7}, 5, DType::float32);
    calls = 0;
    Step fused = step(*net, x, true);
    const int expected = 2 * (own & 1) + (own >> 1 & 1) + 2 * (own >> 2);
    CHECK(calls == expected);
    check_same(fused, step(*net, x, false), 0);
    calls = 0;
    NoGrad off;
    (*net)(Variable(x));
    CHECK(calls == expected);
  }
}

TEST_CASE("folded networks fuse what is left and give the same", "[fusion]") {
  for (const FusedNet& n : fused_nets()) {
    ModulePtr net = prepared(n.make_net());
    net->eval();
    Variable x(randn(n.input, 5, DType::float32));
    INFO(n.what);
    Tensor before = (*net)(x).value();
    const int folded = fold_batch_norms(*net);
    const bool norms = std::string(n.what).find("without norms") == std::string::npos;
    CHECK((folded > 0) == (norms && n.input.rank() != 3));
    Tensor recorded = (*net)(x).value();
    NoGrad no_gradient;
    Tensor fused = (*net)(x).value();
    NoFusion off;
    CHECK(identical(fused, (*net)(x).value()));
    CHECK(identical(fused, recorded));
    double largest = 1;
    for (double v : before.to_vector()) largest = std::max(largest, std::fabs(v));
    CHECK(max_abs_difference(fused, before) <= 2e-5 * largest);
  }
}

TEST_CASE("fused networks give the same bits with one, two and three threads", "[fusion][determinism]") {
  for (const FusedNet& n : fused_nets()) {
    INFO(n.what);
    ModulePtr net = prepared(n.make_net());
    Shape shape = n.input;
    shape[0] = 19;  // several tasks
    Tensor x = randn(shape, 5, DType::float32);
    std::map<std::string, Step> first;
    on_every_machine([&] {
      Step s = step(*net, x, true);
      auto [known, added] = first.emplace(kernels::simd_name(), s);
      if (!added) check_same(s, known->second, 0);
    });
    CHECK(first.size() == kernels::simd_targets().size());
  }
}
