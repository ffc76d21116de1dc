// Singular value decomposition over LAPACK's grid of sizes and matrix types, over random matrices, and where
// accuracy is at stake. Cases are numbered as in the specification.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/rng.h"
#include "tests/support/svd.h"

using namespace sigma;
using namespace sigma::test;

namespace {

constexpr double kThreshold = 35;  // LAPACK's TESTING/svd.in
constexpr SvdDriver kDrivers[] = {SvdDriver::gesdd, SvdDriver::jacobi};

double largest_relative_error(const Tensor& s, const std::vector<double>& want) {
  std::vector<double> got = s.to_vector();
  REQUIRE(got.size() == want.size());
  double worst = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    double e = std::fabs(got[i] - want[i]) / want[i];
    if (!(e <= worst)) worst = e;
  }
  return worst;
}
double largest_error(const Tensor& s, const std::vector<double>& want) {  // beside the largest value
  std::vector<double> got = s.to_vector();
  REQUIRE(got.size() == want.size());
  double worst = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    double e = std::fabs(got[i] - want[i]) / want[0];
    if (!(e <= worst)) worst = e;
  }
  return worst;
}

Tensor from_formula(int64_t m, int64_t n, const std::function<double(int64_t, int64_t)>& fn) {
  WideMatrix a(m, n);
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) a(i, j) = fn(i, j);
  return narrow(a, DType::float64);
}
Tensor hilbert(int64_t n) {
  return from_formula(n, n, [](int64_t i, int64_t j) { return 1.0 / static_cast<double>(i + j + 1); });
}

// LAPACK's five types; 0 zero, 1 identity, 2 U D V with values evenly spaced from 1 to ulp and random signs,
// 3 and 4 the same near underflow and overflow.
Tensor lapack_matrix(int type, int64_t m, int64_t n, uint64_t seed, DType dtype) {
  const int64_t k = std::min(m, n);
  if (type == 0 || k == 0) return Tensor::zeros({m, n}, dtype);
  if (type == 1) return narrow(diagonal(std::vector<double>(static_cast<size_t>(k), 1), m, n), dtype);
  const double ulp = ulp_of(dtype);
  const bool single = real_dtype(dtype) == DType::float32;
  double underflow =
      single ? std::numeric_limits<float>::min() / ulp : std::numeric_limits<double>::min() / ulp;
  double overflow =
      single ? std::numeric_limits<float>::max() * ulp : std::numeric_limits<double>::max() * ulp;
  const double factor = type == 2 ? 1 : type == 3 ? underflow : overflow;
  Rng rng(seed, "signs");
  std::vector<double> d;
  for (int64_t i = 0; i < k; ++i) {
    double at = k == 1 ? 0 : static_cast<double>(i) / static_cast<double>(k - 1);
    d.push_back((1 - at * (1 - ulp)) * factor * (rng.next_below(2) ? 1 : -1));
  }
  return with_values(d, m, n, seed, dtype);
}

}  // namespace

TEST_CASE("svd case 1: LAPACK's grid of sizes and types passes LAPACK's ratios with both drivers", "[svd]") {
  const std::vector<std::pair<int64_t, int64_t>> sizes = {
      {0, 0}, {0, 1},   {0, 3},   {1, 0},   {1, 1},   {1, 2},   {2, 0},   {2, 1},   {3, 0},  {3, 1},
      {3, 3}, {10, 10}, {10, 16}, {16, 10}, {16, 16}, {30, 30}, {30, 40}, {40, 30}, {40, 40}};
  double worst = 0;
  int checked = 0;
  for (DType dtype : kLinalgTypes)
    for (auto [m, n] : sizes)
      for (int type = 0; type < 5; ++type) {
        Tensor a = lapack_matrix(type, m, n, static_cast<uint64_t>(m * 100 + n), dtype);
        for (SvdDriver driver : kDrivers) {
          INFO(name_of(dtype) << " " << m << "x" << n << " type " << type << " driver "
                              << static_cast<int>(driver));
          Svd full = svd(a, {.driver = driver}), thin = svd(a, {.full_matrices = false, .driver = driver});
          REQUIRE(full.u.shape() == Shape{m, m});
          REQUIRE(full.vh.shape() == Shape{n, n});
          REQUIRE(thin.u.shape() == Shape{m, std::min(m, n)});
          REQUIRE(thin.vh.shape() == Shape{std::min(m, n), n});
          REQUIRE(full.s.dtype() == real_dtype(dtype));
          REQUIRE(full.u.dtype() == dtype);
          double ratio = std::max({svd_ratios(a, full).worst(), svd_ratios(a, thin).worst(),
                                   values_ratio(full.s, thin.s, dtype),
                                   values_ratio(full.s, svdvals(a, driver), dtype)});
          REQUIRE(ratio < kThreshold);
          worst = std::max(worst, ratio);
          ++checked;
        }
      }
  CHECK(checked == 4 * 19 * 5 * 2);
  CHECK(worst < 10);
}

TEST_CASE("svd case 10: the singular values of Hilbert's matrix", "[svd]") {
  Tensor h = hilbert(10);
  for (SvdDriver driver : kDrivers) {
    std::vector<double> s = svdvals(h, driver).to_vector();
    CHECK(std::fabs(s[0] - 1.7519196702651776) <= 10 * 0x1p-52 * s[0]);
    CHECK(std::fabs(s[9] - 1.0931538251e-13) <= 10 * 0x1p-52 * s[0]);
  }
  CHECK(matrix_rank(h).item() == 10);
  CHECK(matrix_rank(hilbert(12)).item() == 11);
}

TEST_CASE("svd case 11: graded columns keep every digit of the small values", "[svd]") {
  std::vector<double> scales;
  for (int i = 0; i < 10; ++i) scales.push_back(std::pow(10.0, -2.0 * i));  // 1 to 1e-18
  const std::vector<double> descending = scales, ascending(scales.rbegin(), scales.rend()),
                            shuffled = {1e-8, 1, 1e-18, 1e-4, 1e-12, 1e-2, 1e-16, 1e-6, 1e-14, 1e-10};
  double worst = 0;
  for (DType dtype : kLinalgTypes)
    for (const std::vector<double>& d : {descending, ascending, shuffled})
      for (bool tall : {true, false})
        for (uint64_t seed = 1; seed <= 3; ++seed) {
          WideMatrix g = multiply(wide(random_matrix({12, 10}, seed, dtype)), diagonal(d, 10, 10));
          Tensor a = narrow(tall ? g : adjoint(g), dtype);
          std::vector<double> want = reference_values(a);
          double tolerance = real_dtype(dtype) == DType::float32 ? 1e-7 : 1e-13;
          for (SvdDriver driver : {SvdDriver::jacobi, SvdDriver::automatic}) {
            INFO(name_of(dtype) << " tall " << tall << " seed " << seed << " driver "
                                << static_cast<int>(driver));
            Svd full = svd(a, {.driver = driver});
            REQUIRE(largest_relative_error(full.s, want) <= tolerance);
            REQUIRE(largest_relative_error(svdvals(a, driver), want) <= tolerance);
            worst = std::max(worst, svd_ratios(a, full).worst());
          }
          REQUIRE(largest_error(svdvals(a, SvdDriver::gesdd), want) <= 100 * ulp_of(dtype));
        }
  CHECK(worst < kThreshold);
}

TEST_CASE("svd case 12: Kahan's, Wilkinson's and Vandermonde's matrices", "[svd]") {
  Tensor kahan = from_formula(20, 20, [](int64_t i, int64_t j) {
    double s = std::sin(1.2), c = std::cos(1.2), p = std::pow(s, static_cast<double>(i));
    return j < i ? 0 : j == i ? p : -c * p;
  });
  Tensor wilkinson = from_formula(21, 21, [](int64_t i, int64_t j) {
    return i == j ? std::fabs(10 - static_cast<double>(i)) : std::abs(i - j) == 1 ? 1.0 : 0.0;
  });
  Tensor vandermonde =
      from_formula(20, 20, [](int64_t i, int64_t j) { return std::pow(static_cast<double>(i + 1) / 20, j); });
  for (const Tensor& a : {kahan, wilkinson, vandermonde}) {
    std::vector<double> want = reference_values(a);
    for (SvdDriver driver : {SvdDriver::gesdd, SvdDriver::jacobi, SvdDriver::automatic}) {
      CHECK(largest_error(svdvals(a, driver), want) <= 20 * 0x1p-52);
      CHECK(worst_ratio(a, {.driver = driver}) < kThreshold);
    }
  }
}

TEST_CASE("svd case 13: a scale factor near the ends of the range scales the values alone", "[svd]") {
  for (DType dtype : {DType::float64, DType::complex128})
    for (SvdDriver driver : {SvdDriver::gesdd, SvdDriver::jacobi, SvdDriver::automatic}) {
      Tensor a = random_matrix({6, 4}, 3, dtype);
      std::vector<double> want = svdvals(a, driver).to_vector();
      for (double factor : {1e-300, 1e300}) {
        Tensor scaled = scale(a, factor);
        std::vector<double> got = svdvals(scaled, driver).to_vector();
        for (size_t i = 0; i < want.size(); ++i)
          CHECK(std::fabs(got[i] / factor - want[i]) <= 1e-14 * want[0]);
        CHECK(worst_ratio(scaled, {.driver = driver}) < kThreshold);
      }
    }
  for (DType dtype : {DType::float32, DType::complex64})  // denormal: few digits are left in A itself
    for (SvdDriver driver : kDrivers) {
      Tensor a = scale(random_matrix({6, 4}, 4, DType::float64), 1e-40).to(dtype);
      std::vector<double> want = reference_values(a);
      CHECK(want[0] > 0);
      std::vector<double> got = svdvals(a, driver).to_vector();
      for (size_t i = 0; i < want.size(); ++i) CHECK(std::fabs(got[i] - want[i]) <= 5e-45);
      Svd d = svd(a, {.driver = driver});
      Ratios r = svd_ratios(a, d);
      CHECK(std::max(r.left, r.right) < kThreshold);
    }
}

TEST_CASE("columns of denormal numbers still give orthonormal vectors", "[svd]") {
  for (DType dtype : {DType::float64, DType::complex128})
    for (SvdDriver driver : {SvdDriver::jacobi, SvdDriver::automatic})
      for (double tiny : {5e-324, 5e-323, 1e-315}) {
        Tensor a =
            from_formula(4, 2, [&](int64_t i, int64_t j) { return j == 0 ? 1.0 : (i == 0 ? 1 : 2) * tiny; });
        Ratios r = svd_ratios(a.to(dtype), svd(a.to(dtype), {.driver = driver}));
        INFO(tiny);
        CHECK(r.worst() < kThreshold);
      }
}

TEST_CASE("svd case 14: tall and wide matrices", "[svd]") {
  for (DType dtype : kLinalgTypes)
    for (SvdDriver driver : kDrivers)
      for (bool tall : {true, false}) {
        Tensor a = random_matrix(tall ? Shape{1000, 5} : Shape{5, 1000}, 5, dtype);
        CHECK(worst_ratio(a, {.full_matrices = false, .driver = driver}) < kThreshold);
        Tensor b = random_matrix(tall ? Shape{90, 5} : Shape{5, 90}, 6, dtype);
        CHECK(worst_ratio(b, {.driver = driver}) < kThreshold);
      }
}

TEST_CASE("svd cases 15 and 16: repeated and clustered values are decomposed as well", "[svd]") {
  for (DType dtype : kLinalgTypes)
    for (SvdDriver driver : kDrivers) {
      Tensor repeated = with_values({2, 2, 1}, 5, 4, 7, dtype);
      Svd d = svd(repeated, {.full_matrices = false, .driver = driver});
      CHECK(svd_ratios(repeated, d).worst() < kThreshold);
      // The two-dimensional space of the value 2 is determined: its projector is A^H A's share above 2.
      WideMatrix v = wide(d.vh), a = wide(repeated), gram = multiply(adjoint(a), a);
      WideMatrix top(2, 4);
      for (int64_t i = 0; i < 2; ++i)
        for (int64_t j = 0; j < 4; ++j) top(i, j) = v(i, j);
      WideMatrix inside = multiply(gram, adjoint(top));
      double off = 0;
      for (int64_t i = 0; i < 4; ++i)
        for (int64_t j = 0; j < 2; ++j)
          off = std::max(off, static_cast<double>(std::abs(inside(i, j) - 4.0L * std::conj(top(j, i)))));
      CHECK(off <= 200 * ulp_of(dtype));
      Tensor clustered = with_values({1 + 1e-15, 1, 1, 0.5}, 6, 4, 8, dtype);
      CHECK(worst_ratio(clustered, {.driver = driver}) < kThreshold);
    }
}

TEST_CASE("svd case 35: two thousand random matrices pass the ratios", "[svd]") {
  Rng rng(35, "svd fuzz");
  double worst = 0;
  for (uint64_t i = 0; i < 2000; ++i) {
    DType dtype = kLinalgTypes[rng.next_below(4)];
    auto m = static_cast<int64_t>(1 + rng.next_below(24)), n = static_cast<int64_t>(1 + rng.next_below(24));
    WideMatrix a = wide(random_matrix({m, n}, i, dtype));
    const uint64_t kind = rng.next_below(5);
    const double most = real_dtype(dtype) == DType::float32 ? 15 : 140;
    for (int64_t r = 0; r < m; ++r) {
      auto power = static_cast<long double>(std::pow(10.0, rng.next_uniform(-most, most)));
      for (int64_t c = 0; c < n; ++c) {
        if (kind == 1) a(r, c) *= power;                                           // scaled rows
        if (kind == 2 && rng.next_below(3)) a(r, c) = 0;                           // sparse
        if (kind == 3) a(r, c) = std::round(static_cast<double>(a(r, c).real()));  // small integers, ties
        if (kind == 4 && r > 0 && rng.next_below(2)) a(r, c) = a(r - 1, c);        // nearly repeated rows
      }
    }
    Tensor t = narrow(a, dtype);
    SvdOptions options{.full_matrices = rng.next_below(2) == 1, .driver = static_cast<SvdDriver>(i % 3)};
    Svd d = svd(t, options);
    double ratio = std::max(svd_ratios(t, d).worst(), values_ratio(d.s, svdvals(t, options.driver), dtype));
    if (!(ratio < kThreshold)) {
      INFO("matrix " << i << " " << name_of(dtype) << " " << m << "x" << n << " kind " << kind << " ratio "
                     << ratio);
      REQUIRE(ratio < kThreshold);
    }
    worst = std::max(worst, ratio);
  }
  CHECK(worst < kThreshold);
  CHECK(worst > 0);
}
