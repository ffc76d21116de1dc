#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "core/kernels/svd.h"

namespace sigma::kernels {
namespace {

constexpr int kMaxSweeps = 60;
constexpr double kEps = 0x1p-53;
// Beside a largest entry of about 1, what is shorter than this and yet not orthogonal is what rounding left
// of a column that depends on others. Denormal numbers could not be made orthogonal, and angles of a rotation
// would underflow.
constexpr double kNil = 1e-290;

double conj_of(double x) { return x; }
std::complex<double> conj_of(std::complex<double> x) { return std::conj(x); }
double square(double x) { return x * x; }
double square(std::complex<double> x) { return std::norm(x); }

// Columns of length `rows`, one after the other.
template <class C>
struct Columns {
  int64_t rows, count;
  std::vector<C> data;
  Columns(int64_t r, int64_t c) : rows(r), count(c), data(static_cast<size_t>(r * c)) {}
  C* operator[](int64_t j) { return data.data() + j * rows; }
};

// 2-norm without overflow or underflow.
template <class C>
double norm(const C* x, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += square(x[i]);
  if (sum > 1e-280 && sum < 1e280) return std::sqrt(sum);
  double top = 0;
  for (int64_t i = 0; i < n; ++i) top = std::max(top, std::abs(x[i]));
  if (top == 0) return 0;
  sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += square(x[i] / top);
  return top * std::sqrt(sum);
}

// conj(x / nx) . (y / ny), the cosine of the angle between two columns of norms nx and ny.
template <class C>
C cosine(const C* x, double nx, const C* y, double ny, int64_t n) {
  C sum{};
  double product = nx * ny;
  if (product > 1e-280 && product < 1e280) {
    for (int64_t i = 0; i < n; ++i) sum += conj_of(x[i]) * y[i];
    return sum / product;
  }
  for (int64_t i = 0; i < n; ++i) sum += conj_of(x[i] / nx) * (y[i] / ny);
  return sum;
}

// (x, y) <- (c x - s y e*, s x + c y e*), e of modulus one.
template <class C>
void rotate(C* x, C* y, int64_t n, double c, double s, C phase) {
  const C turned = conj_of(phase);
  for (int64_t i = 0; i < n; ++i) {
    C a = x[i], b = y[i] * turned;
    x[i] = c * a - s * b;
    y[i] = s * a + c * b;
  }
}

// Makes the columns of g orthogonal by rotations from the right, which are applied to v too (when it has
// columns).
template <class C>
bool orthogonalize(Columns<C>& g, Columns<C>& v, std::vector<double>& norms) {
  const int64_t n = g.count;
  const double tolerance = kEps * std::sqrt(static_cast<double>(std::max<int64_t>(1, g.rows)));
  auto swap_columns = [&](int64_t p, int64_t q) {
    std::swap_ranges(g[p], g[p] + g.rows, g[q]);
    if (v.count) std::swap_ranges(v[p], v[p] + v.rows, v[q]);
    std::swap(norms[static_cast<size_t>(p)], norms[static_cast<size_t>(q)]);
  };
  for (int sweep = 0; sweep < kMaxSweeps; ++sweep) {
    bool rotated = false;
    for (int64_t j = 0; j < n; ++j) norms[static_cast<size_t>(j)] = norm(g[j], g.rows);
    for (int64_t p = 0; p < n; ++p) {
      auto from = norms.begin() + p;  // de Rijk: the longest of what is left goes first
      swap_columns(p, p + (std::max_element(from, norms.end()) - from));
      for (int64_t q = p + 1; q < n; ++q) {
        double np = norms[static_cast<size_t>(p)], nq = norms[static_cast<size_t>(q)];
        if (np == 0 || nq == 0) continue;
        C angle = cosine(g[p], np, g[q], nq, g.rows);
        double size = std::abs(angle);
        if (!(size > tolerance)) continue;
        rotated = true;
        if (nq < kNil) {
          std::fill_n(g[q], g.rows, C{});
          norms[static_cast<size_t>(q)] = 0;
          continue;
        }
        double zeta = (nq / np - np / nq) / (2 * size);
        double t = (zeta < 0 ? -1 : 1) / (std::abs(zeta) + std::hypot(1.0, zeta));
        double c = 1 / std::sqrt(1 + t * t), s = c * t;
        C phase = angle / size;
        rotate(g[p], g[q], g.rows, c, s, phase);
        if (v.count) rotate(v[p], v[q], v.rows, c, s, phase);
        norms[static_cast<size_t>(p)] = norm(g[p], g.rows);
        norms[static_cast<size_t>(q)] = norm(g[q], g.rows);
      }
    }
    if (!rotated) return true;
  }
  return false;
}

// Fills columns from `first` on with unit vectors orthogonal to all before them: the coordinate vector that
// is farthest from their span, twice made orthogonal.
template <class C>
void complete(Columns<C>& u, int64_t first) {
  for (int64_t j = first; j < u.count; ++j) {
    int64_t best = 0;
    double least = 2;
    for (int64_t i = 0; i < u.rows; ++i) {
      double inside = 0;  // squared length of e_i's part in the span
      for (int64_t c = 0; c < j; ++c) inside += square(u[c][i]);
      if (inside < least) {
        least = inside;
        best = i;
      }
    }
    C* x = u[j];
    std::fill_n(x, u.rows, C{});
    x[best] = 1;
    for (int pass = 0; pass < 2; ++pass) {
      for (int64_t c = 0; c < j; ++c) {
        C dot{};
        for (int64_t i = 0; i < u.rows; ++i) dot += conj_of(u[c][i]) * x[i];
        for (int64_t i = 0; i < u.rows; ++i) x[i] -= dot * u[c][i];
      }
      double length = norm(x, u.rows);
      for (int64_t i = 0; i < u.rows; ++i) x[i] /= length;
    }
  }
}

}  // namespace

template <class T>
int svd_jacobi(const SvdSize& s, const T* a, T* u, Real<T>* values, T* vh) {
  using R = Real<T>;
  using C = std::conditional_t<std::is_same_v<T, R>, double, std::complex<double>>;
  const int64_t k = s.k();
  if (k == 0) return 0;
  // Columns are rotated, so there must be no more of them than rows: a wide matrix is conjugate-transposed.
  const bool wide = s.m < s.n;
  const int64_t rows = wide ? s.n : s.m;
  double top = 0;
  for (int64_t i = 0; i < s.m * s.n; ++i)
    if constexpr (std::is_same_v<T, R>)
      top = std::max(top, std::abs(static_cast<double>(a[i])));
    else
      top = std::max(
          {top, std::abs(static_cast<double>(a[i].real())), std::abs(static_cast<double>(a[i].imag()))});
  int exponent = 0;
  if (top > 0) std::frexp(top, &exponent);
  auto scaled = [&](T x) {  // a power of two, so that nothing is rounded
    if constexpr (std::is_same_v<T, R>)
      return std::ldexp(static_cast<double>(x), -exponent);
    else
      return C(std::ldexp(static_cast<double>(x.real()), -exponent),
               std::ldexp(static_cast<double>(x.imag()), -exponent));
  };
  const int64_t left_count = !u ? k : wide ? s.rows_vh() : s.columns_u();
  Columns<C> g(rows, left_count), v(k, u ? (wide ? s.columns_u() : s.rows_vh()) : 0);
  for (int64_t j = 0; j < k; ++j)
    for (int64_t i = 0; i < rows; ++i)
      g[j][i] = wide ? conj_of(scaled(a[j * s.n + i])) : scaled(a[i * s.n + j]);
  for (int64_t j = 0; j < v.count; ++j) v[j][j] = 1;
  std::vector<double> norms(static_cast<size_t>(k));
  g.count = k;
  if (!orthogonalize(g, v, norms)) return 1;
  std::vector<int64_t> order(static_cast<size_t>(k));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t x, int64_t y) {
    return norms[static_cast<size_t>(x)] > norms[static_cast<size_t>(y)];
  });
  for (int64_t j = 0; j < k; ++j)
    values[j] =
        static_cast<R>(std::ldexp(norms[static_cast<size_t>(order[static_cast<size_t>(j)])], exponent));
  if (!u) return 0;
  Columns<C> left(rows, left_count);
  int64_t used = 0;
  for (int64_t j = 0; j < k; ++j) {
    int64_t from = order[static_cast<size_t>(j)];
    double length = norms[static_cast<size_t>(from)];
    if (length == 0) break;                         // the rest is zero as well
    const double up = length < kNil ? 0x1p600 : 1;  // a length that is denormal has few digits
    for (int64_t i = 0; i < rows; ++i) left[j][i] = g[from][i] * up;
    if (up != 1) length = norm(left[j], rows);
    for (int64_t i = 0; i < rows; ++i) left[j][i] /= length;
    used = j + 1;
  }
  complete(left, used);
  // A = left S v^H, or for a wide matrix A = v S left^H.
  auto narrow = [](C x) {
    if constexpr (std::is_same_v<T, R>)
      return static_cast<T>(x);
    else
      return T(static_cast<R>(x.real()), static_cast<R>(x.imag()));
  };
  const int64_t cu = s.columns_u(), rv = s.rows_vh();
  for (int64_t j = 0; j < cu; ++j)
    for (int64_t i = 0; i < s.m; ++i)
      u[i * cu + j] = narrow(wide ? v[order[static_cast<size_t>(j)]][i] : left[j][i]);
  for (int64_t j = 0; j < rv; ++j)
    for (int64_t i = 0; i < s.n; ++i)
      vh[j * s.n + i] = narrow(conj_of(wide ? left[j][i] : v[order[static_cast<size_t>(j)]][i]));
  return 0;
}

template int svd_jacobi(const SvdSize&, const float*, float*, float*, float*);
template int svd_jacobi(const SvdSize&, const double*, double*, double*, double*);
template int svd_jacobi(const SvdSize&, const std::complex<float>*, std::complex<float>*, float*,
                        std::complex<float>*);
template int svd_jacobi(const SvdSize&, const std::complex<double>*, std::complex<double>*, double*,
                        std::complex<double>*);

}  // namespace sigma::kernels
