#include <cblas.h>

#include <algorithm>
#include <climits>
#include <complex>
#include <cstdlib>
#include <vector>

#include "core/kernels/gemm.h"
#include "core/kernels/simd.h"
#include "core/parallel.h"

extern "C" {
extern void* gotoblas __attribute__((weak));
void gotoblas_dynamic_init() __attribute__((weak));
}

namespace sigma::kernels {
namespace {

CBLAS_TRANSPOSE flag(Trans t) { return t == Trans::yes ? CblasTrans : CblasNoTrans; }

// OpenBLAS picks its kernels by CPU model when it is loaded, and takes a CPU it does not know for a Prescott
// of 2004: a fifth of the speed (0.3.21 on Emerald Rapids: 32 GFLOP/s a thread instead of 150). Its choice
// can be made again, once, before the first product, through the entry point that its own loader uses; where
// a build does not export that, the choice stays. OPENBLAS_CORETYPE in the environment is the user's word and
// is left alone.
void choose_core() {
  if (std::getenv("OPENBLAS_CORETYPE") || !gotoblas_dynamic_init || !&gotoblas || !gotoblas) return;
  std::string simd = simd_name(), now = openblas_get_corename();
  auto is = [&](std::initializer_list<const char*> names) {
    return std::any_of(names.begin(), names.end(), [&](const char* name) { return now == name; });
  };
  const char* wanted = nullptr;
  if (simd == "AVX3" && !is({"SkylakeX", "Cooperlake", "SapphireRapids", "Zen"})) wanted = "SkylakeX";
  if (simd == "AVX2" && !is({"Haswell", "Zen", "SkylakeX", "Cooperlake", "SapphireRapids"}))
    wanted = "Haswell";
  if (!wanted) return;
  setenv("OPENBLAS_CORETYPE", wanted, 1);
  void* before = gotoblas;
  gotoblas = nullptr;
  gotoblas_dynamic_init();
  if (!gotoblas) gotoblas = before;
  unsetenv("OPENBLAS_CORETYPE");
}

// Threads are ours: one OpenBLAS call is one task of a parallel loop.
[[maybe_unused]] const bool initialized = (openblas_set_num_threads(1), choose_core(), true);

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

std::string blas_core() { return openblas_get_corename(); }
std::string blas_version() { return openblas_get_config(); }

bool blas_self_test() {
  constexpr int64_t n = 67;  // no multiple of any block size
  std::vector<float> a(n * n), b(n * n), c(n * n);
  for (size_t i = 0; i < a.size(); ++i) {
    a[i] = static_cast<float>(static_cast<int>(i * 7 % 13) - 6);
    b[i] = static_cast<float>(static_cast<int>(i * 5 % 11) - 5);
  }
  gemm(Trans::no, Trans::yes, n, n, n, 1.f, a.data(), n, b.data(), n, 0.f, c.data(), n);
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < n; ++j) {
      float sum = 0;
      for (size_t k = 0; k < n; ++k) sum += a[i * n + k] * b[j * n + k];
      if (sum != c[i * n + j]) return false;
    }
  return true;
}

}  // namespace sigma::kernels
