#include "tests/support/fused_nets.h"

#include "core/math.h"
#include "layers/layers.h"

namespace sigma::test {

ModulePtr prepared(ModulePtr net) {
  initialize(*net, 7);
  uint64_t seed = 100;
  net->visit([&](const std::string&, Module& m) {
    auto* bn = layer_as<BatchNorm>(&m);
    if (!bn || !bn->weight.defined()) return;
    bn->weight.mutable_value().copy_(randn(bn->weight.shape(), ++seed));
    bn->bias.mutable_value().copy_(randn(bn->bias.shape(), ++seed));
    if (!bn->running_mean.defined()) return;
    bn->running_mean.mutable_value().copy_(randn(bn->weight.shape(), ++seed));
    bn->running_var.mutable_value().copy_(
        add(abs(randn(bn->weight.shape(), ++seed)), Tensor::ones({1}, DType::float64)));
  });
  return net;
}

Step step(Module& net, const Tensor& x, bool fused, bool input_gradient) {
  StateDict before = copy_of(net);
  std::unique_ptr<NoFusion> off = fused ? nullptr : std::make_unique<NoFusion>();
  net.zero_grad();
  Variable input(x, input_gradient);
  Variable y = net(input);
  Step s{{{"output", y.value()}}, y.state()->grad_fn ? y.state()->grad_fn->name : ""};
  if (y.requires_grad()) y.backward(randn(y.shape(), 99, y.dtype()));
  if (input_gradient) s.values["input gradient"] = input.grad();
  for (auto& [name, p] : net.named_parameters()) s.values[name + " gradient"] = p.grad();
  for (auto& [name, b] : net.named_buffers()) s.values[name] = b.value().clone();
  net.load_state_dict(before);
  return s;
}

void check_same(const Step& got, const Step& expected, double tolerance) {
  REQUIRE(got.values.size() == expected.values.size());
  for (auto& [name, value] : expected.values) {
    INFO(name);
    const Tensor& other = got.values.at(name);
    REQUIRE(other.defined() == value.defined());
    if (!value.defined()) continue;
    if (tolerance == 0) {
      CHECK(identical(other.contiguous(), value.contiguous()));
      continue;
    }
    double largest = 1;
    for (double v : value.to_vector()) largest = std::max(largest, std::fabs(v));
    CHECK(max_abs_difference(other.to(DType::float64), value.to(DType::float64)) <= tolerance * largest);
  }
}

namespace {

ModulePtr conv_norm_relu(int64_t in, int64_t out, Conv2dOptions options) {
  return ModulePtr(new Sequential{
      {"conv", make<Conv2d>(in, out, options)}, {"bn", make<BatchNorm2d>(out)}, {"relu", make<ReLU>()}});
}

std::vector<FusedNet> convolutions() {
  return {
      {"3x3 convolution, norm, relu",
       [] { return conv_norm_relu(16, 32, {.padding = 1}); },
       {2, 16, 7, 5},
       "batch_norm",
       "relu"},
      {"strided 5x5 convolution, norm, relu",
       [] { return conv_norm_relu(3, 17, {.kernel = 5, .stride = 2, .padding = 2}); },
       {3, 3, 9, 11},
       "batch_norm",
       "relu"},
      {"grouped convolution without bias, norm, relu",
       [] { return conv_norm_relu(4, 6, {.kernel = 3, .groups = 2, .bias = false}); },
       {2, 4, 6, 6},
       "batch_norm",
       "relu"},
      {"convolutions without bias, without norms",
       [] {
         return ModulePtr(new Sequential{make<Conv2d>(3, 16, Conv2dOptions{.bias = false}), make<ReLU>(),
                                         make<Conv2d>(16, 16, Conv2dOptions{.bias = false}), make<ReLU>()});
       },
       {2, 3, 9, 8},
       "relu",
       "relu"},
      {"a chain that ends in a norm",
       [] {
         return ModulePtr(new Sequential{make<Conv2d>(3, 16, Conv2dOptions{}), make<ReLU>(),
                                         make<Conv2d>(16, 16, Conv2dOptions{}), make<BatchNorm2d>(16)});
       },
       {2, 3, 8, 8},
       "batch_norm",
       "batch_norm"},
      {"norms without affine map and without statistics",
       [] {
         return ModulePtr(new Sequential{
             make<Conv2d>(16, 16, Conv2dOptions{}), make<BatchNorm2d>(16, BatchNormOptions{.affine = false}),
             make<ReLU>(), make<BatchNorm2d>(16, BatchNormOptions{.track_running_stats = false}),
             make<ReLU>()});
       },
       {2, 16, 5, 6},
       "batch_norm",
       "relu"}};
}

std::vector<FusedNet> rows_and_sequences() {
  return {
      {"norm, relu on rows",
       [] {
         return ModulePtr(new Sequential{make<Linear>(5, 9), make<BatchNorm1d>(9), make<ReLU>(),
                                         make<Linear>(9, 4), make<BatchNorm1d>(4)});
       },
       {7, 5},
       "batch_norm",
       "batch_norm"},
      {"linear layers without norms, with and without bias",
       [] {
         return ModulePtr(new Sequential{make<Linear>(5, 40), make<ReLU>(),
                                         make<Linear>(40, 9, LinearOptions{.bias = false}), make<ReLU>()});
       },
       {7, 5},
       "relu",
       "relu"},
      {"norm, relu on sequences",
       [] {
         return ModulePtr(new Sequential{make<BatchNorm1d>(5), make<ReLU>()});
       },
       {3, 5, 6},
       "batch_norm",
       "relu"}};
}

std::vector<FusedNet> blocks() {
  return {{"block", [] { return make<BasicBlock>(16, 16, 1, true); }, {2, 16, 5, 7}, "batch_norm", "relu"},
          {"block with downsampling",
           [] { return make<BasicBlock>(8, 16, 2, true); },
           {3, 8, 7, 6},
           "batch_norm",
           "relu"},
          {"block without norms",
           [] { return make<BasicBlock>(16, 16, 1, false); },
           {2, 16, 5, 5},
           "relu",
           "relu"},
          {"downsampling block without norms",
           [] { return make<BasicBlock>(4, 6, 2, false); },
           {2, 4, 6, 5},
           "relu",
           "relu"}};
}

}  // namespace

const std::vector<FusedNet>& fused_nets() {
  static const std::vector<FusedNet> all = [] {
    std::vector<FusedNet> nets;
    for (const auto& subject : {convolutions(), rows_and_sequences(), blocks()})
      nets.insert(nets.end(), subject.begin(), subject.end());
    return nets;
  }();
  return all;
}

}  // namespace sigma::test
