// Batch-normalization kernels on rows x channels matrices, channels innermost: a (N, C) matrix as it is, a
// channels_last image batch with rows = N*H*W. Normalization, activation and residual sum are one pass over
// memory, and so are the activation's mask and both sums of the backward pass.
//
// Statistics are accumulated in float64 around a pivot, the first value of the part, and parts merge by Chan,
// Golub and LeVeque's formula; the mean is kept as a pair (mean, remainder) with mean rounded to T, so that
// x - mean is exact when x is near the mean. See batch_norm.h for why.
#pragma once

#include <cstdint>

#include "core/bfloat16.h"
#include "core/kernels/scratch.h"

namespace sigma::kernels {

// Values x, g, y are float, double or bfloat16; constants have the type that is computed with.

// (x - mean) * scale + shift, one value a channel each.
template <class T>
struct NormAffine {
  const T* mean;
  const T* scale;
  const T* shift;
};

// Tasks that the kernels below cut the rows into: by the size of the problem, never by the number of threads.
int64_t norm_tasks(int64_t rows, int64_t channels);

// mean[c] and biased var[c] over the rows; rows >= 1.
template <class X>
void norm_statistics(const X* x, int64_t rows, int64_t channels, double* mean, double* var);

// The same from parts that other kernels have at hand. Storage is this thread's scratch memory: one at a
// time.
class PartialMoments {
 public:
  PartialMoments(int64_t parts, int64_t channels);
  template <class X>
  void add(int64_t part, const X* x, int64_t rows);  // from any thread; each part once
  void merge(double* mean, double* var) const;

 private:
  int64_t parts_, channels_;
  double* sums_;  // [part][count, pivot[c], sum[c], sum of squares[c]]
};

// y = affine(x) + skip, then the larger of that and 0 when `relu`; skip may be null.
template <class X>
void norm_apply(const X* x, int64_t rows, int64_t channels, const NormAffine<Compute<X>>& affine,
                const X* skip, bool relu, X* y);

template <class X>
void norm_apply(const X* x, int64_t rows, int64_t channels, const NormAffine<Compute<X>>& affine, X* y) {
  norm_apply(x, rows, channels, affine, static_cast<const X*>(nullptr), false, y);
}

// Where the gradient of a following ReLU passes: everywhere (both null), where affine(x) > 0, or where y > 0.
template <class X>
struct NormMask {
  const NormAffine<Compute<X>>* affine = nullptr;
  const X* y = nullptr;
};

// sum_g[c] = sum g, sum_gx[c] = sum g * (x - mean), g masked. `masked` (may be null) receives the masked g.
template <class X>
void norm_backward_reduce(const X* g, const X* x, int64_t rows, int64_t channels, const double* mean,
                          const NormMask<X>& mask, X* masked, double* sum_g, double* sum_gx);
template <class X>
void norm_backward_reduce(const X* g, const X* x, int64_t rows, int64_t channels, const double* mean,
                          double* sum_g, double* sum_gx) {
  norm_backward_reduce(g, x, rows, channels, mean, NormMask<X>(), static_cast<X*>(nullptr), sum_g, sum_gx);
}

// dx = a * g - b - k * xhat with xhat = affine(x), g masked by `mask.affine`; a, b, k have one value a
// channel.
template <class X>
void norm_backward_apply(const X* g, const X* x, int64_t rows, int64_t channels,
                         const NormAffine<Compute<X>>& xhat, const NormMask<X>& mask, const Compute<X>* a,
                         const Compute<X>* b, const Compute<X>* k, X* dx);
template <class X>
void norm_backward_apply(const X* g, const X* x, int64_t rows, int64_t channels,
                         const NormAffine<Compute<X>>& xhat, const Compute<X>* a, const Compute<X>* b,
                         const Compute<X>* k, X* dx) {
  norm_backward_apply(g, x, rows, channels, xhat, NormMask<X>(), a, b, k, dx);
}

}  // namespace sigma::kernels
