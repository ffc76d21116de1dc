#include <cblas.h>

#include <algorithm>
#include <climits>
#include <complex>

#include "core/kernels/blas.h"
#include "core/kernels/gemm.h"
#include "core/parallel.h"

namespace sigma::kernels {
namespace {

CBLAS_TRANSPOSE flag(Trans t) { return t == Trans::yes ? CblasTrans : CblasNoTrans; }

void call(Trans ta, Trans tb, int m, int n, int k, float alpha, const float* a, int lda, const float* b,
          int ldb, float beta, float* c, int ldc) {
  cblas_sgemm(CblasRowMajor, flag(ta), flag(tb), m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
void call(Trans ta, Trans tb, int m, int n, int k, double alpha, const double* a, int lda, const double* b,
          int ldb, double beta, double* c, int ldc) {
  cblas_dgemm(CblasRowMajor, flag(ta), flag(tb), m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

void call(Trans ta, Trans tb, int m, int n, int k, std::complex<float> alpha, const std::complex<float>* a,
          int lda, const std::complex<float>* b, int ldb, std::complex<float> beta, std::complex<float>* c,
          int ldc) {
  cblas_cgemm(CblasRowMajor, flag(ta), flag(tb), m, n, k, &alpha, a, lda, b, ldb, &beta, c, ldc);
}
void call(Trans ta, Trans tb, int m, int n, int k, std::complex<double> alpha, const std::complex<double>* a,
          int lda, const std::complex<double>* b, int ldb, std::complex<double> beta, std::complex<double>* c,
          int ldc) {
  cblas_zgemm(CblasRowMajor, flag(ta), flag(tb), m, n, k, &alpha, a, lda, b, ldb, &beta, c, ldc);
}

}  // namespace

template <class T>
void gemm(Trans ta, Trans tb, int64_t m, int64_t n, int64_t k, T alpha, const T* a, int64_t lda, const T* b,
          int64_t ldb, T beta, T* c, int64_t ldc) {
  if (m == 0 || n == 0) return;
  if (k == 0) {  // OpenBLAS 0.3.11 returned garbage here (OpenBLAS issue 2914)
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) c[i * ldc + j] = beta == T(0) ? T(0) : beta * c[i * ldc + j];
    return;
  }
  auto i32 = [](int64_t v) { return static_cast<int>(std::min<int64_t>(v, INT_MAX)); };
  auto ld = [&](int64_t v) { return i32(std::max<int64_t>(1, v)); };
  // BLAS counts in 32 bits: longer m is cut; n and k of that size do not occur.
  constexpr int64_t kMaxRows = 1 << 30;
  const BlasScope here;
  for (int64_t i = 0; i < m; i += kMaxRows)
    call(ta, tb, i32(std::min(kMaxRows, m - i)), i32(n), i32(k), alpha, a + (ta == Trans::yes ? i : i * lda),
         ld(lda), b, ld(ldb), beta, c + i * ldc, ld(ldc));
}

template <class T>
void parallel_gemm(Trans ta, Trans tb, int64_t m, int64_t n, int64_t k, T alpha, const T* a, int64_t lda,
                   const T* b, int64_t ldb, T beta, T* c, int64_t ldc) {
  // Below about 0.1 ms of work a second thread costs more than it brings.
  constexpr double kSmall = 2e6;
  if (static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k) < kSmall)
    return gemm(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
  auto tile = [](int64_t size) { return std::max<int64_t>(32, ((size + 7) / 8 + 15) / 16 * 16); };
  if (m >= n) {
    parallel_ranges(m, tile(m), [&](int64_t i0, int64_t i1) {
      gemm(ta, tb, i1 - i0, n, k, alpha, a + (ta == Trans::yes ? i0 : i0 * lda), lda, b, ldb, beta,
           c + i0 * ldc, ldc);
    });
  } else {
    parallel_ranges(n, tile(n), [&](int64_t j0, int64_t j1) {
      gemm(ta, tb, m, j1 - j0, k, alpha, a, lda, b + (tb == Trans::yes ? j0 * ldb : j0), ldb, beta, c + j0,
           ldc);
    });
  }
}

#define SIGMA_INSTANTIATE(T)                                                                              \
  template void gemm(Trans, Trans, int64_t, int64_t, int64_t, T, const T*, int64_t, const T*, int64_t, T, \
                     T*, int64_t);                                                                        \
  template void parallel_gemm(Trans, Trans, int64_t, int64_t, int64_t, T, const T*, int64_t, const T*,    \
                              int64_t, T, T*, int64_t);
SIGMA_INSTANTIATE(float)
SIGMA_INSTANTIATE(double)
SIGMA_INSTANTIATE(std::complex<float>)
SIGMA_INSTANTIATE(std::complex<double>)
#undef SIGMA_INSTANTIATE

}  // namespace sigma::kernels
