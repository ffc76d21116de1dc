#include "layers/scalar.h"

#include <cmath>

#include "autograd/ops.h"
#include "autograd/precision.h"

namespace sigma {
namespace {

double checked(double value, const char* tag) {
  SIGMA_CHECK(std::isfinite(value), tag, "expected a finite value to begin with, got {}", value);
  return value;
}

}  // namespace

Scale::Scale(double value) : value_(checked(value, "scale")) {
  weight = register_parameter("weight", Tensor::full({1}, value));
}

// In mixed precision x is of fewer bits, and so is what comes out.
Variable Scale::forward(const Variable& x) { return mul(x, cast(weight, x.dtype())); }

void Scale::reset_parameters(uint64_t, const std::string&) { weight.mutable_value().fill_(value_); }

std::vector<LayerExample> Scale::examples() {
  return {example<Scale>("begins at 0.5", {4, 6}, 0.5), example<Scale>("images, from 0", {2, 3, 2, 2}, 0.0)};
}

std::vector<LayerWord> Scale::words() {
  return {{"scale", "scale", "VALUE=1",
           [](const LayerText& t) { return planned<Scale>(t.in(), 1, t.number("value")); }}};
}

Shift::Shift(double value) : value_(checked(value, "shift")) {
  bias = register_parameter("bias", Tensor::full({1}, value));
}

Variable Shift::forward(const Variable& x) { return add(x, cast(bias, x.dtype())); }

void Shift::reset_parameters(uint64_t, const std::string&) { bias.mutable_value().fill_(value_); }

std::vector<LayerExample> Shift::examples() {
  return {example<Shift>("begins at -1", {4, 6}, -1.0), example<Shift>("images", {2, 3, 2, 2})};
}

std::vector<LayerWord> Shift::words() {
  return {{"shift", "shift", "VALUE=0",
           [](const LayerText& t) { return planned<Shift>(t.in(), 1, t.number("value")); }}};
}

}  // namespace sigma
