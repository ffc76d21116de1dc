// What the tests of the singular value decomposition share: plain matrices in complex long double, LAPACK's
// test ratios (xDRVBD, TESTING/EIG/ddrvbd.f; threshold 35 in TESTING/svd.in), and a reference for singular
// values. Nothing here uses the library's arithmetic.
#pragma once

#include <complex>
#include <vector>

#include "core/linalg.h"
#include "core/math.h"
#include "tests/support/support.h"

namespace sigma::test {

using Wide = std::complex<long double>;

struct WideMatrix {
  int64_t m = 0, n = 0;
  std::vector<Wide> v;
  WideMatrix(int64_t rows, int64_t columns) : m(rows), n(columns), v(static_cast<size_t>(m * n)) {}
  Wide& operator()(int64_t i, int64_t j) { return v[static_cast<size_t>(i * n + j)]; }
  Wide operator()(int64_t i, int64_t j) const { return v[static_cast<size_t>(i * n + j)]; }
};

WideMatrix wide(const Tensor& t, int64_t batch = 0);  // one matrix of a tensor (..., m, n)
Tensor narrow(const WideMatrix& a, DType dtype);      // imaginary parts are dropped for a real dtype
WideMatrix multiply(const WideMatrix& a, const WideMatrix& b);
WideMatrix adjoint(const WideMatrix& a);
WideMatrix orthonormal(int64_t m, int64_t n, uint64_t seed, bool complex);  // m >= n orthonormal columns
WideMatrix diagonal(const std::vector<double>& d, int64_t m, int64_t n);
// U diag(d) V^H with random orthonormal U (m x k) and V (n x k), rounded to dtype.
Tensor with_values(const std::vector<double>& d, int64_t m, int64_t n, uint64_t seed, DType dtype);
Tensor random_matrix(const Shape& shape, uint64_t seed, DType dtype);  // standard normal

double ulp_of(DType dtype);  // 2^-23 or 2^-52

struct Ratios {
  double reconstruction = 0;  // |A - U S Vh|_1 / (|A|_1 max(m, n) ulp)
  double left = 0;            // |I - U^H U|_1 / (m ulp)
  double right = 0;           // |I - Vh Vh^H|_1 / (n ulp)
  bool ordered = true;        // S not negative, descending, finite
  double worst() const;       // infinite when not ordered, or when a ratio is not a number
};
Ratios svd_ratios(const Tensor& a, const Svd& d, int64_t batch = 0);
double worst_ratio(const Tensor& a, SvdOptions options = {});  // of svd(a), over the batch
// |S - T| / (k ulp |S|).
double values_ratio(const Tensor& s, const Tensor& t, DType dtype);

// Singular values by one-sided Jacobi in long double, descending: 11 bits more than float64.
std::vector<double> reference_values(const Tensor& a);

inline constexpr DType kLinalgTypes[] = {DType::float32, DType::float64, DType::complex64, DType::complex128};

}  // namespace sigma::test
