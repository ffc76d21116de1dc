#include "layers/passes/factor.h"

#include "core/math.h"
#include "layers/sequential.h"

namespace sigma {
namespace {

const AffineLayer& affine_of(const Module& m) {
  const AffineLayer* layer = m.affine();
  SIGMA_CHECK(layer, "factor", "{} is no affine layer", m.describe());
  return *layer;
}
const Tensor& weight_of(const Module& m) { return affine_of(m).weight.value(); }

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
std::pair<ModulePtr, ModulePtr> thin_layers(const AffineLayer& layer, FactorScheme scheme, int64_t r) {
  AffineForm first = layer.form(), second = first;
  first.out = r;
  first.bias = false;
  second.in = r;
  if (scheme == FactorScheme::spatial) {
    first.kernel.w = first.stride.w = first.dilation.w = 1;
    first.padding.w = 0;
    second.kernel.h = second.stride.h = second.dilation.h = 1;
    second.padding.h = 0;
  } else {
    second.kernel = second.stride = second.dilation = 1;
    second.padding = 0;
  }
  return {layer.make(first), layer.make(second)};
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

void set(Module& module, const Tensor& weight, const Variable& bias) {
  AffineLayer& layer = *module.affine();
  layer.weight.mutable_value().copy_(weight);
  if (!layer.bias.defined()) return;
  if (bias.defined())
    layer.bias.mutable_value().copy_(bias.value());
  else
    layer.bias.mutable_value().fill_(0);
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

std::vector<FactorScheme> factor_schemes(const Module& module) {
  const AffineLayer* layer = module.affine();
  if (!layer || layer->form().groups != 1 || !layer->make(layer->form())) return {};
  const AffineForm& f = layer->form();
  if (!f.convolution) return {FactorScheme::linear};
  if (f.kernel.h == 1 || f.kernel.w == 1) return {FactorScheme::channel};  // already one-dimensional
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
  auto [first, second] = thin_layers(affine_of(layer), scheme, rank);
  for (const ModulePtr& l : {first, second}) {
    SIGMA_CHECK(l && l->affine(), "factor", "{} makes no layer of rank {}", layer.describe(), rank);
    l->to(w.dtype());
  }
  if (svd) {
    Tensor root = sqrt(slice(svd->s, -1, 0, rank));
    Tensor left = mul(slice(svd->u, -1, 0, rank), root);
    Tensor right = mul(slice(svd->vh, -2, 0, rank), root.reshape({rank, 1}));
    auto [a, b] = thin_weights(w, scheme, left, right);
    set(*first, a, {});
    set(*second, b, affine_of(layer).bias);
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
  Module* old = path.empty() ? nullptr : model.find(path);
  SIGMA_CHECK(old, "factor", "there is no layer \"{}\"", path);
  model.visit([&](const std::string&, Module& parent) {
    for (size_t i = 0; i < parent.named_children().size(); ++i)
      if (parent.named_children()[i].second.get() == old) parent.replace_child(i, layer);
  });
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
