// The functions of ops.h against what PyTorch computed (tests/golden/generate_ops.py), forward and backward,
// in float64 and float32, images in both memory layouts.
#include <cmath>

#include "autograd/ops.h"
#include "tests/support/golden.h"

using namespace sigma;
using namespace sigma::test;

namespace {

struct Outcome {
  Tensor y;
  std::vector<Tensor> gradients;
};

Outcome run(const GoldenCase& c, const std::function<Variable(const Variables&)>& fn, DType dtype,
            Layout layout) {
  Variables inputs;
  for (int k = 0; c.tensors.count("x" + std::to_string(k)); ++k) {
    Tensor x = c["x" + std::to_string(k)].to(dtype);
    inputs.emplace_back(x.rank() == 4 ? x.to(layout) : x.clone(), true);
  }
  Outcome out;
  Variable y = fn(inputs);
  out.y = y.value();
  y.backward(c["g"].to(dtype));
  for (Variable& v : inputs)
    out.gradients.push_back(v.grad().defined() ? v.grad() : Tensor::zeros_like(v.value()));
  return out;
}

double largest(const Tensor& t) { return t.numel() == 0 ? 0 : amax(abs(t)).item(); }

// Every |got - expected| is at most bound, both undefined or of one shape.
void check_close(const Tensor& got, const Tensor& expected, double bound, const char* what) {
  INFO(what);
  REQUIRE(got.shape() == expected.shape());
  CHECK(max_abs_difference(got, expected) <= bound);
}

using Make = std::function<Variable(const GoldenCase&, const Variables&)>;
// The allowed errors of y and of the gradients, for numbers of unit roundoff u.
using Allowed = std::function<std::pair<double, double>(const GoldenCase&, double u)>;

void check_golden(const std::string& name, const Make& make, const Allowed& allowed) {
  for (const GoldenCase& c : load_golden(name)) {
    INFO(c.name);
    for (DType dtype : {DType::float64, DType::float32})
      for (Layout layout : {Layout::contiguous, Layout::channels_last}) {
        if (layout == Layout::channels_last && c["x0"].rank() != 4) continue;
        Outcome out = run(
            c, [&](const Variables& v) { return make(c, v); }, dtype, layout);
        const auto [y, dx] = allowed(c, unit_roundoff(dtype));
        check_close(out.y, c["y"], y, "y");
        for (size_t k = 0; k < out.gradients.size(); ++k)
          check_close(out.gradients[k], c["d" + std::to_string(k)], dx, "gradient");
      }
  }
}

// Rounding x by u |x| and subtracting the maximum moves the exponents by 2 u max|x|, the exponentials by as
// much of themselves, their sum of K terms by K u more; log_softmax moves by as much itself.
double exponent_error(const GoldenCase& c, double u) {
  return 4 * u * (2 * largest(c["x0"]) + static_cast<double>(c["x0"].numel()) + 4);
}

}  // namespace

TEST_CASE("softmax agrees with PyTorch", "[golden]") {
  auto make = [](const GoldenCase& c, const Variables& v) { return softmax(v[0], c.options.at("dim")); };
  // dx = y (g - sum g y): both factors move by their share, y at most 1.
  check_golden("softmax", make, [](const GoldenCase& c, double u) {
    const double off = exponent_error(c, u);
    return std::pair(off, 4 * off * largest(c["g"]));
  });
}

TEST_CASE("log_softmax agrees with PyTorch", "[golden]") {
  auto make = [](const GoldenCase& c, const Variables& v) { return log_softmax(v[0], c.options.at("dim")); };
  // dx = g - e^y sum g
  check_golden("log_softmax", make, [](const GoldenCase& c, double u) {
    const double off = exponent_error(c, u) + 4 * u * largest(c["y"]);
    const double terms = static_cast<double>(c["x0"].dim(c.options.at("dim")));
    return std::pair(off, 4 * (off + u) * terms * largest(c["g"]));
  });
}

TEST_CASE("logsumexp agrees with PyTorch", "[golden]") {
  auto make = [](const GoldenCase& c, const Variables& v) {
    return logsumexp(v[0], c.options.at("dims").get<std::vector<int>>(), c.flag("keepdim"));
  };
  check_golden("logsumexp", make, [](const GoldenCase& c, double u) {
    const double off = exponent_error(c, u) + 4 * u * largest(c["y"]);
    return std::pair(off, 4 * off * largest(c["g"]));
  });
}

namespace {

Variable scalar_op(const std::string& which, const Variable& x) {
  if (which == "x+2.5") return x + 2.5;
  if (which == "x-2.5") return x - 2.5;
  if (which == "2.5-x") return 2.5 - x;
  if (which == "x*2.5") return x * 2.5;
  if (which == "x/3") return x / 3;
  return 3 / x;
}

Variable named_op(const GoldenCase& c, const Variables& v) {
  const std::string op = c.options.at("op");
  auto bound = [&](const char* key, double otherwise) {
    return c.options.at(key).is_null() ? otherwise : c.options.at(key).get<double>();
  };
  auto dim = [&] { return c.options.at("dim").get<int>(); };
  auto dims = [&] { return c.options.at("dims").get<std::vector<int>>(); };
  if (op == "maximum") return maximum(v[0], v[1]);
  if (op == "minimum") return minimum(v[0], v[1]);
  if (op == "clamp") return clamp(v[0], bound("low", -kUnbounded), bound("high", kUnbounded));
  if (op == "where") return where(c["condition"], v[0], v[1]);
  if (op == "scalar") return scalar_op(c.options.at("which"), v[0]);
  if (op == "amax") return amax(v[0], dims(), c.flag("keepdim"));
  if (op == "amin") return amin(v[0], dims(), c.flag("keepdim"));
  if (op == "max" || op == "min") {
    if (!c.options.contains("dim")) return op == "max" ? max(v[0]) : min(v[0]);
    VariableAndIndices r = op == "max" ? max(v[0], dim()) : min(v[0], dim());
    CHECK(identical(r.indices, c["index"]));
    return r.values;
  }
  if (op == "gather") return gather(v[0], dim(), c["index"]);
  if (op == "scatter_add") return scatter_add(v[0], dim(), c["index"], v[1]);
  if (op == "index_select") return index_select(v[0], dim(), c["index"]);
  if (op == "index_add") return index_add(v[0], dim(), c["index"], v[1]);
  if (op == "stack") return stack({v[0], v[1], v[0]}, dim());
  FAIL("no such operation: " << op);
  return {};
}

}  // namespace

TEST_CASE("operations that choose, pick and join agree with PyTorch", "[golden]") {
  // They move numbers about, scale them by a constant and add at most as many as there are. Rounding 3 / x
  // moves it by u 3 / |x|, and its gradient 3 g / x^2 by twice as much of itself.
  check_golden("ops", named_op, [](const GoldenCase& c, double u) {
    const double terms = static_cast<double>(std::max(c["g"].numel(), c["x0"].numel()));
    auto gradient = [&](const char* key) { return c.tensors.count(key) ? largest(c[key]) : 0; };
    const double g = largest(c["g"]) + gradient("d0") + gradient("d1");
    const double x = largest(c["x0"]) + (c.tensors.count("x1") ? largest(c["x1"]) : 0) + largest(c["y"]);
    return std::pair(4 * gamma(std::min(terms, 16.0), u) * x, 4 * gamma(std::min(terms, 16.0), u) * g);
  });
}
