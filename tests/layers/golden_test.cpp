// Every layer and loss against what PyTorch computed: outputs, updated statistics and gradients of the input
// and of each parameter. See tests/support/golden.h for the error bounds.
#include <cmath>

#include "layers/layers.h"
#include "tests/support/golden.h"
#include "tests/support/support.h"

using namespace sigma;
using namespace sigma::test;

namespace {

// |x|, |g| and so on as plain numbers.
std::vector<double> absolute(const Tensor& t) {
  std::vector<double> v = t.to_vector();
  for (double& a : v) a = std::abs(a);
  return v;
}

double largest(const std::vector<double>& v) { return v.empty() ? 0 : *std::max_element(v.begin(), v.end()); }

// Rounding x moves f(x) by u |x f'(x)| and the gradient g f'(x) by u |g x f''(x)|; evaluating them costs a
// few ulp of terms of at most 1 + |x|, and for |x| > 9 the five functions are flat or linear to within an
// ulp.
Bounds activation_bounds(const GoldenCase& c, const Maker&, double u) {
  std::vector<double> x = absolute(c["x"]), y = absolute(c["y"]), g = absolute(c["g"]);
  Bounds bounds{{"y", y}, {"dx", g}};
  for (size_t i = 0; i < x.size(); ++i) {
    double off = 8 * u * std::min(1 + x[i], 10.0);
    bounds["y"][i] = off + 2 * u * y[i];
    bounds["dx"][i] = off * g[i];
  }
  return bounds;
}
template <class M>
void check_activation(const std::string& layer) {
  check_layer(
      layer, [](const GoldenCase&) { return std::make_shared<M>(); }, activation_bounds);
}

// With kappa = 1 + (max|x| + |mean|) s, s = 1/sqrt(var + eps): rounding x by u |x| moves xhat by about
// u kappa (1 + xhat^2), directly and through mean and s. That, times the factors around xhat in y =
// weight xhat + bias, dweight = sum g xhat and dx = weight s (g - mean g - xhat mean(g xhat)), with 8 to
// cover the arithmetic's own roundings.
Bounds batch_norm_bounds(const GoldenCase& c, const Maker&, double u) {
  const Tensor& x = c["x"];
  int64_t n = x.dim(0), channels = x.dim(1), pixels = x.numel() / (n * channels);
  bool tracked = c.flag("track_running_stats"), affine = c.flag("affine");
  bool batch = c.flag("training") || !tracked;
  std::vector<double> values = x.to_vector(), g = absolute(c["g"]), m = absolute(x);
  double count = static_cast<double>(n * pixels), eps = c.options.at("eps");
  Bounds bounds;
  bounds["y"].resize(values.size()), bounds["dx"].resize(values.size());
  for (int64_t k = 0; k < channels; ++k) {
    std::vector<size_t> own;  // the elements of the channel
    for (int64_t i = 0; i < n; ++i)
      for (int64_t p = 0; p < pixels; ++p)
        own.push_back(static_cast<size_t>((i * channels + k) * pixels + p));
    double mean = 0, var = 0, top = 0, g_top = 0, g_sum = 0, xhat = 0;
    for (size_t i : own) mean += values[i] / count;
    for (size_t i : own) var += (values[i] - mean) * (values[i] - mean) / count;
    if (!batch) mean = c["b.running_mean"].at({k}), var = c["b.running_var"].at({k});
    double s = 1 / std::sqrt(var + eps), weight = affine ? std::abs(c["p.weight"].at({k})) : 1;
    for (size_t i : own) {
      top = std::max(top, m[i]), g_top = std::max(g_top, g[i]), g_sum += g[i];
      xhat = std::max(xhat, std::abs(values[i] - mean) * s);
    }
    double feedback = batch ? 1 + xhat * xhat : 1;  // through mean and s, which in eval are constants
    double off = 8 * u * (1 + (top + std::abs(mean)) * s) * (1 + feedback);  // of xhat
    for (size_t i : own) {
      bounds["y"][i] = weight * off + (affine ? 8 * u * std::abs(c["p.bias"].at({k})) : 0);
      bounds["dx"][i] = weight * s * g_top * (batch ? (1 + xhat) * off : 8 * u);
    }
    if (affine) {
      bounds["dp.weight"].push_back(count * g_top * off);
      bounds["dp.bias"].push_back(4 * gamma(count, u) * g_sum);
    }
    if (tracked) {
      double old_mean = std::abs(c["b.running_mean"].at({k})), old_var = c["b.running_var"].at({k});
      bounds["a.running_mean"].push_back(4 * gamma(count, u) * (old_mean + top));
      double spread = count / (count - 1) * (var + 2 * std::sqrt(var) * top);
      bounds["a.running_var"].push_back(4 * gamma(count, u) * (old_var + spread));
    }
  }
  if (tracked) bounds["a.num_batches_tracked"] = {0};
  return bounds;
}
template <class M>
void check_batch_norm(const std::string& layer) {
  auto make = [](const GoldenCase& c) {
    BatchNormOptions o{.eps = c.options.at("eps"),
                       .affine = c.flag("affine"),
                       .track_running_stats = c.flag("track_running_stats")};
    o.momentum = c.options.at("momentum").is_null()
                     ? std::nullopt
                     : std::optional<double>(c.options.at("momentum").get<double>());
    auto module = std::make_shared<M>(c.options.at("channels").get<int64_t>(), o);
    module->train(c.flag("training"));
    return module;
  };
  check_layer(layer, make, batch_norm_bounds);
}

// The output is one of the inputs, rounded; the input's gradient a sum over overlapping windows. Rounding
// keeps the order of the inputs, and the generator's inputs have no ties that only rounding makes.
Bounds max_pool_bounds(const GoldenCase& c, const Maker& make, double u) {
  Results sums = run_golden(*make(c), c, DType::float64, Layout::contiguous, Inputs::absolute_cotangent);
  Results terms = run_golden(*make(c), c, DType::float64, Layout::contiguous, Inputs::ones_cotangent);
  std::vector<double> s = sums.at("dx").to_vector(), k = terms.at("dx").to_vector(), y = absolute(c["y"]);
  for (size_t i = 0; i < s.size(); ++i) s[i] *= 4 * gamma(k[i], u);
  for (double& v : y) v *= u;
  return {{"y", y}, {"dx", s}};
}

// Moves numbers about: all that can change is their rounding.
Bounds rounding_bounds(const GoldenCase& c, const Maker&, double u) {
  Bounds bounds{{"y", absolute(c["y"])}, {"dx", absolute(c["dx"])}};
  for (auto& [key, list] : bounds)
    for (double& v : list) v *= u == unit_roundoff(DType::float64) ? 0 : u;
  return bounds;
}

Reduction reduction_of(const GoldenCase& c) {
  return c.options.at("reduction") == "sum" ? Reduction::sum : Reduction::mean;
}

}  // namespace

TEST_CASE("Conv2d agrees with PyTorch", "[golden]") {
  auto make = [](const GoldenCase& c) {
    Conv2dOptions o{.kernel = c.pair("kernel"),
                    .stride = c.pair("stride"),
                    .padding = c.pair("padding"),
                    .dilation = c.pair("dilation"),
                    .groups = c.options.at("groups"),
                    .bias = c.flag("bias")};
    return std::make_shared<Conv2d>(c.options.at("in").get<int64_t>(), c.options.at("out").get<int64_t>(), o);
  };
  check_layer("conv2d", make, linear_bounds());
}

TEST_CASE("ConvTranspose2d agrees with PyTorch", "[golden]") {
  auto make = [](const GoldenCase& c) {
    ConvTranspose2dOptions o{.kernel = c.pair("kernel"),
                             .stride = c.pair("stride"),
                             .padding = c.pair("padding"),
                             .output_padding = c.pair("output_padding"),
                             .dilation = c.pair("dilation"),
                             .groups = c.options.at("groups"),
                             .bias = c.flag("bias")};
    return std::make_shared<ConvTranspose2d>(c.options.at("in").get<int64_t>(),
                                             c.options.at("out").get<int64_t>(), o);
  };
  check_layer("conv_transpose2d", make, linear_bounds());
}

// A pixel is a sum of at most four products; weights that are rounded themselves hide that number.
TEST_CASE("Upsample agrees with PyTorch, nearest and bilinear", "[golden]") {
  auto make = [](const GoldenCase& c) {
    const bool bilinear = c.options.at("mode") == "bilinear";
    return std::make_shared<Upsample>(
        UpsampleOptions{c.pair("scale"), bilinear ? UpsampleMode::bilinear : UpsampleMode::nearest});
  };
  check_layer("upsample", make, linear_bounds(36));
}

TEST_CASE("Linear agrees with PyTorch", "[golden]") {
  auto make = [](const GoldenCase& c) {
    return std::make_shared<Linear>(c.options.at("in").get<int64_t>(), c.options.at("out").get<int64_t>(),
                                    LinearOptions{.bias = c.flag("bias")});
  };
  check_layer("linear", make, linear_bounds());
}

TEST_CASE("BatchNorm1d agrees with PyTorch in training and eval", "[golden]") {
  check_batch_norm<BatchNorm1d>("batch_norm1d");
}
TEST_CASE("BatchNorm2d agrees with PyTorch in training and eval", "[golden]") {
  check_batch_norm<BatchNorm2d>("batch_norm2d");
}

TEST_CASE("ReLU agrees with PyTorch", "[golden]") { check_activation<ReLU>("relu"); }
TEST_CASE("Sigmoid agrees with PyTorch", "[golden]") { check_activation<Sigmoid>("sigmoid"); }
TEST_CASE("Tanh agrees with PyTorch", "[golden]") { check_activation<Tanh>("tanh"); }
TEST_CASE("GELU agrees with PyTorch", "[golden]") { check_activation<GELU>("gelu"); }
TEST_CASE("SiLU agrees with PyTorch", "[golden]") { check_activation<SiLU>("silu"); }
TEST_CASE("LeakyReLU agrees with PyTorch", "[golden]") {
  auto make = [](const GoldenCase& c) {
    return std::make_shared<LeakyReLU>(LeakyReLUOptions{.negative_slope = c.options.at("slope")});
  };
  check_layer("leaky_relu", make, activation_bounds);
}

TEST_CASE("MaxPool2d agrees with PyTorch, ties included", "[golden]") {
  auto make = [](const GoldenCase& c) {
    return std::make_shared<MaxPool2d>(
        PoolOptions{.kernel = c.pair("kernel"), .stride = c.pair("stride"), .padding = c.pair("padding")});
  };
  check_layer("max_pool2d", make, max_pool_bounds);
}

// The largest window of the files has 25 elements, the largest image 64; a mean of ones hides that number.
TEST_CASE("AvgPool2d agrees with PyTorch with and without counting the padding", "[golden]") {
  auto make = [](const GoldenCase& c) {
    return std::make_shared<AvgPool2d>(AvgPoolOptions{.kernel = c.pair("kernel"),
                                                      .stride = c.pair("stride"),
                                                      .padding = c.pair("padding"),
                                                      .count_include_pad = c.flag("count_include_pad")});
  };
  check_layer("avg_pool2d", make, linear_bounds(25));
}
TEST_CASE("GlobalAvgPool2d agrees with PyTorch", "[golden]") {
  check_layer(
      "global_avg_pool2d", [](const GoldenCase&) { return std::make_shared<GlobalAvgPool2d>(); },
      linear_bounds(64));
}
TEST_CASE("AdaptiveAvgPool2d agrees with PyTorch", "[golden]") {
  check_layer(
      "adaptive_avg_pool2d",
      [](const GoldenCase& c) { return std::make_shared<AdaptiveAvgPool2d>(c.pair("output")); },
      linear_bounds(64));
}

TEST_CASE("Flatten agrees with PyTorch to the bit", "[golden]") {
  check_layer(
      "flatten", [](const GoldenCase&) { return std::make_shared<Flatten>(); }, rounding_bounds);
}

// The bodies are linear or nearly: |leaky_relu(x)| <= |x|, so running the absolute values bounds those too.
// No element goes through more than 100 roundings: three sums of at most 28 terms, or one over 20 pixels.
TEST_CASE("Residual agrees with PyTorch", "[golden]") {
  auto make = [](const GoldenCase& c) -> ModulePtr {
    int64_t in = c.options.at("in"), out = c.options.value("out", in),
            stride = c.options.value("stride", int64_t{1});
    std::string body = c.options.at("body");
    bool shortcut = c.options.contains("out");
    if (body == "linear")
      return std::make_shared<Residual>(std::make_shared<Linear>(in, out),
                                        shortcut ? std::make_shared<Linear>(in, out) : nullptr);
    Conv2dOptions wide{.stride = stride, .padding = 1}, narrow{.kernel = 1, .stride = stride};
    if (body == "conv")
      return std::make_shared<Residual>(std::make_shared<Conv2d>(in, out, wide),
                                        shortcut ? std::make_shared<Conv2d>(in, out, narrow) : nullptr);
    int64_t hidden = c.options.at("hidden");
    return std::make_shared<Residual>(std::make_shared<Sequential>(std::initializer_list<ModulePtr>{
        std::make_shared<Conv2d>(in, hidden, wide), std::make_shared<LeakyReLU>(LeakyReLUOptions{0.1}),
        std::make_shared<Conv2d>(hidden, in, wide)}));
  };
  check_layer("residual", make, linear_bounds(1, 100));
}

// Rounding the logits by u |x| moves a log-probability by at most 2 u max|x|; computing it costs a few ulp of
// at most max|x| + log C. The gradient is a difference of terms of at most `pull` whose probabilities have
// that relative error.
TEST_CASE("CrossEntropyLoss agrees with PyTorch", "[golden]") {
  for (const GoldenCase& c : load_golden("cross_entropy"))
    for (DType dtype : {DType::float64, DType::float32}) {
      INFO(c.name << " " << name_of(dtype));
      CrossEntropyOptions o{.label_smoothing = c.options.at("label_smoothing"), .reduction = reduction_of(c)};
      if (c.tensors.count("weight")) o.weight = c["weight"].to_vector();
      const Tensor& t = c["t"];
      int64_t n = c["x"].dim(0), classes = c["x"].dim(1);
      Variable x(c["x"].to(dtype), true), y = CrossEntropyLoss(o)(x, t);
      y.backward(c["g"].to(dtype));
      double own = 0, top = o.weight.empty() ? 1 : largest(o.weight), g = std::abs(c["g"].item());
      for (int64_t i = 0; i < n; ++i) own += o.weight.empty() ? 1 : o.weight[static_cast<size_t>(t.at({i}))];
      double divide = o.reduction == Reduction::mean ? own : 1;
      double size = 1 + largest(absolute(c["x"])) + std::log(static_cast<double>(classes));
      double unit = 8 * unit_roundoff(dtype) * size * top / divide;
      std::vector<double> dx(static_cast<size_t>(n * classes), 2 * unit * g);
      compare(c, dtype, {{"y", y.value()}, {"dx", x.grad()}},
              {{"y", {2 * unit * static_cast<double>(n)}}, {"dx", dx}});
    }
}

// d = x - t is off by u (|x| + |t|) from rounding the operands; the loss is a sum of the squares.
TEST_CASE("MSELoss agrees with PyTorch", "[golden]") {
  for (const GoldenCase& c : load_golden("mse"))
    for (DType dtype : {DType::float64, DType::float32}) {
      INFO(c.name << " " << name_of(dtype));
      Variable x(c["x"].to(dtype), true), t(c["t"].to(dtype), true);
      Variable y = MSELoss(reduction_of(c))(x, t);
      y.backward(c["g"].to(dtype));
      std::vector<double> a = absolute(c["x"]), b = absolute(c["t"]), dx;
      double n = static_cast<double>(a.size()), u = unit_roundoff(dtype), sum = 0;
      double divide = reduction_of(c) == Reduction::mean ? n : 1;
      for (size_t i = 0; i < a.size(); ++i) {
        sum += (a[i] + b[i]) * (a[i] + b[i]) / divide;
        dx.push_back(8 * u * (a[i] + b[i]) * std::abs(c["g"].item()) / divide);
      }
      compare(c, dtype, {{"y", y.value()}, {"dx", x.grad()}, {"dt", t.grad()}},
              {{"y", {4 * gamma(n, u) * sum}}, {"dx", dx}, {"dt", dx}});
    }
}
