// Rearranging memory: the transpose that turns contiguous images into channels_last ones and back.
#pragma once

#include <cstdint>

#include "core/bfloat16.h"
#include "core/kernels/walk.h"

namespace sigma::kernels {

// to[b][j][i] = from[b][i][j] for matrices of rows x cols.
template <class T>
void transpose_batched(const T* from /*[batch][rows][cols]*/, int64_t batch, int64_t rows, int64_t cols,
                       T* to /*[batch][cols][rows]*/);

// to[...] = from[...] over a walk whose first operand has any steps, in the innermost dimension too.
template <class T>
void copy_walked(const Walk& w, const T* from, T* to);

}  // namespace sigma::kernels
