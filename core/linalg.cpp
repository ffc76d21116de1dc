#include "core/linalg.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/kernels/denormals.h"
#include "core/kernels/svd.h"
#include "core/math.h"
#include "core/parallel.h"

namespace sigma {
namespace {

using kernels::Real;

// Sizes of a batch of matrices.
struct Batch {
  int64_t count = 1, m, n;
  Shape lead;
  int64_t k() const { return std::min(m, n); }
  Shape shape(std::initializer_list<int64_t> tail) const {
    Shape s = lead;
    for (int64_t d : tail) s.push_back(d);
    return s;
  }
  std::string name(int64_t i) const { return lead.rank() ? fmt::format("(batch element {}) ", i) : ""; }
};

Batch check_matrices(const char* tag, const Tensor& a) {
  SIGMA_CHECK(a.defined(), tag, "expected a tensor, got an undefined one");
  SIGMA_CHECK(is_linalg(a.dtype()), tag,
              "expected a float32, float64, complex64 or complex128 tensor, got {}", name_of(a.dtype()));
  SIGMA_CHECK(a.rank() >= 2, tag, "expected a tensor of at least 2 dimensions, got {}", a.shape().str());
  Batch b{1, a.dim(-2), a.dim(-1), {}};
  for (int i = 0; i < a.rank() - 2; ++i) b.lead.push_back(a.dim(i));
  b.count = b.lead.numel();
  return b;
}

template <class T>
bool finite(T x) {
  return std::isfinite(std::real(x)) && std::isfinite(std::imag(x));
}

template <class T>
void check_finite(const char* tag, const Batch& b, const T* a) {
  for (int64_t i = 0; i < b.count; ++i)
    for (int64_t j = 0; j < b.m * b.n; ++j)
      SIGMA_CHECK(finite(a[i * b.m * b.n + j]), tag, "{}expected finite values, got {} at row {}, column {}",
                  b.name(i),
                  std::isfinite(std::real(a[i * b.m * b.n + j])) ? std::imag(a[i * b.m * b.n + j])
                                                                 : std::real(a[i * b.m * b.n + j]),
                  j / b.n, j % b.n);
}

// Whether lengths of the vectors that Jacobi rotates differ so much that LAPACK would lose the small values.
template <class T>
bool is_graded(const T* a, int64_t m, int64_t n) {
  constexpr double kRatio = 1e3;
  const bool columns = m >= n;
  const int64_t count = columns ? n : m, length = columns ? m : n;
  if (count > 256) return false;
  double low = std::numeric_limits<double>::infinity(), high = 0;
  for (int64_t i = 0; i < count; ++i) {
    double top = 0;  // the largest entry is near enough to the length
    for (int64_t j = 0; j < length; ++j)
      top = std::max(top, static_cast<double>(std::abs(columns ? a[j * n + i] : a[i * n + j])));
    if (top > 0) {
      low = std::min(low, top);
      high = std::max(high, top);
    }
  }
  return high > kRatio * low;
}

// Singular vectors are determined up to a sign, or a phase when complex: here the first entry of a column of
// U that is within 1% of its largest is made real and positive, so that drivers, threads and releases of
// LAPACK agree. (The largest itself would be chosen by rounding where two are equal.)
template <class T>
void fix_phases(const kernels::SvdSize& size, T* u, T* vh) {
  using R = Real<T>;
  const int64_t k = size.k(), cu = size.columns_u();
  std::vector<R> largest(static_cast<size_t>(k), 0);
  for (int64_t i = 0; i < size.m; ++i)
    for (int64_t j = 0; j < k; ++j)
      largest[static_cast<size_t>(j)] = std::max(largest[static_cast<size_t>(j)], std::norm(u[i * cu + j]));
  std::vector<T> phase(static_cast<size_t>(k), T(0));
  for (int64_t i = 0; i < size.m; ++i)
    for (int64_t j = 0; j < k; ++j) {
      T& p = phase[static_cast<size_t>(j)];
      const T z = u[i * cu + j];
      if (p == T(0) && std::norm(z) >= R(0.98) * largest[static_cast<size_t>(j)]) p = z / std::abs(z);
    }
  for (int64_t j = 0; j < k; ++j)
    for (int64_t i = 0; i < size.n; ++i) vh[j * size.n + i] *= phase[static_cast<size_t>(j)];
  if constexpr (is_complex_type<T>)
    for (T& p : phase) p = std::conj(p);
  for (int64_t i = 0; i < size.m; ++i)
    for (int64_t j = 0; j < k; ++j) u[i * cu + j] *= phase[static_cast<size_t>(j)];
}

// U and Vh are undefined for values only.
template <class T>
void decompose(const char* tag, const Batch& b, const SvdOptions& o, const T* a, T* u, Real<T>* s, T* vh) {
  check_finite(tag, b, a);
  const kernels::SvdSize size{b.m, b.n, o.full_matrices};
  const int64_t cu = size.columns_u(), rv = size.rows_vh(), k = b.k();
  std::vector<int> info(static_cast<size_t>(b.count));
  const int64_t work = std::max<int64_t>(1, b.m * b.n * std::max<int64_t>(1, k));
  parallel_ranges(b.count, std::max<int64_t>(1, (1 << 15) / work), [&](int64_t begin, int64_t end) {
    kernels::KeepDenormals keep;  // a matrix may be tiny throughout
    for (int64_t i = begin; i < end; ++i) {
      const T* matrix = a + i * b.m * b.n;
      T *ui = u ? u + i * b.m * cu : nullptr, *vi = u ? vh + i * rv * b.n : nullptr;
      if (k == 0) {  // nothing to decompose; full matrices are the identity
        for (int64_t j = 0; u && j < b.m * cu; ++j) ui[j] = T(j / cu == j % cu);
        for (int64_t j = 0; u && j < rv * b.n; ++j) vi[j] = T(j / b.n == j % b.n);
        continue;
      }
      bool jacobi =
          o.driver == SvdDriver::jacobi || (o.driver == SvdDriver::automatic && is_graded(matrix, b.m, b.n));
      info[static_cast<size_t>(i)] =
          (jacobi ? kernels::svd_jacobi<T> : kernels::svd_lapack<T>)(size, matrix, ui, s + i * k, vi);
      if (u && info[static_cast<size_t>(i)] == 0) fix_phases(size, ui, vi);
    }
  });
  for (int64_t i = 0; i < b.count; ++i)
    SIGMA_CHECK(
        info[static_cast<size_t>(i)] == 0, tag,
        "{}the algorithm did not converge (code {}); the matrix may be ill-conditioned or have too many "
        "repeated singular values",
        b.name(i), info[static_cast<size_t>(i)]);
}

// The largest singular value that counts as zero, when the largest of all is `top`.
double cut_off(const Batch& b, DType dtype, const RankTolerance& t, double top) {
  double rtol = t.rtol                  ? *t.rtol
                : t.atol && *t.atol > 0 ? 0
                                        : static_cast<double>(std::max(b.m, b.n)) * epsilon_of(dtype);
  return std::max(t.atol.value_or(0), rtol * top);
}

// diag(d) from the left or the right, d (..., r) real.
template <class T, class R>
void scale_rows(T* a, const R* d, int64_t rows, int64_t columns) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) a[i * columns + j] *= d[i];
}
template <class T, class R>
void scale_columns(T* a, const R* d, int64_t rows, int64_t columns) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) a[i * columns + j] *= d[j];
}

// Energy of the j-th singular value beside that of the largest: squares alone may overflow or underflow.
double share(const double* s, int64_t j) { return s[0] > 0 ? s[j] / s[0] * (s[j] / s[0]) : 0; }

// fn(matrix index, rows of float64 singular values) over a batch.
template <class Fn>
void each_spectrum(const Tensor& s, int64_t count, Fn fn) {
  std::vector<double> all = s.to_vector();
  int64_t k = s.dim(-1);
  for (int64_t i = 0; i < count; ++i) fn(i, all.data() + i * k, k);
}

}  // namespace

SvdDriver parse_svd_driver(const std::string& name) {
  if (name == "auto") return SvdDriver::automatic;
  if (name == "gesdd") return SvdDriver::gesdd;
  if (name == "jacobi") return SvdDriver::jacobi;
  fail(ErrorKind::usage, "linalg.svd", "unknown driver \"{}\", expected auto, gesdd or jacobi", name);
}

Svd svd(const Tensor& a, SvdOptions o) {
  Batch b = check_matrices("linalg.svd", a);
  kernels::SvdSize size{b.m, b.n, o.full_matrices};
  Tensor c = a.contiguous();
  Svd out{Tensor::empty(b.shape({b.m, size.columns_u()}), a.dtype()),
          Tensor::empty(b.shape({b.k()}), real_dtype(a.dtype())),
          Tensor::empty(b.shape({size.rows_vh(), b.n}), a.dtype())};
  dispatch_linalg(a.dtype(), "linalg.svd", [&](auto zero) {
    using T = decltype(zero);
    decompose("linalg.svd", b, o, c.data<T>(), out.u.mutable_data<T>(), out.s.mutable_data<Real<T>>(),
              out.vh.mutable_data<T>());
  });
  return out;
}

Tensor svdvals(const Tensor& a, SvdDriver driver) {
  Batch b = check_matrices("linalg.svdvals", a);
  Tensor c = a.contiguous(), s = Tensor::empty(b.shape({b.k()}), real_dtype(a.dtype()));
  dispatch_linalg(a.dtype(), "linalg.svdvals", [&](auto zero) {
    using T = decltype(zero);
    decompose<T>("linalg.svdvals", b, {false, driver}, c.data<T>(), nullptr, s.mutable_data<Real<T>>(),
                 nullptr);
  });
  return s;
}

Tensor matrix_rank(const Tensor& a, RankTolerance tolerance) {
  Batch b = check_matrices("linalg.matrix_rank", a);
  Tensor rank = Tensor::zeros(b.lead, DType::int64);
  if (b.k() == 0) return rank;
  each_spectrum(svdvals(a), b.count, [&](int64_t i, const double* s, int64_t k) {
    double cut = cut_off(b, a.dtype(), tolerance, s[0]);
    rank.mutable_data<int64_t>()[i] = std::count_if(s, s + k, [&](double v) { return v > cut; });
  });
  return rank;
}

Tensor pinv(const Tensor& a, RankTolerance tolerance) {
  Batch b = check_matrices("linalg.pinv", a);
  if (b.k() == 0) return Tensor::zeros(b.shape({b.n, b.m}), a.dtype());
  Svd d = svd(a, {.full_matrices = false});
  int64_t k = b.k();
  Tensor v = conj(transpose(d.vh, -2, -1));
  dispatch_linalg(a.dtype(), "linalg.pinv", [&](auto zero) {
    using T = decltype(zero);
    each_spectrum(d.s, b.count, [&](int64_t i, const double* s, int64_t) {
      double cut = cut_off(b, a.dtype(), tolerance, s[0]);
      std::vector<Real<T>> inverse(static_cast<size_t>(k));
      for (int64_t j = 0; j < k; ++j)
        inverse[static_cast<size_t>(j)] = s[j] > cut ? static_cast<Real<T>>(1 / s[j]) : Real<T>(0);
      scale_columns(v.mutable_data<T>() + i * b.n * k, inverse.data(), b.n, k);
    });
  });
  return matmul(v, conj(transpose(d.u, -2, -1)));
}

Tensor matrix_norm(const Tensor& a, MatrixNorm kind) {
  Batch b = check_matrices("linalg.matrix_norm", a);
  Tensor out = Tensor::zeros(b.lead, DType::float64);
  double* to = out.mutable_data<double>();
  if (kind == MatrixNorm::nuc || kind == MatrixNorm::two || kind == MatrixNorm::minus_two) {
    SIGMA_CHECK(kind == MatrixNorm::nuc || b.k() > 0, "linalg.matrix_norm",
                "an empty matrix {} has no such norm", a.shape().str());
    each_spectrum(svdvals(a), b.count, [&](int64_t i, const double* s, int64_t k) {
      for (int64_t j = 0; j < k && kind == MatrixNorm::nuc; ++j) to[i] += s[j];
      if (kind != MatrixNorm::nuc) to[i] = s[kind == MatrixNorm::two ? 0 : k - 1];
    });
    return out.to(real_dtype(a.dtype()));
  }
  Tensor c = a.contiguous();
  dispatch_linalg(a.dtype(), "linalg.matrix_norm", [&](auto zero) {
    using T = decltype(zero);
    const T* p = c.data<T>();
    check_finite("linalg.matrix_norm", b, p);
    auto size = [&](int64_t i, int64_t r, int64_t col) {
      return static_cast<double>(std::abs(p[(i * b.m + r) * b.n + col]));
    };
    bool columns = kind == MatrixNorm::one || kind == MatrixNorm::minus_one;
    bool largest = kind == MatrixNorm::one || kind == MatrixNorm::inf;
    for (int64_t i = 0; i < b.count; ++i) {
      if (kind == MatrixNorm::fro) {
        double top = 0, sum = 0;
        for (int64_t j = 0; j < b.m * b.n; ++j) top = std::max(top, size(i, 0, j));
        for (int64_t j = 0; j < b.m * b.n && top > 0; ++j) sum += size(i, 0, j) / top * (size(i, 0, j) / top);
        to[i] = top * std::sqrt(sum);
        continue;
      }
      for (int64_t x = 0; x < (columns ? b.n : b.m); ++x) {
        double sum = 0;
        for (int64_t y = 0; y < (columns ? b.m : b.n); ++y) sum += columns ? size(i, y, x) : size(i, x, y);
        to[i] = x == 0 ? sum : largest ? std::max(to[i], sum) : std::min(to[i], sum);
      }
    }
  });
  return out.to(real_dtype(a.dtype()));
}

Tensor cond(const Tensor& a, MatrixNorm kind) {
  Batch b = check_matrices("linalg.cond", a);
  Tensor out = Tensor::zeros(b.lead, DType::float64);
  if (b.k() == 0) return out.to(real_dtype(a.dtype()));
  const double inf = std::numeric_limits<double>::infinity();
  Tensor s = svdvals(a);
  if (kind == MatrixNorm::two || kind == MatrixNorm::minus_two) {
    each_spectrum(s, b.count, [&](int64_t i, const double* v, int64_t k) {
      double ratio = v[k - 1] == 0 ? inf : v[0] / v[k - 1];
      out.mutable_data<double>()[i] = kind == MatrixNorm::two ? ratio : 1 / ratio;
    });
    return out.to(real_dtype(a.dtype()));
  }
  SIGMA_CHECK(b.m == b.n, "linalg.cond", "expected square matrices for this norm, got {}", a.shape().str());
  std::vector<double> of_a = matrix_norm(a, kind).to_vector(),
                      of_inverse = matrix_norm(pinv(a, {.atol = 0.0, .rtol = 0.0}), kind).to_vector();
  each_spectrum(s, b.count, [&](int64_t i, const double* v, int64_t k) {
    auto at = static_cast<size_t>(i);
    out.mutable_data<double>()[i] = v[k - 1] == 0 ? inf : of_a[at] * of_inverse[at];
  });
  return out.to(real_dtype(a.dtype()));
}

int64_t rank_for_energy(const Tensor& s, double energy) {
  SIGMA_CHECK(energy > 0 && energy <= 1, "linalg.low_rank",
              "expected an energy above 0 and at most 1, got {}", energy);
  int64_t rank = 1, k = s.dim(-1);
  if (k == 0) return 0;
  each_spectrum(s, s.numel() / k, [&](int64_t, const double* v, int64_t) {
    double total = 0, kept = 0;
    for (int64_t j = 0; j < k; ++j) total += share(v, j);
    int64_t r = 0;
    while (r < k && (r == 0 || kept < energy * total)) kept += share(v, r), ++r;
    rank = std::max(rank, r);
  });
  return rank;
}

namespace {
LowRank truncate(const Batch& b, const Svd& d, int64_t rank) {
  SIGMA_CHECK(rank >= 1 && rank <= b.k(), "linalg.low_rank",
              "expected a rank from 1 to {} for matrices of {}x{}, got {}", b.k(), b.m, b.n, rank);
  LowRank out{slice(d.u, -1, 0, rank), slice(d.vh, -2, 0, rank), 1};
  dispatch_linalg(out.left.dtype(), "linalg.low_rank", [&](auto zero) {
    using T = decltype(zero);
    each_spectrum(d.s, b.count, [&](int64_t i, const double* s, int64_t k) {
      std::vector<Real<T>> root(static_cast<size_t>(rank));
      double total = 0, kept = 0;
      for (int64_t j = 0; j < k; ++j) total += share(s, j);
      for (int64_t j = 0; j < rank; ++j) {
        kept += share(s, j);
        root[static_cast<size_t>(j)] = static_cast<Real<T>>(std::sqrt(s[j]));
      }
      if (total > 0) out.energy = std::min(out.energy, kept / total);
      scale_columns(out.left.mutable_data<T>() + i * b.m * rank, root.data(), b.m, rank);
      scale_rows(out.right.mutable_data<T>() + i * rank * b.n, root.data(), rank, b.n);
    });
  });
  return out;
}
}  // namespace

LowRank low_rank(const Tensor& a, int64_t rank) {
  Batch b = check_matrices("linalg.low_rank", a);
  return truncate(b, svd(a, {.full_matrices = false}), rank);
}

LowRank low_rank_energy(const Tensor& a, double energy) {
  Batch b = check_matrices("linalg.low_rank", a);
  Svd d = svd(a, {.full_matrices = false});
  return truncate(b, d, rank_for_energy(d.s, energy));
}

Polar polar(const Tensor& a) {
  Batch b = check_matrices("linalg.polar", a);
  SIGMA_CHECK(b.m >= b.n, "linalg.polar", "expected at least as many rows as columns, got {}",
              a.shape().str());
  Svd d = svd(a, {.full_matrices = false});
  Tensor v = conj(transpose(d.vh, -2, -1)), scaled = v.clone();
  dispatch_linalg(a.dtype(), "linalg.polar", [&](auto zero) {
    using T = decltype(zero);
    const Real<T>* s = d.s.data<Real<T>>();
    for (int64_t i = 0; i < b.count; ++i)
      scale_columns(scaled.mutable_data<T>() + i * b.n * b.n, s + i * b.n, b.n, b.n);
  });
  return {matmul(d.u, d.vh), matmul(scaled, d.vh)};
}

}  // namespace sigma
