// Batch-normalization kernels on rows x channels matrices, channels innermost: a (N, C) matrix as it is, a
// channels_last image batch with rows = N*H*W.
//
// Statistics are accumulated in float64 around the pivot K = x[0][c]; the mean is kept as a pair (mean,
// dmean) with mean rounded to T, so that x - mean is exact when x is near the mean. See batch_norm.h for why.
#pragma once

#include <cstdint>

namespace sigma::kernels {

// Rows of a task: fixed by the problem, so that partial sums merge alike for any number of threads.
int64_t norm_rows_per_task(int64_t rows, int64_t channels);
int64_t norm_tasks(int64_t rows, int64_t channels);
// Size of the scratch that the reductions below need, in doubles.
int64_t norm_scratch_size(int64_t rows, int64_t channels);

// mean[c], biased var[c] over the rows; rows >= 1.
template <class T>
void norm_statistics(const T* x, int64_t rows, int64_t channels, double* scratch, double* mean, double* var);

// y = (x - mean) * scale + shift, elementwise; mean, scale and shift have one value a channel.
template <class T>
void norm_apply(const T* x, int64_t rows, int64_t channels, const T* mean, const T* scale, const T* shift,
                T* y);

// sum_g[c] = sum g, sum_gx[c] = sum g * xhat with xhat = (x - mean) * scale + shift.
template <class T>
void norm_backward_reduce(const T* g, const T* x, int64_t rows, int64_t channels, const T* mean,
                          const T* scale, const T* shift, double* scratch, double* sum_g, double* sum_gx);

// dx = a * g - b - c * xhat, elementwise; a, b, c have one value a channel.
template <class T>
void norm_backward_apply(const T* g, const T* x, int64_t rows, int64_t channels, const T* mean,
                         const T* scale, const T* shift, const T* a, const T* b, const T* c, T* dx);

}  // namespace sigma::kernels
