#include "autograd/gradcheck.h"

#include <cmath>

#include "autograd/ops.h"
#include "core/math.h"
#include "core/rng.h"

namespace sigma {
namespace {

Tensor random_like(const Tensor& t, uint64_t seed, std::string_view stream) {
  Rng rng(seed, stream);
  auto part = [&] {
    Tensor r = Tensor::empty(t.shape(), DType::float64);
    double* p = r.mutable_data<double>();
    for (int64_t i = 0; i < r.numel(); ++i) p[i] = rng.next_normal();
    return r;
  };
  Tensor re = part();
  return is_complex(t.dtype()) ? complex(re, part()) : re;
}

// The numbers of a float64 tensor, or real and imaginary parts in turn of a complex128 one.
const double* parts(const Tensor& t) {
  return is_complex(t.dtype()) ? reinterpret_cast<const double*>(t.data<std::complex<double>>())
                               : t.data<double>();
}
double* mutable_parts(Tensor& t) {
  return is_complex(t.dtype()) ? reinterpret_cast<double*>(t.mutable_data<std::complex<double>>())
                               : t.mutable_data<double>();
}
int64_t part_count(const Tensor& t) { return t.numel() * (is_complex(t.dtype()) ? 2 : 1); }

}  // namespace

GradcheckResult gradcheck_leaves(const std::function<Variable()>& fn, const Variables& leaves,
                                 GradcheckOptions options) {
  GradcheckResult result;
  for (const Variable& v : leaves)
    SIGMA_CHECK(v.dtype() == DType::float64 || v.dtype() == DType::complex128, "gradcheck",
                "expected float64 or complex128 inputs, got {}", name_of(v.dtype()));
  Variable y = fn();
  Tensor r = random_like(y.value(), options.seed, "gradcheck cotangent");
  GradOptions once{.retain_graph = true, .allow_unused = true};
  Variables analytic = grad({y}, leaves, {Variable(r)}, once);
  Variables again = grad({y}, leaves, {Variable(r)}, once);
  for (size_t i = 0; i < analytic.size(); ++i)
    if (analytic[i].defined() && !identical(analytic[i].value(), again[i].value())) {
      result.message = fmt::format("input {}: two backward passes gave different bits", i);
      return result;
    }

  result.passed = true;
  NoGrad off;
  for (size_t i = 0; i < leaves.size(); ++i) {
    Variable leaf = leaves[i];
    Tensor& x = leaf.mutable_value();
    Tensor a = analytic[i].defined() ? analytic[i].value().to(x.layout()) : Tensor::zeros_like(x);
    for (int64_t k = 0; k < part_count(x); ++k) {
      double old = parts(x)[k], h = options.step * std::max(1.0, std::fabs(old));
      auto evaluate = [&](double value) {
        mutable_parts(x)[k] = value;
        return fn().value().contiguous().clone();  // the output may share the input's storage
      };
      Tensor up = evaluate(old + h), down = evaluate(old - h);
      double width = (old + h) - (old - h), numeric = 0;  // the step that rounding left
      mutable_parts(x)[k] = old;
      for (int64_t j = 0; j < part_count(up); ++j) numeric += parts(r)[j] * (parts(up)[j] - parts(down)[j]);
      numeric /= width;
      double got = parts(a)[k], error = std::fabs(got - numeric);
      double ratio = error / (options.atol + options.rtol * std::fabs(numeric));
      ++result.checked;
      result.largest_gradient = std::max(result.largest_gradient, std::fabs(numeric));
      result.worst_absolute = std::max(result.worst_absolute, error);
      if (!(ratio <= result.worst)) result.worst = ratio;
      if (!(ratio <= 1) && result.passed) {
        result.passed = false;
        result.message = fmt::format("input {} {} element {}: analytic {:.12g}, numeric {:.12g}", i,
                                     x.shape().str(), k, got, numeric);
      }
    }
  }
  return result;
}

GradcheckResult gradcheck(const VariableFunction& fn, const Variables& inputs, GradcheckOptions options) {
  Variables own, wanted;
  for (const Variable& v : inputs) {
    own.push_back(Variable(v.value().contiguous().clone(), v.requires_grad()));
    if (v.requires_grad()) wanted.push_back(own.back());
  }
  return gradcheck_leaves([&] { return fn(own); }, wanted, options);
}

GradcheckResult gradgradcheck(const VariableFunction& fn, const Variables& inputs, GradcheckOptions options) {
  Variables extended = inputs;
  Variable y = fn(inputs);
  extended.push_back(Variable(random_like(y.value(), options.seed, "gradgradcheck cotangent"), true));
  // The function checked: all gradients of fn, flattened into one vector.
  auto gradients = [&fn, n = inputs.size()](const Variables& v) {
    Variables own(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(n)), wanted, flat;
    for (Variable& x : own) {
      if (x.requires_grad()) wanted.push_back(x);
    }
    NoGrad on(true);
    for (const Variable& g : grad({fn(own)}, wanted, {v[n]}, {.create_graph = true, .allow_unused = true}))
      if (g.defined()) flat.push_back(reshape(g, {g.numel()}));
    return cat(flat, 0);
  };
  return gradcheck(gradients, extended, options);
}

}  // namespace sigma
