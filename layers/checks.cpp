#include "layers/checks.h"

#include <algorithm>
#include <cmath>

#include "core/math.h"
#include "core/rng.h"
#include "layers/layers.h"

namespace sigma {
namespace {

template <class M, class... Args>
std::function<ModulePtr()> make(Args... args) {
  return [=]() -> ModulePtr { return std::make_shared<M>(args...); };
}

}  // namespace

const std::vector<LayerExample>& layer_examples() {
  using C = Conv2dOptions;
  static const std::vector<LayerExample> table = {
      {"Linear", "bias", {5, 7}, make<Linear>(7, 4)},
      {"Linear", "no bias, 3-D input", {2, 3, 5}, make<Linear>(5, 6, LinearOptions{.bias = false})},
      {"Conv2d", "3x3, padding 1", {2, 3, 5, 4}, make<Conv2d>(3, 4, C{.kernel = 3, .padding = 1})},
      {"Conv2d",
       "3x3, stride 2, no bias",
       {2, 2, 7, 6},
       make<Conv2d>(2, 3, C{.kernel = 3, .stride = 2, .bias = false})},
      {"Conv2d",
       "3x2, stride (2,1), padding (2,1), dilation (1,2)",
       {2, 3, 6, 7},
       make<Conv2d>(3, 2, C{.kernel = {3, 2}, .stride = {2, 1}, .padding = {2, 1}, .dilation = {1, 2}})},
      {"Conv2d", "groups 2", {2, 4, 5, 5}, make<Conv2d>(4, 6, C{.kernel = 3, .padding = 1, .groups = 2})},
      {"Conv2d", "depthwise", {2, 3, 5, 5}, make<Conv2d>(3, 3, C{.kernel = 3, .padding = 1, .groups = 3})},
      {"Conv2d", "1x1", {3, 5, 3, 3}, make<Conv2d>(5, 4, C{.kernel = 1})},
      {"Conv2d", "1x1, stride 2", {2, 3, 5, 5}, make<Conv2d>(3, 4, C{.kernel = 1, .stride = 2})},
      {"BatchNorm1d", "training, (N, C)", {6, 4}, make<BatchNorm1d>(4)},
      {"BatchNorm1d", "training, (N, C, L)", {3, 4, 5}, make<BatchNorm1d>(4)},
      {"BatchNorm1d", "eval", {6, 4}, make<BatchNorm1d>(4), false},
      {"BatchNorm2d", "training", {4, 3, 2, 2}, make<BatchNorm2d>(3)},
      {"BatchNorm2d", "eval", {4, 3, 2, 2}, make<BatchNorm2d>(3), false},
      {"BatchNorm2d", "not affine", {4, 3, 2, 2}, make<BatchNorm2d>(3, BatchNormOptions{.affine = false})},
      {"ReLU", "", {4, 6}, make<ReLU>()},
      {"LeakyReLU", "slope 0.2", {4, 6}, make<LeakyReLU>(LeakyReLUOptions{.negative_slope = 0.2})},
      {"Sigmoid", "", {4, 6}, make<Sigmoid>()},
      {"Tanh", "", {4, 6}, make<Tanh>()},
      {"GELU", "", {4, 6}, make<GELU>()},
      {"MaxPool2d", "2x2", {2, 3, 6, 5}, make<MaxPool2d>(PoolOptions{})},
      {"MaxPool2d",
       "3x3, stride 2, padding 1",
       {2, 2, 6, 7},
       make<MaxPool2d>(PoolOptions{.kernel = 3, .stride = 2, .padding = 1})},
      {"AvgPool2d", "2x2", {2, 3, 6, 5}, make<AvgPool2d>(AvgPoolOptions{})},
      {"AvgPool2d",
       "3x3, stride 2, padding 1, not counted",
       {2, 2, 6, 7},
       make<AvgPool2d>(AvgPoolOptions{.kernel = 3, .stride = 2, .padding = 1, .count_include_pad = false})},
      {"GlobalAvgPool2d", "", {2, 3, 4, 5}, make<GlobalAvgPool2d>()},
      {"AdaptiveAvgPool2d", "(3, 2)", {2, 3, 7, 5}, make<AdaptiveAvgPool2d>(Pair(3, 2))},
      {"Dropout", "p 0.4", {5, 8}, make<Dropout>(DropoutOptions{.p = 0.4})},
      {"Flatten", "", {2, 3, 2, 4}, make<Flatten>()},
      {"Identity", "", {3, 4}, make<Identity>()},
      {"Residual",
       "linear body",
       {4, 6},
       [] { return std::make_shared<Residual>(std::make_shared<Linear>(6, 6)); }},
      {"BasicBlock", "stride 2, batch norm", {3, 2, 4, 4}, make<BasicBlock>(2, 4, 2, true)},
      {"BasicBlock", "plain", {2, 3, 4, 4}, make<BasicBlock>(3, 3, 1, false)},
      {"Sequential",
       "conv, batch norm, ReLU, pool, linear",
       {4, 2, 6, 6},
       [] {
         auto net = std::make_shared<Sequential>();
         net->add<Conv2d>("conv", 2, 3, C{.padding = 1});
         net->add<BatchNorm2d>("bn", 3);
         net->add<ReLU>("relu");
         net->add<MaxPool2d>("pool");
         net->add<Flatten>("flatten");
         net->add<Linear>("fc", 27, 4);
         initialize(*net, 3);
         return net;
       }},
  };
  return table;
}

namespace {

// Takes a module to float64 on copies of its values; at the end of the scope it has its own back, every bit.
class Untouched {
 public:
  explicit Untouched(Module& module) {
    for (auto* list : {&parameters_, &buffers_})
      for (auto& [name, v] : list == &parameters_ ? module.named_parameters() : module.named_buffers())
        list->push_back({v, v.value(), v.grad()});
    for (auto* list : {&parameters_, &buffers_})
      for (Saved& s : *list)
        s.variable.mutable_value() =
            is_floating(s.value.dtype()) ? s.value.to(DType::float64).clone() : s.value.clone();
    for (Saved& s : parameters_) s.variable.zero_grad();
  }
  Untouched(const Untouched&) = delete;
  Untouched& operator=(const Untouched&) = delete;
  ~Untouched() {
    for (auto* list : {&parameters_, &buffers_})
      for (Saved& s : *list) {
        s.variable.mutable_value() = s.value;
        s.variable.set_grad(s.gradient);
      }
  }

 private:
  struct Saved {
    Variable variable;
    Tensor value, gradient;
  };
  std::vector<Saved> parameters_, buffers_;
};

}  // namespace

Tensor smooth_input(const Shape& shape, uint64_t seed) {
  Tensor x = Tensor::empty(shape, DType::float64);
  int64_t n = x.numel();
  Rng rng(seed, "smooth input");
  std::vector<double> values;
  for (int64_t i = 0; i < n; ++i) values.push_back(rng.next_normal());
  std::sort(values.begin(), values.end());
  // Pushes neighbours apart, away from 0 on both sides.
  auto middle = std::lower_bound(values.begin(), values.end(), 0.0) - values.begin();
  double last = 0;
  for (auto i = middle; i < static_cast<std::ptrdiff_t>(n); ++i) {
    auto k = static_cast<size_t>(i);
    last = values[k] = std::max(values[k], last + 1e-3);
  }
  last = 0;
  for (auto i = middle; i-- > 0;) {
    auto k = static_cast<size_t>(i);
    last = values[k] = std::min(values[k], last - 1e-3);
  }
  auto order = permutation(n, Rng(seed, "smooth order"));
  double* p = x.mutable_data<double>();
  for (int64_t i = 0; i < n; ++i) p[i] = values[static_cast<size_t>(order[static_cast<size_t>(i)])];
  return x;
}

GradcheckResult gradcheck_module(Module& module, const Tensor& x, GradcheckOptions options) {
  const Untouched keep(module);
  // Checked at random values: batch norm's initial 1 and 0 would hide a mistake in their use.
  uint64_t stream = 0;
  for (auto& [name, p] : module.named_parameters())
    if (p.rank() == 1) {
      Rng rng(options.seed, "gradcheck parameter", stream++);
      double* v = p.mutable_value().mutable_data<double>();
      for (int64_t i = 0; i < p.numel(); ++i) v[i] += rng.next_uniform(-0.5, 0.5);
    }
  Variable input(x.to(DType::float64).clone(), true);
  Variables leaves{input};
  for (Variable& p : module.parameters()) leaves.push_back(p);
  return gradcheck_leaves(
      [&] {
        module.set_step(0);  // the same random numbers in every evaluation
        return module(input);
      },
      leaves, options);
}

std::vector<CheckRow> gradcheck_layers(const std::string& layer) {
  std::vector<CheckRow> rows;
  auto wanted = [&](const std::string& name) { return layer.empty() || layer == name; };
  for (const LayerExample& e : layer_examples()) {
    if (!wanted(e.layer)) continue;
    ModulePtr module = e.make();
    module->train(e.training);
    rows.push_back({e.layer, e.what, gradcheck_module(*module, smooth_input(e.input, 7))});
  }
  Variable logits(smooth_input({5, 4}, 8), true), other(smooth_input({5, 4}, 9), true);
  Tensor targets = Tensor::from<int64_t>({0, 3, 1, 1, 2}, {5});
  auto cross = [&](const char* what, CrossEntropyOptions o) {
    if (wanted("CrossEntropyLoss"))
      rows.push_back(
          {"CrossEntropyLoss", what,
           gradcheck([&](const Variables& v) { return cross_entropy(v[0], targets, o); }, {logits})});
  };
  cross("mean", {});
  cross("sum", {.reduction = Reduction::sum});
  cross("label smoothing 0.1", {.label_smoothing = 0.1});
  cross("class weights, label smoothing 0.2", {.label_smoothing = 0.2, .weight = {0.5, 1, 2, 0.25}});
  if (wanted("MSELoss"))
    for (Reduction r : {Reduction::mean, Reduction::sum})
      rows.push_back(
          {"MSELoss", r == Reduction::mean ? "mean" : "sum",
           gradcheck([r](const Variables& v) { return mse_loss(v[0], v[1], r); }, {logits, other})});
  return rows;
}

}  // namespace sigma
