// Initialisers. Each fills a tensor in place from its own random stream; the values do not depend on the
// layout.
//
// fan_in and fan_out of a weight (out, in, kh, kw) are in*kh*kw and out*kh*kw.
#pragma once

#include <algorithm>
#include <cmath>

#include "autograd/variable.h"
#include "core/rng.h"
#include "core/tensor.h"

namespace sigma::init {

struct Fans {
  double in, out;
};
inline Fans fans_of(const Shape& shape) {
  SIGMA_CHECK(shape.rank() >= 2, "init", "fan_in and fan_out need at least 2 dimensions, got {}",
              shape.str());
  double field = 1;
  for (int i = 2; i < shape.rank(); ++i) field *= static_cast<double>(shape[i]);
  return {static_cast<double>(shape[1]) * field, static_cast<double>(shape[0]) * field};
}

// Calls draw() for each element in row-major order of the written shape.
template <class Draw>
void fill(Tensor& t, Draw draw) {
  Tensor values = Tensor::empty(t.shape(), DType::float64);
  double* p = values.mutable_data<double>();
  for (int64_t i = 0; i < values.numel(); ++i) p[i] = draw();
  t.copy_(values);
}

inline void constant(Tensor& t, double value) { t.fill_(value); }
// What normalization begins with, where it has them: weight 1 and bias 0.
inline void scale_and_shift(Variable& weight, Variable& bias) {
  if (!weight.defined()) return;
  weight.mutable_value().fill_(1);
  bias.mutable_value().fill_(0);
}

inline void uniform(Tensor& t, double low, double high, Rng rng) {
  fill(t, [&] { return rng.next_uniform(low, high); });
}
inline void normal(Tensor& t, double mean, double std, Rng rng) {
  fill(t, [&] { return mean + std * rng.next_normal(); });
}

// He et al. 2015: std = gain / sqrt(fan_in), gain sqrt(2) for ReLU.
inline void kaiming_normal(Tensor& t, Rng rng, double gain = std::sqrt(2.0)) {
  normal(t, 0, gain / std::sqrt(fans_of(t.shape()).in), rng);
}
inline void kaiming_uniform(Tensor& t, Rng rng, double gain = std::sqrt(2.0)) {
  double bound = gain * std::sqrt(3.0 / fans_of(t.shape()).in);
  uniform(t, -bound, bound, rng);
}
// Glorot and Bengio 2010: variance 2 / (fan_in + fan_out).
inline void xavier_normal(Tensor& t, Rng rng, double gain = 1) {
  Fans f = fans_of(t.shape());
  normal(t, 0, gain * std::sqrt(2.0 / (f.in + f.out)), rng);
}
inline void xavier_uniform(Tensor& t, Rng rng, double gain = 1) {
  Fans f = fans_of(t.shape());
  double bound = gain * std::sqrt(6.0 / (f.in + f.out));
  uniform(t, -bound, bound, rng);
}

// Filters that pass channels on: of the first min(out, in) the i-th becomes 1 at the middle of its i-th
// channel and 0 elsewhere, as PyTorch's dirac_; further ones, which PyTorch makes 0, keep their values.
inline void dirac(Tensor& t) {
  SIGMA_CHECK(t.rank() == 4, "init", "dirac needs filters (out, in, kh, kw), got {}", t.shape().str());
  const int64_t out = t.dim(0), in = t.dim(1), kh = t.dim(2), kw = t.dim(3);
  Tensor values = t.contiguous().to(DType::float64).clone();
  double* p = values.mutable_data<double>();
  for (int64_t o = 0; o < std::min(out, in); ++o) {
    double* filter = p + o * in * kh * kw;
    std::fill_n(filter, in * kh * kw, 0.0);
    filter[(o * kh + kh / 2) * kw + kw / 2] = 1;
  }
  t.copy_(values);
}

// Saxe et al. 2013: rows (or columns, whichever are fewer) of a Haar-random orthogonal matrix, times gain.
// Gram-Schmidt with positive diagonal of R on a normal matrix gives the Haar measure; it runs twice for
// orthogonality to rounding.
inline void orthogonal(Tensor& t, Rng rng, double gain = 1) {
  SIGMA_CHECK(t.rank() >= 2, "init", "orthogonal needs at least 2 dimensions, got {}", t.shape().str());
  int64_t rows = t.dim(0), cols = rows ? t.numel() / rows : 0;
  bool flip = rows > cols;  // vectors: the shorter side counts them, the longer is their length
  int64_t count = flip ? cols : rows, length = flip ? rows : cols;
  std::vector<std::vector<double>> v(static_cast<size_t>(count),
                                     std::vector<double>(static_cast<size_t>(length)));
  for (auto& row : v) {
    for (double& x : row) x = rng.next_normal();
  }
  for (size_t i = 0; i < v.size(); ++i) {
    for (int pass = 0; pass < 2; ++pass)
      for (size_t j = 0; j < i; ++j) {
        double dot = 0;
        for (size_t k = 0; k < v[i].size(); ++k) dot += v[i][k] * v[j][k];
        for (size_t k = 0; k < v[i].size(); ++k) v[i][k] -= dot * v[j][k];
      }
    double norm = 0;
    for (double x : v[i]) norm += x * x;
    for (double& x : v[i]) x /= std::sqrt(norm);
  }
  size_t at = 0;
  fill(t, [&] {
    auto r = static_cast<size_t>(static_cast<int64_t>(at) / cols),
         c = static_cast<size_t>(static_cast<int64_t>(at) % cols);
    ++at;
    return gain * (flip ? v[c][r] : v[r][c]);
  });
}

}  // namespace sigma::init
