// Pooling kernels on channels_last images of float, double or bfloat16.
#pragma once

#include <cstdint>

#include "core/bfloat16.h"

namespace sigma::kernels {

struct PoolSize {
  int64_t n, h, w, c;
  int64_t oh, ow;
  int64_t kh, kw, stride_h, stride_w, pad_h, pad_w;
};

// y = maximum over the window; index = position iy * w + ix of the first maximum. A NaN in the window wins,
// as in PyTorch.
template <class T>
void max_pool_forward(const PoolSize& s, const T* x, T* y, int32_t* index);
template <class T>
void max_pool_backward(const PoolSize& s, const T* dy, const int32_t* index, T* dx);

// Mean over the window. Padding counts as zeros in the mean when count_padding is set.
template <class T>
void avg_pool_forward(const PoolSize& s, bool count_padding, const T* x, T* y);
template <class T>
void avg_pool_backward(const PoolSize& s, bool count_padding, const T* dy, T* dx);

// Mean over rows floor(i*h/oh) .. ceil((i+1)*h/oh)-1 and likewise columns.
template <class T>
void adaptive_avg_pool_forward(const PoolSize& s, const T* x, T* y);
template <class T>
void adaptive_avg_pool_backward(const PoolSize& s, const T* dy, T* dx);

}  // namespace sigma::kernels
