// Matrix products. All matrices are row-major: op(A) is m x k, op(B) is k x n, C is m x n.
#pragma once

#include <cstdint>

#include "core/kernels/blas.h"

namespace sigma::kernels {

enum class Trans : bool { no, yes };

// C = alpha op(A) op(B) + beta C on the calling thread. C is not read when beta is 0. Sizes of 0 are fine.
template <class T>
void gemm(Trans ta, Trans tb, int64_t m, int64_t n, int64_t k, T alpha, const T* a, int64_t lda, const T* b,
          int64_t ldb, T beta, T* c, int64_t ldc);

// The same on the pool: C is cut into fixed tiles of rows or columns, one product each, so that the bits do
// not depend on the number of threads.
template <class T>
void parallel_gemm(Trans ta, Trans tb, int64_t m, int64_t n, int64_t k, T alpha, const T* a, int64_t lda,
                   const T* b, int64_t ldb, T beta, T* c, int64_t ldc);

}  // namespace sigma::kernels
