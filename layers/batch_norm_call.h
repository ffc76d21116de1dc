// A call of batch_norm in its parts, for functions that do more in the same pass (layers/fused/).
#pragma once

#include <vector>

#include "core/kernels/norm.h"
#include "layers/batch_norm.h"

namespace sigma {

// An image batch as rows x channels, channels innermost.
struct Rows {
  Tensor data;
  int64_t rows = 0, channels = 0;
};
Rows to_rows(const Tensor& x);
// A tensor for a result of `like`'s shape, rows-wise; from_rows gives it that shape's element order.
Tensor rows_like(const Tensor& like);
Tensor from_rows(const Tensor& t, int rank);

// Throws what batch_norm throws.
void check_batch_norm(const Variable& x, const BatchNormArguments& a);

// Mean and 1/sqrt(v + eps) of each channel, float64 (2, C): in training of the batch, which the running
// buffers then follow, else of the running buffers. `moments` are the batch's mean and v, float64 (2, C),
// where someone has them already.
Tensor batch_norm_statistics(const Rows& x, const BatchNormArguments& a, const Tensor& moments = {});

// batch_norm with these statistics, recorded.
Variable normalize(const Variable& x, const Rows& rows, const Tensor& statistics,
                   const BatchNormArguments& a);

// Constants of y = (x - mean) * scale + shift, in the data's precision, a value a channel each:
//
//   scale = gamma * invstd
//   shift = beta - what rounding the mean to T lost, scaled
template <class T>
struct NormConstants {
  std::vector<T> mean, scale, shift;

  NormConstants(const Tensor& statistics, const Tensor& gamma, const Tensor& beta);
  kernels::NormAffine<T> view() const { return {mean.data(), scale.data(), shift.data()}; }
};

// Sums over the rows of g and of g * (x - mean) / sqrt(v + eps), and what follows from them.
struct NormSums {
  std::vector<double> g, g_xhat;

  explicit NormSums(int64_t channels) : g(static_cast<size_t>(channels)), g_xhat(g) {}
  Tensor dweight(DType dtype) const;
  Tensor dbias(DType dtype) const;
};

// Constants of dx = a * g - b - k * xhat.
template <class T>
struct NormBackward {
  std::vector<T> a, b, k;

  // `rows` counts where the statistics depend on x, in training; infinity where they do not.
  NormBackward(const NormSums& sums, const Tensor& statistics, const Tensor& gamma, double rows);
};

}  // namespace sigma
