#include "layers/layer_norm.h"

#include "autograd/ops.h"
#include "layers/group_norm.h"
#include "layers/init.h"

namespace sigma {

Variable layer_norm(const Variable& x, const Shape& normalized, const Variable& weight, const Variable& bias,
                    double eps) {
  const char* tag = "layer_norm";
  const int rank = normalized.rank(), first = x.rank() - rank;
  bool fits = rank > 0 && first >= 0;
  for (int i = 0; fits && i < rank; ++i) fits = x.dim(first + i) == normalized[i];
  SIGMA_CHECK(fits, tag, "expected input (..., {}), got {}",
              normalized.str().substr(1, normalized.str().size() - 2), x.shape().str());
  SIGMA_CHECK(normalized.numel() > 0, tag, "expected at least one value to normalize over, got {}",
              normalized.str());
  auto flat = [&](const Variable& v) {
    if (!v.defined()) return v;
    SIGMA_CHECK(v.shape() == normalized, tag, "expected weight and bias {}, got {}", normalized.str(),
                v.shape().str());
    return v.rank() == 1 ? v : reshape(v, {v.numel()});
  };
  const int64_t width = normalized.numel();
  Variable rows = reshape(x, {x.numel() / width, width});
  return reshape(group_norm(rows, 1, flat(weight), flat(bias), eps), x.shape());
}

LayerNorm::LayerNorm(Shape normalized, LayerNormOptions options)
    : normalized_(normalized), options_(options) {
  SIGMA_CHECK(normalized.rank() > 0 && normalized.numel() > 0, "layer_norm",
              "expected at least one value to normalize over, got {}", normalized.str());
  SIGMA_CHECK(options.eps >= 0, "layer_norm", "expected eps of at least 0, got {}", options.eps);
  if (!options.affine) return;
  weight = register_parameter("weight", Tensor::ones(normalized));
  bias = register_parameter("bias", Tensor::zeros(normalized));
}

std::string LayerNorm::describe() const {
  return fmt::format("LayerNorm({}, eps={}, elementwise_affine={})", normalized_.str(), options_.eps,
                     options_.affine ? "True" : "False");
}

void LayerNorm::reset_parameters(uint64_t, const std::string&) { init::scale_and_shift(weight, bias); }

std::vector<LayerExample> LayerNorm::examples() {
  return {example<LayerNorm>("the last dimension", {3, 4, 5}, Shape{5}),
          example<LayerNorm>("the last two, not affine", {2, 3, 4}, Shape{3, 4},
                             LayerNormOptions{.affine = false}),
          example<LayerNorm>("images", {2, 3, 2, 2}, Shape{3, 2, 2})};
}

std::vector<LayerWord> LayerNorm::words() {
  return {{"layernorm", "ln", "eps=1e-5",
           [](const LayerText& t) {  // over all that a sample has
             const Shape sample(std::vector<int64_t>(t.in().begin() + 1, t.in().end()));
             return planned<LayerNorm>(t.in(), 2 * static_cast<double>(sample.numel()), sample,
                                       LayerNormOptions{.eps = t.number("eps")});
           },
           true}};
}

}  // namespace sigma
