#include "layers/passes/factor.h"

#include "core/math.h"

namespace sigma {
namespace {

const Linear* as_linear(const Module& m) { return dynamic_cast<const Linear*>(&m); }
const Conv2d* as_conv(const Module& m) { return dynamic_cast<const Conv2d*>(&m); }

const Tensor& weight_of(const Module& m) {
  return as_linear(m) ? as_linear(m)->weight.value() : as_conv(m)->weight.value();
}
const Variable& bias_of(const Module& m) { return as_linear(m) ? as_linear(m)->bias : as_conv(m)->bias; }

void check_scheme(const Module& layer, FactorScheme scheme) {
  auto all = factor_schemes(layer);
  SIGMA_CHECK(std::find(all.begin(), all.end(), scheme) != all.end(), "factor",
              "{} cannot be factored by the {} scheme", layer.describe(), name_of(scheme));
}

// Rows and columns of M.
Shape matrix_shape(const Tensor& w, FactorScheme scheme) {
  if (scheme == FactorScheme::spatial) return {w.dim(1) * w.dim(2), w.dim(0) * w.dim(3)};
  return {w.dim(0), w.numel() / w.dim(0)};
}

// The two layers, in the order they run.
std::pair<ModulePtr, ModulePtr> thin_layers(const Module& layer, FactorScheme scheme, int64_t r) {
  const bool bias = bias_of(layer).defined();
  const Tensor& w = weight_of(layer);
  if (scheme == FactorScheme::linear)
    return {std::make_shared<Linear>(w.dim(1), r, LinearOptions{.bias = false}),
            std::make_shared<Linear>(r, w.dim(0), LinearOptions{.bias = bias})};
  Conv2dOptions first = as_conv(layer)->options(), second{.kernel = 1, .bias = bias};
  first.bias = false;
  if (scheme == FactorScheme::spatial) {
    second = first;
    second.bias = bias;
    first.kernel.w = 1, first.stride.w = 1, first.padding.w = 0, first.dilation.w = 1;
    second.kernel.h = 1, second.stride.h = 1, second.padding.h = 0, second.dilation.h = 1;
  }
  return {std::make_shared<Conv2d>(w.dim(1), r, first), std::make_shared<Conv2d>(r, w.dim(0), second)};
}

// Values in the weight's shape, from the factors of M: `left` (rows, r) and `right` (r, columns).
std::pair<Tensor, Tensor> thin_weights(const Tensor& w, FactorScheme scheme, const Tensor& left,
                                       const Tensor& right) {
  const int64_t r = left.dim(1);
  if (scheme == FactorScheme::linear) return {right, left};
  const int64_t out = w.dim(0), in = w.dim(1), kh = w.dim(2), kw = w.dim(3);
  if (scheme == FactorScheme::channel) return {right.reshape({r, in, kh, kw}), left.reshape({out, r, 1, 1})};
  return {transpose(left, 0, 1).reshape({r, in, kh, 1}),
          permute(right.reshape({r, out, kw}), {1, 0, 2}).reshape({out, r, 1, kw})};
}

void set(Module& layer, const Tensor& weight, const Variable& bias) {
  Variable w = as_linear(layer) ? as_linear(layer)->weight : as_conv(layer)->weight;
  w.mutable_value().copy_(weight);
  Variable b = bias_of(layer);
  if (!b.defined()) return;
  if (bias.defined())
    b.mutable_value().copy_(bias.value());
  else
    b.mutable_value().fill_(0);
}

}  // namespace

const char* name_of(FactorScheme s) {
  return s == FactorScheme::linear ? "linear" : s == FactorScheme::channel ? "channel" : "spatial";
}

FactorScheme parse_factor_scheme(const std::string& name) {
  for (FactorScheme s : {FactorScheme::linear, FactorScheme::channel, FactorScheme::spatial})
    if (name == name_of(s)) return s;
  fail(ErrorKind::usage, "factor", "unknown scheme \"{}\", expected linear, channel or spatial", name);
}

std::vector<FactorScheme> factor_schemes(const Module& layer) {
  if (as_linear(layer)) return {FactorScheme::linear};
  const Conv2d* conv = as_conv(layer);
  if (!conv || conv->options().groups != 1) return {};
  const Pair k = conv->options().kernel;
  if (k.h == 1 || k.w == 1) return {FactorScheme::channel};  // already one-dimensional
  return {FactorScheme::channel, FactorScheme::spatial};
}

Tensor factor_matrix(const Module& layer, FactorScheme scheme) {
  check_scheme(layer, scheme);
  Tensor w = weight_of(layer).contiguous().to(DType::float64);
  if (scheme == FactorScheme::spatial) w = permute(w, {1, 2, 0, 3});
  return w.reshape(matrix_shape(weight_of(layer), scheme));
}

int64_t weights_per_rank(const Module& layer, FactorScheme scheme) {
  Shape m = matrix_shape(weight_of(layer), scheme);
  return m[0] + m[1];
}

int64_t macs_per_rank(const Module& layer, FactorScheme scheme, const Shape& in, const Shape& out) {
  const Tensor& w = weight_of(layer);
  if (scheme == FactorScheme::linear) return in.numel() + out.numel();
  const int64_t n = out[0], pixels = out[2] * out[3];
  if (scheme == FactorScheme::channel) return n * pixels * weights_per_rank(layer, scheme);
  return n * (out[2] * in[3] * w.dim(1) * w.dim(2) + pixels * w.dim(0) * w.dim(3));
}

ModulePtr factored(const Module& layer, FactorScheme scheme, int64_t rank, const Svd* svd) {
  check_scheme(layer, scheme);
  const Tensor& w = weight_of(layer);
  Shape m = matrix_shape(w, scheme);
  SIGMA_CHECK(rank >= 1 && rank <= std::min(m[0], m[1]), "factor", "expected a rank of 1 to {}, got {}",
              std::min(m[0], m[1]), rank);
  auto [first, second] = thin_layers(layer, scheme, rank);
  first->to(w.dtype()), second->to(w.dtype());
  if (svd) {
    Tensor root = sqrt(slice(svd->s, -1, 0, rank));
    Tensor left = mul(slice(svd->u, -1, 0, rank), root);
    Tensor right = mul(slice(svd->vh, -2, 0, rank), root.reshape({rank, 1}));
    auto [a, b] = thin_weights(w, scheme, left, right);
    set(*first, a, {});
    set(*second, b, bias_of(layer));
  } else {
    for (const ModulePtr& l : {first, second}) set(*l, Tensor::zeros(weight_of(*l).shape(), w.dtype()), {});
  }
  auto both = std::make_shared<Sequential>();
  both->append(first);
  both->append(second);
  both->train(layer.is_training());
  return both;
}

void replace_layer(Module& model, const std::string& path, ModulePtr layer) {
  size_t dot = path.rfind('.');
  std::string name = dot == std::string::npos ? path : path.substr(dot + 1);
  Module* parent = dot == std::string::npos ? &model : model.find(path.substr(0, dot));
  SIGMA_CHECK(parent, "factor", "there is no layer {}", path);
  auto& children = parent->named_children();
  for (size_t i = 0; i < children.size(); ++i)
    if (children[i].first == name) return parent->replace_child(i, std::move(layer));
  SIGMA_CHECK(false, "factor", "there is no layer {}", path);
}

void apply_factors(Module& model, const std::vector<Factor>& factors, bool values) {
  for (const Factor& f : factors) {
    Module* layer = f.path.empty() ? nullptr : model.find(f.path);
    SIGMA_CHECK(layer, "factor", "there is no layer \"{}\"", f.path);
    check_scheme(*layer, f.scheme);
    Svd svd;
    if (values) svd = sigma::svd(factor_matrix(*layer, f.scheme), {.full_matrices = false});
    replace_layer(model, f.path, factored(*layer, f.scheme, f.rank, values ? &svd : nullptr));
  }
}

}  // namespace sigma
