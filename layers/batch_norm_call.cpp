#include "layers/batch_norm_call.h"

#include <algorithm>
#include <cmath>

#include "core/math.h"

namespace sigma {
namespace {

double inverse_deviation(double var, double eps) { return var + eps == 0 ? 0 : 1 / std::sqrt(var + eps); }

Tensor as_tensor(const std::vector<double>& values, DType dtype) {
  return Tensor::from(values, {static_cast<int64_t>(values.size())}).to(dtype);
}

void check_sizes(const BatchNormArguments& a, int64_t channels, DType dtype) {
  auto check = [&](const char* name, const Variable& v) {
    if (!v.defined()) return;
    SIGMA_CHECK(v.numel() == channels, "batch_norm", "{} should contain {} elements not {}", name, channels,
                v.numel());
    SIGMA_CHECK(v.dtype() == compute_dtype(dtype), "batch_norm",
                "mixed dtype: input is {}, {} is {}, expected {}", name_of(dtype), name, name_of(v.dtype()),
                name_of(compute_dtype(dtype)));
  };
  check("running_mean", a.running_mean);
  check("running_var", a.running_var);
  check("weight", a.weight);
  check("bias", a.bias);
}

// running <- (1 - m) running + m value * factor.
void follow(Variable running, double m, const double* value, double factor) {
  if (!running.defined()) return;
  dispatch_floating(running.dtype(), "batch_norm", [&](auto zero) {
    using T = decltype(zero);
    T* p = running.mutable_value().mutable_data<T>();
    for (int64_t c = 0; c < running.numel(); ++c)
      p[c] = static_cast<T>((1 - m) * static_cast<double>(p[c]) + m * value[c] * factor);
  });
}

}  // namespace

Rows to_rows(const Tensor& x) {
  int64_t channels = x.dim(1);
  Tensor t = x.rank() == 4   ? x.to(Layout::channels_last)
             : x.rank() == 3 ? permute(x, {0, 2, 1})
                             : x.contiguous();
  return {t, channels ? x.numel() / channels : 0, channels};
}

Tensor rows_like(const Tensor& like) {
  if (like.rank() == 4) return Tensor::empty(like.shape(), like.dtype(), Layout::channels_last);
  if (like.rank() == 3) return Tensor::empty({like.dim(0), like.dim(2), like.dim(1)}, like.dtype());
  return Tensor::empty(like.shape(), like.dtype());
}

Tensor from_rows(const Tensor& t, int rank) { return rank == 3 ? permute(t, {0, 2, 1}) : t; }

void check_batch_norm(const Variable& x, const BatchNormArguments& a) {
  const char* tag = "batch_norm";
  const Shape& shape = x.shape();
  SIGMA_CHECK(x.rank() >= 2 && x.rank() <= 4, tag, "expected 2D, 3D or 4D input (got {}D input)", x.rank());
  SIGMA_CHECK(is_floating(x.dtype()), tag, "expected float32, float64 or bfloat16 input, got {}",
              name_of(x.dtype()));
  SIGMA_CHECK(!(a.eps < 0), tag, "expected eps of at least 0, got {}", a.eps);
  if (!a.training) {
    SIGMA_CHECK(a.running_mean.defined(), tag, "running_mean must be defined in evaluation mode");
    SIGMA_CHECK(a.running_var.defined(), tag, "running_var must be defined in evaluation mode");
  }
  const int64_t channels = shape[1];
  check_sizes(a, channels, x.dtype());
  SIGMA_CHECK(!a.training || channels == 0 || shape.numel() / channels != 1, tag,
              "Expected more than 1 value per channel when training, got input size {}", shape.str());
}

Tensor batch_norm_statistics(const Rows& x, const BatchNormArguments& a, const Tensor& moments) {
  Tensor statistics = Tensor::zeros({2, x.channels}, DType::float64);
  if (x.rows == 0) return statistics;
  double* mean = statistics.mutable_data<double>();
  double* var = mean + x.channels;
  if (!a.training) {
    std::ranges::copy(a.running_mean.value().to_vector(), mean);
    std::ranges::copy(a.running_var.value().to_vector(), var);
  } else {
    if (moments.defined())
      std::copy_n(moments.data<double>(), 2 * x.channels, mean);
    else
      dispatch_stored(x.data.dtype(), "batch_norm", [&](auto zero) {
        kernels::norm_statistics(x.data.data<decltype(zero)>(), x.rows, x.channels, mean, var);
      });
    const double unbiased = static_cast<double>(x.rows) / static_cast<double>(x.rows - 1);
    follow(a.running_mean, a.momentum, mean, 1);
    follow(a.running_var, a.momentum, var, unbiased);
  }
  for (int64_t c = 0; c < x.channels; ++c) var[c] = inverse_deviation(var[c], a.eps);
  return statistics;
}

template <class T>
NormConstants<T>::NormConstants(const Tensor& statistics, const Tensor& gamma, const Tensor& beta)
    : mean(static_cast<size_t>(statistics.dim(1))), scale(mean.size()), shift(mean.size()) {
  const double* mu = statistics.data<double>();
  const double* invstd = mu + mean.size();
  for (size_t c = 0; c < mean.size(); ++c) {
    const double factor = (gamma.defined() ? static_cast<double>(gamma.data<T>()[c]) : 1.0) * invstd[c];
    mean[c] = static_cast<T>(mu[c]);
    const double lost = mu[c] - static_cast<double>(mean[c]);
    scale[c] = static_cast<T>(factor);
    shift[c] =
        static_cast<T>((beta.defined() ? static_cast<double>(beta.data<T>()[c]) : 0.0) - lost * factor);
  }
}

Tensor NormSums::dweight(DType dtype) const { return as_tensor(g_xhat, dtype); }
Tensor NormSums::dbias(DType dtype) const { return as_tensor(g, dtype); }

template <class T>
NormBackward<T>::NormBackward(const NormSums& sums, const Tensor& statistics, const Tensor& gamma,
                              double rows)
    : a(sums.g.size()), b(a), k(a) {
  const double* invstd = statistics.data<double>() + a.size();
  for (size_t c = 0; c < a.size(); ++c) {
    const double factor = (gamma.defined() ? static_cast<double>(gamma.data<T>()[c]) : 1.0) * invstd[c];
    a[c] = static_cast<T>(factor);
    b[c] = static_cast<T>(factor * sums.g[c] / rows);
    k[c] = static_cast<T>(factor * sums.g_xhat[c] / rows);
  }
}

template struct NormConstants<float>;
template struct NormConstants<double>;
template struct NormBackward<float>;
template struct NormBackward<double>;

}  // namespace sigma
