#include <algorithm>
#include <vector>

#include "core/kernels/svd.h"

// LAPACK's Fortran entry points, as OpenBLAS exports them. Hidden lengths of the character arguments follow.
extern "C" {
using f32 = float;
using f64 = double;
using c64 = std::complex<float>;
using c128 = std::complex<double>;
#define SIGMA_LAPACK_REAL(T, p)                                                                            \
  void p##gesdd_(const char*, const int*, const int*, T*, const int*, T*, T*, const int*, T*, const int*,  \
                 T*, const int*, int*, int*, size_t);                                                      \
  void p##gesvd_(const char*, const char*, const int*, const int*, T*, const int*, T*, T*, const int*, T*, \
                 const int*, T*, const int*, int*, size_t, size_t);
#define SIGMA_LAPACK_COMPLEX(T, R, p)                                                                      \
  void p##gesdd_(const char*, const int*, const int*, T*, const int*, R*, T*, const int*, T*, const int*,  \
                 T*, const int*, R*, int*, int*, size_t);                                                  \
  void p##gesvd_(const char*, const char*, const int*, const int*, T*, const int*, R*, T*, const int*, T*, \
                 const int*, T*, const int*, R*, int*, size_t, size_t);
SIGMA_LAPACK_REAL(f32, s)
SIGMA_LAPACK_REAL(f64, d)
SIGMA_LAPACK_COMPLEX(c64, f32, c)
SIGMA_LAPACK_COMPLEX(c128, f64, z)
#undef SIGMA_LAPACK_REAL
#undef SIGMA_LAPACK_COMPLEX
}

namespace sigma::kernels {
namespace {

// One spelling for the four types; `rwork` is for the complex ones.
#define SIGMA_CALL_REAL(T, p)                                                                               \
  void gesdd(const char* job, int m, int n, T* a, T* s, T* u, int ldu, T* vt, int ldvt, T* work, int lwork, \
             T*, int* iwork, int* info) {                                                                   \
    p##gesdd_(job, &m, &n, a, &m, s, u, &ldu, vt, &ldvt, work, &lwork, iwork, info, 1);                     \
  }                                                                                                         \
  void gesvd(const char* job, int m, int n, T* a, T* s, T* u, int ldu, T* vt, int ldvt, T* work, int lwork, \
             T*, int* info) {                                                                               \
    p##gesvd_(job, job, &m, &n, a, &m, s, u, &ldu, vt, &ldvt, work, &lwork, info, 1, 1);                    \
  }
#define SIGMA_CALL_COMPLEX(T, R, p)                                                                         \
  void gesdd(const char* job, int m, int n, T* a, R* s, T* u, int ldu, T* vt, int ldvt, T* work, int lwork, \
             R* rwork, int* iwork, int* info) {                                                             \
    p##gesdd_(job, &m, &n, a, &m, s, u, &ldu, vt, &ldvt, work, &lwork, rwork, iwork, info, 1);              \
  }                                                                                                         \
  void gesvd(const char* job, int m, int n, T* a, R* s, T* u, int ldu, T* vt, int ldvt, T* work, int lwork, \
             R* rwork, int* info) {                                                                         \
    p##gesvd_(job, job, &m, &n, a, &m, s, u, &ldu, vt, &ldvt, work, &lwork, rwork, info, 1, 1);             \
  }
SIGMA_CALL_REAL(f32, s)
SIGMA_CALL_REAL(f64, d)
SIGMA_CALL_COMPLEX(c64, f32, c)
SIGMA_CALL_COMPLEX(c128, f64, z)
#undef SIGMA_CALL_REAL
#undef SIGMA_CALL_COMPLEX

}  // namespace

// LAPACK counts columns first, so it sees A transposed, n x m: its left vectors are the rows of Vh, and its
// right ones, transposed, the columns of U. Nothing needs to be rearranged.
template <class T>
int svd_lapack(const SvdSize& s, const T* a, T* u, Real<T>* values, T* vh) {
  using R = Real<T>;
  const int m = static_cast<int>(s.n), n = static_cast<int>(s.m), k = static_cast<int>(s.k());
  if (k == 0) return 0;
  const char* job = !u ? "N" : s.full ? "A" : "S";
  const int ldu = std::max(1, m), ldvt = std::max(1, static_cast<int>(s.columns_u()));
  const int64_t large = std::max(m, n), small = k;
  std::vector<T> copy(a, a + s.m * s.n);
  std::vector<int> iwork(static_cast<size_t>(8 * k));
  std::vector<R> rwork(static_cast<size_t>(
      std::max<int64_t>({1, 7 * small, small * std::max(5 * small + 7, 2 * large + 2 * small + 1)})));
  T wanted{}, none{};
  T *left = u ? vh : &none, *right = u ? u : &none;
  int info = 0;
  gesdd(job, m, n, copy.data(), values, left, ldu, right, ldvt, &wanted, -1, rwork.data(), iwork.data(),
        &info);
  if (info != 0) return info;
  std::vector<T> work(static_cast<size_t>(std::max<R>(1, std::real(wanted))) + 1);
  gesdd(job, m, n, copy.data(), values, left, ldu, right, ldvt, work.data(), static_cast<int>(work.size()),
        rwork.data(), iwork.data(), &info);
  if (info <= 0) return info;
  copy.assign(a, a + s.m * s.n);
  gesvd(job, m, n, copy.data(), values, left, ldu, right, ldvt, &wanted, -1, rwork.data(), &info);
  work.resize(static_cast<size_t>(std::max<R>(1, std::real(wanted))) + 1);
  gesvd(job, m, n, copy.data(), values, left, ldu, right, ldvt, work.data(), static_cast<int>(work.size()),
        rwork.data(), &info);
  return info;
}

template int svd_lapack(const SvdSize&, const float*, float*, float*, float*);
template int svd_lapack(const SvdSize&, const double*, double*, double*, double*);
template int svd_lapack(const SvdSize&, const c64*, c64*, float*, c64*);
template int svd_lapack(const SvdSize&, const c128*, c128*, double*, c128*);

}  // namespace sigma::kernels
