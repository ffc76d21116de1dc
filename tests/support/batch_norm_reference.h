// What the batch normalization tests share: an independent reference in long double, written as plain loops
// over the definition, two passes and no pivot, so that it has no trick in common with the library.
#pragma once

#include <cmath>
#include <limits>
#include <vector>

#include "core/math.h"
#include "core/rng.h"
#include "layers/batch_norm.h"
#include "tests/support/support.h"

namespace sigma::test {

// Largest absolute difference; infinite when the counts differ or either side holds a NaN, so that a
// comparison with a tolerance fails.
inline double gap(const std::vector<double>& got, const std::vector<double>& want) {
  double worst = 0, infinite = std::numeric_limits<double>::infinity();
  if (got.size() != want.size() || got.empty()) return infinite;
  for (size_t i = 0; i < got.size(); ++i) {
    double d = std::fabs(got[i] - want[i]);
    if (std::isnan(d)) return infinite;
    worst = std::max(worst, d);
  }
  return worst;
}
inline double gap(const Tensor& got, const std::vector<double>& want) { return gap(got.to_vector(), want); }
inline double gap(const Variable& got, const std::vector<double>& want) { return gap(got.value(), want); }

inline Tensor f64(const std::vector<double>& values, const Shape& shape) {
  return Tensor::from(values, shape);
}
inline Tensor f64(const std::vector<double>& values) {
  return Tensor::from(values, {static_cast<int64_t>(values.size())});
}
// Uniform in low..high, for variances.
inline Tensor uniform(const Shape& shape, double low, double high, uint64_t seed,
                      DType dtype = DType::float64) {
  Tensor t = Tensor::empty(shape, DType::float64);
  Rng rng(seed, "test uniform");
  for (int64_t i = 0; i < t.numel(); ++i) t.mutable_data<double>()[i] = rng.next_uniform(low, high);
  return t.to(dtype);
}
inline void set(Variable v, const Tensor& value) { v.mutable_value().copy_(value); }

// Gives every parameter and statistic a value of its own, so that none can be mistaken for another or left
// out.
inline void randomize(BatchNorm& norm, uint64_t seed) {
  Shape shape{norm.channels()};
  if (norm.weight.defined()) {
    set(norm.weight, randn(shape, seed));
    set(norm.bias, randn(shape, seed + 1));
  }
  if (norm.running_mean.defined()) {
    set(norm.running_mean, randn(shape, seed + 2));
    set(norm.running_var, uniform(shape, 0.5, 2, seed + 3));
  }
}

struct ReferenceInput {
  Tensor x;
  Tensor weight, bias;               // undefined: 1 and 0
  Tensor running_mean, running_var;  // given: evaluation with these statistics
  Tensor g;                          // given: gradients of <g, y>
  double eps = 1e-5;
};
struct Reference {
  std::vector<double> y, xhat, dx, dweight, dbias;
  std::vector<double> mean, biased, unbiased;  // of the batch
};

inline Reference reference(const ReferenceInput& in) {
  using Real = long double;
  auto channels = static_cast<size_t>(in.x.dim(1));
  std::vector<double> x = in.x.to_vector(), g(x.size(), 0.0);
  if (in.g.defined()) g = in.g.to_vector();
  size_t inner = 1;
  for (int i = 2; i < in.x.rank(); ++i) inner *= static_cast<size_t>(in.x.dim(i));
  auto channel = [&](size_t i) { return i / inner % channels; };
  auto given = [](const Tensor& t, double otherwise, size_t c) {
    return static_cast<Real>(t.defined() ? t.to_vector()[c] : otherwise);
  };
  Reference r;
  r.y.resize(x.size());
  r.xhat.resize(x.size());
  r.dx.resize(x.size());
  for (size_t c = 0; c < channels; ++c) {
    Real count = static_cast<Real>(x.size() / channels), sum = 0, squares = 0, left = 0;
    for (size_t i = 0; i < x.size(); ++i)
      if (channel(i) == c) sum += static_cast<Real>(x[i]);
    Real mean = sum / count;
    for (size_t i = 0; i < x.size(); ++i) {
      if (channel(i) != c) continue;
      Real d = static_cast<Real>(x[i]) - mean;
      squares += d * d;
      left += d;
    }
    // What rounding the mean left over: it shows when the mean is 1e14 times the deviation.
    squares -= left * left / count;
    Real var = squares / count;
    r.mean.push_back(static_cast<double>(mean));
    r.biased.push_back(static_cast<double>(var));
    r.unbiased.push_back(static_cast<double>(squares / (count - 1)));
    bool training = !in.running_mean.defined();
    if (!training) mean = given(in.running_mean, 0, c), var = given(in.running_var, 1, c);
    Real s = 1 / std::sqrt(var + static_cast<Real>(in.eps));
    Real gamma = given(in.weight, 1, c), beta = given(in.bias, 0, c), sum_g = 0, sum_gx = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      if (channel(i) != c) continue;
      Real xhat = (static_cast<Real>(x[i]) - mean) * s;
      r.xhat[i] = static_cast<double>(xhat);
      r.y[i] = static_cast<double>(gamma * xhat + beta);
      sum_g += static_cast<Real>(g[i]);
      sum_gx += static_cast<Real>(g[i]) * xhat;
    }
    r.dbias.push_back(static_cast<double>(sum_g));
    r.dweight.push_back(static_cast<double>(sum_gx));
    for (size_t i = 0; i < x.size(); ++i) {
      if (channel(i) != c) continue;
      Real xhat = (static_cast<Real>(x[i]) - mean) * s, d = static_cast<Real>(g[i]);
      if (training) d -= sum_g / count + xhat * (sum_gx / count);
      r.dx[i] = static_cast<double>(gamma * s * d);
    }
  }
  return r;
}

// (1 - momentum) * old + momentum * batch.
inline std::vector<double> moved(const std::vector<double>& old, const std::vector<double>& batch,
                                 double momentum) {
  std::vector<double> result;
  for (size_t c = 0; c < old.size(); ++c) result.push_back((1 - momentum) * old[c] + momentum * batch[c]);
  return result;
}

}  // namespace sigma::test
