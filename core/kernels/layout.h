// Rearranging memory: the transpose that turns contiguous images into channels_last ones and back.
#pragma once

#include <cstdint>

#include "core/bfloat16.h"

namespace sigma::kernels {

// to[b][j][i] = from[b][i][j] for matrices of rows x cols.
template <class T>
void transpose_batched(const T* from /*[batch][rows][cols]*/, int64_t batch, int64_t rows, int64_t cols,
                       T* to /*[batch][cols][rows]*/);

}  // namespace sigma::kernels
