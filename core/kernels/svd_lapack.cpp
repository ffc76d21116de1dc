#include <algorithm>
#include <memory>

#include "core/kernels/blas.h"
#include "core/kernels/scratch.h"
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

// Where one call works: A, the vectors and LAPACK's own memory, one after another in this thread's scratch.
// OpenBLAS 0.3.21's complex gemv reads one column past the end of a matrix (zgemv_n_SKYLAKEX under zgebd2)
// and faults where no memory follows, so that after each part comes as much again as a column takes.
template <class T>
struct SvdWork {
  T *a, *left, *right, *work;
  Real<T>* rwork;
  int* iwork;
  std::unique_ptr<T[]> own;  // of a large matrix: scratch would keep it for good
};
template <class T>
SvdWork<T> svd_work(const SvdSize& s, int64_t a, int64_t left, int64_t right, int64_t work) {
  const int64_t large = std::max(s.m, s.n), small = s.k(), slack = large + 8;
  const int64_t reals = std::max(7 * small, small * std::max(5 * small + 7, 2 * large + 2 * small + 1));
  auto in_elements = [](int64_t bytes) { return bytes / static_cast<int64_t>(sizeof(T)) + 1; };
  const int64_t rwork = in_elements(reals * static_cast<int64_t>(sizeof(Real<T>)));
  const int64_t iwork = in_elements(8 * small * static_cast<int64_t>(sizeof(int)));
  constexpr int64_t kLarge = 1 << 21;
  const int64_t total = a + left + right + work + 4 * slack + rwork + iwork;
  struct Tag;
  SvdWork<T> w{};
  if (total > kLarge) w.own.reset(new T[static_cast<size_t>(total)]);
  T* base = total > kLarge ? w.own.get() : scratch<Tag, T>(total);
  w.a = base;
  w.left = w.a + a + slack;
  w.right = w.left + left + slack;
  w.work = w.right + right + slack;
  w.rwork = reinterpret_cast<Real<T>*>(w.work + work + slack);
  w.iwork = reinterpret_cast<int*>(w.work + work + slack + rwork);
  return w;
}

}  // namespace

// LAPACK counts columns first, so it sees A transposed, n x m: its left vectors are the rows of Vh, and its
// right ones, transposed, the columns of U. Nothing needs to be rearranged.
template <class T>
int svd_lapack(const SvdSize& s, const T* a, T* u, Real<T>* values, T* vh) {
  const int m = static_cast<int>(s.n), n = static_cast<int>(s.m);
  if (s.k() == 0) return 0;
  const BlasScope here;
  const char* job = !u ? "N" : s.full ? "A" : "S";
  const int ldu = m, ldvt = static_cast<int>(s.columns_u());
  const int64_t size = s.m * s.n, left = u ? s.rows_vh() * s.n : 1, right = u ? s.m * s.columns_u() : 1;
  T wanted{};
  int info = 0;
  auto length = [&] { return static_cast<int>(std::max<Real<T>>(1, std::real(wanted))) + 1; };
  auto keep = [&](const SvdWork<T>& w) {
    if (!u) return;
    std::copy_n(w.left, left, vh);
    std::copy_n(w.right, right, u);
  };

  SvdWork<T> w = svd_work<T>(s, size, left, right, 1);
  gesdd(job, m, n, w.a, values, w.left, ldu, w.right, ldvt, &wanted, -1, w.rwork, w.iwork, &info);
  if (info != 0) return info;
  w = svd_work<T>(s, size, left, right, length());
  std::copy_n(a, size, w.a);
  gesdd(job, m, n, w.a, values, w.left, ldu, w.right, ldvt, w.work, length(), w.rwork, w.iwork, &info);
  if (info == 0) keep(w);
  if (info <= 0) return info;  // above: divide and conquer did not converge, and the QR iteration may

  gesvd(job, m, n, w.a, values, w.left, ldu, w.right, ldvt, &wanted, -1, w.rwork, &info);
  w = svd_work<T>(s, size, left, right, length());
  std::copy_n(a, size, w.a);
  gesvd(job, m, n, w.a, values, w.left, ldu, w.right, ldvt, w.work, length(), w.rwork, &info);
  if (info == 0) keep(w);
  return info;
}

template int svd_lapack(const SvdSize&, const float*, float*, float*, float*);
template int svd_lapack(const SvdSize&, const double*, double*, double*, double*);
template int svd_lapack(const SvdSize&, const c64*, c64*, float*, c64*);
template int svd_lapack(const SvdSize&, const c128*, c128*, double*, c128*);

}  // namespace sigma::kernels
