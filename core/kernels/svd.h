// Singular value decompositions of one matrix in memory. T is float, double or their complex; Real<T> the
// real type. A is row-major m x n with k = min(m, n); S has k values, descending; U is row-major m x ku, Vh
// kv x n, where ku = kv = k (thin) or m and n (full). Null U and Vh: values only.
#pragma once

#include <complex>
#include <cstdint>

namespace sigma::kernels {

template <class T>
struct RealOf {
  using type = T;
};
template <class T>
struct RealOf<std::complex<T>> {
  using type = T;
};
template <class T>
using Real = typename RealOf<T>::type;

struct SvdSize {
  int64_t m, n;
  bool full;
  int64_t k() const { return m < n ? m : n; }
  int64_t columns_u() const { return full ? m : k(); }
  int64_t rows_vh() const { return full ? n : k(); }
};

// LAPACK's divide and conquer (gesdd), and where that does not converge its QR iteration (gesvd). Returns
// LAPACK's INFO: 0 when done, above 0 when neither converged. A must be finite: an infinity can hang gesdd.
template <class T>
int svd_lapack(const SvdSize& s, const T* a, T* u, Real<T>* values, T* vh);

// One-sided Jacobi: rotates pairs of columns until all are orthogonal, in float64. Every singular value comes
// out with high relative accuracy when A = B D with D diagonal and B well conditioned, where LAPACK's small
// values may be wrong in every digit; values below 1e-290 of the largest entry may come out as 0. Demmel and
// Veselic 1992; de Rijk 1989 for the order; Hestenes 1958 for the method. Returns 0, or 1 when 60 sweeps were
// not enough.
template <class T>
int svd_jacobi(const SvdSize& s, const T* a, T* u, Real<T>* values, T* vh);

}  // namespace sigma::kernels
