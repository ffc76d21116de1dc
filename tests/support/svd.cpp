#include "tests/support/svd.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/rng.h"

namespace sigma::test {
namespace {

// a * b without the library's search for infinities, which takes most of the time.
Wide times(Wide a, Wide b) {
  return {a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real()};
}
long double size_of_number(Wide a) { return a.imag() == 0 ? std::fabs(a.real()) : std::sqrt(std::norm(a)); }
long double one_norm(const WideMatrix& a) {
  long double worst = 0;
  for (int64_t j = 0; j < a.n; ++j) {
    long double sum = 0;
    for (int64_t i = 0; i < a.m; ++i) sum += size_of_number(a(i, j));
    if (!(sum <= worst)) worst = sum;
  }
  return worst;
}
long double far_from_identity(const WideMatrix& a) {  // |I - A^H A|_1
  WideMatrix d = multiply(adjoint(a), a);
  for (int64_t i = 0; i < d.n; ++i) d(i, i) -= 1;
  return one_norm(d);
}

}  // namespace

WideMatrix wide(const Tensor& t, int64_t batch) {
  WideMatrix a(t.dim(-2), t.dim(-1));
  Tensor z = t.contiguous().to(DType::complex128);
  const std::complex<double>* p = z.data<std::complex<double>>() + batch * a.m * a.n;
  for (size_t i = 0; i < a.v.size(); ++i) a.v[i] = Wide(p[i].real(), p[i].imag());
  return a;
}

Tensor narrow(const WideMatrix& a, DType dtype) {
  std::vector<std::complex<double>> v;
  for (Wide z : a.v) v.emplace_back(static_cast<double>(z.real()), static_cast<double>(z.imag()));
  Tensor t = Tensor::from(v, {a.m, a.n});
  return (is_complex(dtype) ? t : real(t)).to(dtype);
}

WideMatrix multiply(const WideMatrix& a, const WideMatrix& b) {
  WideMatrix c(a.m, b.n);
  for (int64_t i = 0; i < a.m; ++i)
    for (int64_t k = 0; k < a.n; ++k)
      for (int64_t j = 0; j < b.n; ++j) c(i, j) += times(a(i, k), b(k, j));
  return c;
}

WideMatrix adjoint(const WideMatrix& a) {
  WideMatrix h(a.n, a.m);
  for (int64_t i = 0; i < a.m; ++i)
    for (int64_t j = 0; j < a.n; ++j) h(j, i) = std::conj(a(i, j));
  return h;
}

WideMatrix orthonormal(int64_t m, int64_t n, uint64_t seed, bool complex) {
  Rng rng(seed, "test orthonormal");
  WideMatrix q(m, n);
  for (Wide& z : q.v) {
    double re = rng.next_normal(), im = complex ? rng.next_normal() : 0;
    z = Wide(re, im);
  }
  for (int64_t j = 0; j < n; ++j)
    for (int pass = 0; pass < 3; ++pass) {  // Gram and Schmidt; the last pass is there for the length
      for (int64_t c = 0; c < j; ++c) {
        Wide dot = 0;
        for (int64_t i = 0; i < m; ++i) dot += times(std::conj(q(i, c)), q(i, j));
        for (int64_t i = 0; i < m; ++i) q(i, j) -= times(dot, q(i, c));
      }
      long double square = 0;
      for (int64_t i = 0; i < m; ++i) square += std::norm(q(i, j));
      for (int64_t i = 0; i < m; ++i) q(i, j) /= std::sqrt(square);
    }
  return q;
}

WideMatrix diagonal(const std::vector<double>& d, int64_t m, int64_t n) {
  WideMatrix a(m, n);
  for (size_t i = 0; i < d.size(); ++i) a(static_cast<int64_t>(i), static_cast<int64_t>(i)) = d[i];
  return a;
}

Tensor with_values(const std::vector<double>& d, int64_t m, int64_t n, uint64_t seed, DType dtype) {
  const auto k = static_cast<int64_t>(d.size());
  WideMatrix u = orthonormal(m, k, seed, is_complex(dtype)), v = orthonormal(n, k, ~seed, is_complex(dtype));
  return narrow(multiply(multiply(u, diagonal(d, k, k)), adjoint(v)), dtype);
}

Tensor random_matrix(const Shape& shape, uint64_t seed, DType dtype) {
  Tensor re = randn(shape, seed);
  return (is_complex(dtype) ? complex(re, randn(shape, seed + 1'000'000)) : re).to(dtype);
}

double ulp_of(DType dtype) { return real_dtype(dtype) == DType::float32 ? 0x1p-23 : 0x1p-52; }

double Ratios::worst() const {
  double w = std::max({reconstruction, left, right});
  bool numbers = reconstruction == reconstruction && left == left && right == right;
  return ordered && numbers ? w : std::numeric_limits<double>::infinity();
}

Ratios svd_ratios(const Tensor& a, const Svd& d, int64_t batch) {
  const WideMatrix x = wide(a, batch), u = wide(d.u, batch), vh = wide(d.vh, batch);
  const int64_t m = x.m, n = x.n, k = std::min(m, n);
  const long double ulp = ulp_of(a.dtype());
  std::vector<double> all = d.s.to_vector();
  const double* s = all.data() + batch * k;
  Ratios r;
  for (int64_t i = 0; i < k; ++i) r.ordered &= std::isfinite(s[i]) && s[i] >= 0 && (!i || s[i] <= s[i - 1]);
  WideMatrix us(m, k), v(k, n);
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < k; ++j) us(i, j) = u(i, j) * static_cast<long double>(s[j]);
  for (int64_t i = 0; i < k; ++i)
    for (int64_t j = 0; j < n; ++j) v(i, j) = vh(i, j);
  WideMatrix rest = multiply(us, v);
  for (size_t i = 0; i < rest.v.size(); ++i) rest.v[i] -= x.v[i];
  long double off = one_norm(rest), size = one_norm(x);
  long double largest = static_cast<long double>(std::max<int64_t>({1, m, n}));
  if (off != 0) r.reconstruction = static_cast<double>(off / (size * largest * ulp));
  if (m > 0) r.left = static_cast<double>(far_from_identity(u) / (static_cast<long double>(m) * ulp));
  if (n > 0)
    r.right = static_cast<double>(far_from_identity(adjoint(vh)) / (static_cast<long double>(n) * ulp));
  return r;
}

double worst_ratio(const Tensor& a, SvdOptions options) {
  Svd d = svd(a, options);
  int64_t count = 1;
  for (int i = 0; i < a.rank() - 2; ++i) count *= a.dim(i);
  double worst = 0;
  for (int64_t i = 0; i < count; ++i) worst = std::max(worst, svd_ratios(a, d, i).worst());
  return worst;
}

double values_ratio(const Tensor& s, const Tensor& t, DType dtype) {
  std::vector<double> x = s.to_vector(), y = t.to_vector();
  if (x.size() != y.size()) return std::numeric_limits<double>::infinity();
  double worst = 0, top = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    top = std::max(top, x[i]);
    if (!(std::fabs(x[i] - y[i]) <= worst)) worst = std::fabs(x[i] - y[i]);
  }
  return worst == 0 ? 0 : worst / top / (static_cast<double>(x.size()) * ulp_of(dtype));
}

std::vector<double> reference_values(const Tensor& a) {
  WideMatrix g = wide(a);
  if (g.m < g.n) g = adjoint(g);
  for (bool rotated = true; rotated;) {
    rotated = false;
    for (int64_t p = 0; p < g.n; ++p)
      for (int64_t q = p + 1; q < g.n; ++q) {
        long double x = 0, y = 0;
        Wide dot = 0;
        for (int64_t i = 0; i < g.m; ++i) {
          x += std::norm(g(i, p));
          y += std::norm(g(i, q));
          dot += times(std::conj(g(i, p)), g(i, q));
        }
        long double size = std::abs(dot);
        if (!(size > 1e-18L * std::sqrt(x) * std::sqrt(y))) continue;
        rotated = true;
        long double zeta = (y - x) / (2 * size);
        long double t = (zeta < 0 ? -1 : 1) / (std::fabs(zeta) + std::hypot(1.0L, zeta));
        long double c = 1 / std::sqrt(1 + t * t), s = c * t;
        Wide phase = std::conj(dot / size);
        for (int64_t i = 0; i < g.m; ++i) {
          Wide left = g(i, p), right = times(g(i, q), phase);
          g(i, p) = c * left - s * right;
          g(i, q) = s * left + c * right;
        }
      }
  }
  std::vector<double> values;
  for (int64_t j = 0; j < g.n; ++j) {
    long double sum = 0;
    for (int64_t i = 0; i < g.m; ++i) sum += std::norm(g(i, j));
    values.push_back(static_cast<double>(std::sqrt(sum)));
  }
  std::sort(values.rbegin(), values.rend());
  return values;
}

}  // namespace sigma::test
