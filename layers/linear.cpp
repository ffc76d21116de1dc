#include "layers/linear.h"

namespace sigma {

Linear::Linear(int64_t in, int64_t out, LinearOptions options)
    : AffineLayer({.in = in, .out = out, .bias = options.bias}, "linear") {}

namespace {
AffineForm form_of(const Variable& weight) {
  SIGMA_CHECK(weight.defined() && weight.rank() == 2, "linear", "expected weights (out, in)");
  return {.in = weight.dim(1), .out = weight.dim(0)};
}
}  // namespace

Linear::Linear(Variable shared_weight, Variable shared_bias)
    : AffineLayer(form_of(shared_weight), "linear", shared_weight, std::move(shared_bias)) {}

std::string Linear::describe() const {
  return fmt::format("Linear(in_features={}, out_features={}, bias={})", form().in, form().out,
                     bias.defined() ? "True" : "False");
}

ModulePtr Linear::make(const AffineForm& f) const {
  if (f.convolution || f.groups != 1) return nullptr;
  return std::make_shared<Linear>(f.in, f.out, LinearOptions{.bias = f.bias});
}

}  // namespace sigma
