// Singular value decomposition and what is built on it: golden numbers, identities, bad input. Cases are
// numbered as in the specification; svd_grid_test.cpp has those about accuracy, svd_gradient_test.cpp
// gradients.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/parallel.h"
#include "core/rng.h"
#include "tests/support/svd.h"

using namespace sigma;
using namespace sigma::test;
using C = std::complex<double>;

namespace {

constexpr double kThreshold = 35;
constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr SvdDriver kDrivers[] = {SvdDriver::gesdd, SvdDriver::jacobi, SvdDriver::automatic};

Tensor eye(int64_t n, DType dtype = DType::float64) {
  return narrow(diagonal(std::vector<double>(static_cast<size_t>(n), 1), n, n), dtype);
}
Tensor diag(const std::vector<double>& d, DType dtype = DType::float64) {
  return narrow(diagonal(d, static_cast<int64_t>(d.size()), static_cast<int64_t>(d.size())), dtype);
}
Tensor h(const Tensor& a) { return conj(transpose(a, -1, -2)); }
// Largest |a - b|.
double off(const Tensor& a, const Tensor& b) {
  double worst = 0;
  for (double x : abs(sub(a, b)).to_vector())
    if (!(x <= worst)) worst = x;
  return worst;
}
// Checks values (within `ulps` of the largest) and ratios, full and thin, with every driver.
void check_svd(const Tensor& a, const std::vector<double>& want, double ulps = 8) {
  for (SvdDriver driver : kDrivers)
    for (bool full : {true, false}) {
      Svd d = svd(a, {.full_matrices = full, .driver = driver});
      INFO(name_of(a.dtype()) << " " << a.shape().str() << " driver " << static_cast<int>(driver));
      std::vector<double> s = d.s.to_vector();
      REQUIRE(s.size() == want.size());
      for (size_t i = 0; i < s.size(); ++i)
        CHECK(std::fabs(s[i] - want[i]) <= ulps * ulp_of(a.dtype()) * std::max(1.0, want[0]));
      CHECK(svd_ratios(a, d).worst() < kThreshold);
    }
}
bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("svd case 2: golden values of a real 2x2 matrix", "[svd]") {
  for (DType dtype : kLinalgTypes)
    check_svd(Tensor::from<double>({3, 0, 4, 5}, {2, 2}).to(dtype), {6.708203932499369, 2.23606797749979});
  Svd d = svd(Tensor::from<double>({3, 0, 4, 5}, {2, 2}));
  // u1 = (1, 3) / sqrt 10 and v1 = (1, 1) / sqrt 2, up to a common sign.
  double sign = d.u.at({0, 0}) > 0 ? 1 : -1;
  CHECK(d.u.at({0, 0}) * sign == Approx(1 / std::sqrt(10.0)).epsilon(1e-14));
  CHECK(d.u.at({1, 0}) * sign == Approx(3 / std::sqrt(10.0)).epsilon(1e-14));
  CHECK(d.vh.at({0, 0}) * sign == Approx(std::sqrt(0.5)).epsilon(1e-14));
  CHECK(d.vh.at({0, 1}) * sign == Approx(std::sqrt(0.5)).epsilon(1e-14));
}

TEST_CASE("svd case 3: golden values of complex 2x2 matrices", "[svd]") {
  for (DType dtype : {DType::complex64, DType::complex128}) {
    check_svd(Tensor::from<C>({1, {0, 1}, {0, -1}, 1}, {2, 2}).to(dtype), {2, 0});
    check_svd(Tensor::from<C>({0, {0, 2}, 1, 0}, {2, 2}).to(dtype), {2, 1});
  }
}

TEST_CASE("svd cases 4 to 8: diagonal, orthogonal, zero, rank one, rows and columns", "[svd]") {
  for (DType dtype : kLinalgTypes) {
    check_svd(diag({3, -2, 1}, dtype), {3, 2, 1});
    check_svd(Tensor::from<double>({0, 1, 0, 0, 0, 1, 1, 0, 0}, {3, 3}).to(dtype), {1, 1, 1});
    check_svd(narrow(orthonormal(9, 9, 5, is_complex(dtype)), dtype), std::vector<double>(9, 1));
    check_svd(Tensor::zeros({3, 2}, dtype), {0, 0}, 0);
    check_svd(Tensor::zeros({2, 5}, dtype), {0, 0}, 0);
    check_svd(with_values({7}, 6, 4, 7, dtype), {7, 0, 0, 0});
    check_svd(Tensor::from<double>({1, 2, 2, 4, 0}, {1, 5}).to(dtype), {5});
    check_svd(Tensor::from<double>({1, 2, 2, 4, 0}, {5, 1}).to(dtype), {5});
    check_svd(Tensor::from<double>({-3}, {1, 1}).to(dtype), {3}, 0);
  }
  check_svd(Tensor::from<C>({{3, -4}}, {1, 1}), {5});
  check_svd(Tensor::from<C>({{3, -4}}, {1, 1}).to(DType::complex64), {5});
}

TEST_CASE("svd case 9: empty matrices and empty batches", "[svd]") {
  for (DType dtype : kLinalgTypes)
    for (SvdDriver driver : kDrivers) {
      auto shapes = [&](const Shape& a, bool full, const Shape& u, const Shape& s, const Shape& vh) {
        Svd d = svd(Tensor::zeros(a, dtype), {.full_matrices = full, .driver = driver});
        CHECK(d.u.shape() == u);
        CHECK(d.s.shape() == s);
        CHECK(d.vh.shape() == vh);
        CHECK(svdvals(Tensor::zeros(a, dtype), driver).shape() == s);
        return d;
      };
      shapes({0, 0}, true, {0, 0}, {0}, {0, 0});
      CHECK(identical(shapes({4, 0}, true, {4, 4}, {0}, {0, 0}).u, eye(4, dtype)));
      CHECK(identical(shapes({0, 4}, true, {0, 0}, {0}, {4, 4}).vh, eye(4, dtype)));
      shapes({4, 0}, false, {4, 0}, {0}, {0, 0});
      shapes({0, 4}, false, {0, 0}, {0}, {0, 4});
      CHECK(
          identical(slice(shapes({3, 0, 5}, true, {3, 0, 0}, {3, 0}, {3, 5, 5}).vh, 0, 2, 1).reshape({5, 5}),
                    eye(5, dtype)));
      shapes({0, 3, 4}, true, {0, 3, 3}, {0, 3}, {0, 4, 4});
      shapes({0, 3, 4}, false, {0, 3, 3}, {0, 3}, {0, 3, 4});
    }
}

TEST_CASE("svd case 17: a column that is the sum of two lowers the rank by one", "[svd]") {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    Tensor a = random_matrix({40, 10}, seed, seed % 2 ? DType::complex128 : DType::float64);
    WideMatrix x = wide(a);
    REQUIRE(matrix_rank(a).item() == 10);
    for (int64_t i = 0; i < 40; ++i) x(i, 0) = x(i, 1) + x(i, 2);
    REQUIRE(matrix_rank(narrow(x, a.dtype())).item() == 9);
    for (int64_t i = 0; i < 40; ++i) x(i, 3) = x(i, 4) + x(i, 5);
    REQUIRE(matrix_rank(narrow(x, a.dtype())).item() == 8);
  }
}

TEST_CASE("svd case 18: ranks with given tolerances", "[svd]") {
  CHECK(matrix_rank(eye(4)).item() == 4);
  CHECK(matrix_rank(eye(4)).dtype() == DType::int64);
  Tensor a = diag({1, 1, 1, 1e-8});
  CHECK(matrix_rank(a, {.atol = .99e-8}).item() == 4);
  CHECK(matrix_rank(a, {.atol = 1.01e-8}).item() == 3);
  CHECK(matrix_rank(a, {.rtol = 1e-7}).item() == 3);
  CHECK(matrix_rank(a, {.atol = 1e-30, .rtol = 1e-7}).item() == 3);
  CHECK(matrix_rank(diag({1, 1e-17}), {.atol = 1e-20}).item() == 2);  // rtol is then 0
  CHECK(matrix_rank(diag({1, 1e-17}), {.atol = 0.0}).item() == 1);
  CHECK(matrix_rank(Tensor::zeros({3, 3})).item() == 0);
  CHECK(matrix_rank(Tensor::zeros({0, 3})).item() == 0);
  Tensor stacked =
      cat({eye(4).reshape({1, 4, 4}), a.reshape({1, 4, 4}), Tensor::zeros({1, 4, 4}, DType::float64)}, 0);
  CHECK(matrix_rank(stacked, {.atol = 1.01e-8}).to_vector() == std::vector<double>{4, 3, 0});
}

TEST_CASE("svd case 19: values that are not finite are refused and named, without a hang", "[svd]") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (DType dtype : kLinalgTypes)
    for (double bad : {nan, kInf, -kInf}) {
      Tensor one = random_matrix({4, 3}, 1, dtype), many = random_matrix({3, 4, 3}, 2, dtype);
      auto put = [&](Tensor& t, int64_t at) {
        dispatch_linalg(dtype, "test", [&](auto zero) {
          t.mutable_data<decltype(zero)>()[at] = static_cast<decltype(zero)>(bad);
        });
      };
      put(one, 7), put(many, 12 + 5);
      const std::string value = std::isnan(bad) ? "nan" : bad > 0 ? "inf" : "-inf";
      for (SvdDriver driver : kDrivers) {
        CHECK(error_of([&] { svd(one, {.driver = driver}); }) ==
              "[linalg.svd] expected finite values, got " + value + " at row 2, column 1");
        CHECK(error_of([&] { svd(many, {.driver = driver}); }) ==
              "[linalg.svd] (batch element 1) expected finite values, got " + value + " at row 1, column 2");
        CHECK(contains(error_of([&] { svdvals(many, driver); }), "(batch element 1)"));
      }
      for (auto& fn : std::vector<std::function<void(const Tensor&)>>{
               [](const Tensor& t) { matrix_rank(t); }, [](const Tensor& t) { pinv(t); },
               [](const Tensor& t) { cond(t); }, [](const Tensor& t) { low_rank(t, 1); },
               [](const Tensor& t) { low_rank_energy(t, 0.5); }, [](const Tensor& t) { polar(t); },
               [](const Tensor& t) { matrix_norm(t); },
               [](const Tensor& t) { matrix_norm(t, MatrixNorm::nuc); },
               [](const Tensor& t) { matrix_norm(t, MatrixNorm::one); },
               [](const Tensor& t) { matrix_norm(t, MatrixNorm::minus_inf); }})
        CHECK(contains(error_of([&] { fn(many); }), "(batch element 1) expected finite values"));
    }
  // An imaginary part counts as well.
  CHECK(contains(error_of([&] {
                   svd(Tensor::from<C>({1, {0, nan}, 0, 1}, {2, 2}));
                 }),
                 "nan at row 0, column 1"));
}

TEST_CASE("svd case 20: wrong dtypes, shapes and options are refused", "[svd]") {
  for (DType dtype : {DType::int64, DType::uint8, DType::bfloat16})
    CHECK(error_of([&] {
            svd(Tensor::ones({3, 3}, dtype));
          }) ==
          std::string("[linalg.svd] expected a float32, float64, complex64 or complex128 tensor, got ") +
              name_of(dtype));
  CHECK(error_of([] { svd(Tensor::ones({3})); }) ==
        "[linalg.svd] expected a tensor of at least 2 dimensions, got (3)");
  CHECK(contains(error_of([] { svdvals(Tensor::scalar(1)); }),
                 "[linalg.svdvals] expected a tensor of at least 2"));
  CHECK(contains(error_of([] { pinv(Tensor::ones({3})); }), "[linalg.pinv]"));
  CHECK(contains(error_of([] { svd(Tensor()); }), "undefined"));
  CHECK(contains(error_of([] { parse_svd_driver("qr"); }),
                 "unknown driver \"qr\", expected auto, gesdd or jacobi"));
  CHECK(parse_svd_driver("jacobi") == SvdDriver::jacobi);
  CHECK(parse_svd_driver("gesdd") == SvdDriver::gesdd);
  CHECK(parse_svd_driver("auto") == SvdDriver::automatic);
  CHECK(contains(error_of([] {
                   low_rank(Tensor::ones({4, 3}), 4);
                 }),
                 "expected a rank from 1 to 3 for matrices of 4x3, got 4"));
  CHECK(contains(error_of([] { low_rank(Tensor::ones({4, 3}), 0); }), "got 0"));
  for (double energy : {0.0, -1.0, 1.5, std::numeric_limits<double>::quiet_NaN()})
    CHECK(contains(error_of([&] {
                     low_rank_energy(Tensor::ones({4, 3}), energy);
                   }),
                   "expected an energy above 0"));
  CHECK(contains(error_of([] { polar(Tensor::ones({3, 4})); }), "at least as many rows as columns"));
  CHECK(contains(error_of([] { cond(Tensor::ones({3, 4}), MatrixNorm::fro); }), "expected square matrices"));
  CHECK(contains(error_of([] { matrix_norm(Tensor::ones({3, 0}), MatrixNorm::two); }), "empty"));
}

TEST_CASE("svd cases 21 and 22: values alone, of the adjoint and of rotated matrices agree", "[svd]") {
  for (DType dtype : {DType::float64, DType::complex128})
    for (SvdDriver driver : kDrivers)
      for (Shape shape : {Shape{9, 5}, Shape{5, 9}, Shape{7, 7}}) {
        Tensor a = random_matrix(shape, 21, dtype), s = svd(a, {.driver = driver}).s;
        const double top = s.to_vector()[0], near = 8 * 0x1p-52 * top;
        CHECK(off(s, svdvals(a, driver)) <= near);
        CHECK(off(s, svdvals(h(a), driver)) <= near);
        Tensor q = narrow(orthonormal(shape[0], shape[0], 22, is_complex(dtype)), dtype);
        CHECK(off(s, svdvals(matmul(q, a), driver)) <= 2 * near);
        double squares = 0, norm = matrix_norm(a).item();
        for (double x : s.to_vector()) squares += x * x;
        CHECK(squares == Approx(norm * norm).epsilon(1e-14));
      }
  // The product is |det|: 2x2, by hand.
  std::vector<double> s = svdvals(Tensor::from<double>({1, 2, 3, -4}, {2, 2})).to_vector();
  CHECK(s[0] * s[1] == Approx(10).epsilon(1e-14));
}

TEST_CASE("svd cases 23 and 24: Eckart and Young's theorem, Weyl's inequality", "[svd]") {
  for (DType dtype : {DType::float64, DType::complex128})
    for (int64_t rank = 1; rank < 5; ++rank) {
      Tensor a = random_matrix({8, 5}, 23, dtype);
      std::vector<double> s = svdvals(a).to_vector();
      LowRank r = low_rank(a, rank);
      CHECK(r.rank() == rank);
      CHECK(r.left.shape() == Shape{8, rank});
      Tensor rest = sub(a, matmul(r.left, r.right));
      double tail = 0, total = 0;
      for (size_t i = 0; i < s.size(); ++i) {
        total += s[i] * s[i];
        if (i >= static_cast<size_t>(rank)) tail += s[i] * s[i];
      }
      CHECK(matrix_norm(rest, MatrixNorm::two).item() == Approx(s[static_cast<size_t>(rank)]).epsilon(1e-12));
      CHECK(matrix_norm(rest).item() == Approx(std::sqrt(tail)).epsilon(1e-12));
      CHECK(r.energy == Approx(1 - tail / total).epsilon(1e-12));
      Tensor e = scale(random_matrix({8, 5}, 24, dtype), 1e-3);
      double bound = matrix_norm(e, MatrixNorm::two).item() * (1 + 1e-12);
      CHECK(off(svdvals(add(a, e)), svdvals(a)) <= bound);
    }
}

TEST_CASE("svd case 32: any number of threads gives the same bits, and the input stays as it was", "[svd]") {
  const int before = num_threads();
  for (DType dtype : kLinalgTypes)
    for (SvdDriver driver : kDrivers) {
      Tensor batch = random_matrix({9, 20, 13}, 32, dtype), copy = batch.clone(),
             large = random_matrix({90, 70}, 33, dtype);
      std::vector<Tensor> first;
      for (int threads : {1, 2, 3, 1}) {
        set_num_threads(threads);
        Svd d = svd(batch, {.driver = driver}), e = svd(large, {.driver = driver});
        std::vector<Tensor> now = {d.u, d.s, d.vh, e.u, e.s, e.vh, pinv(large), svdvals(batch, driver)};
        if (first.empty()) first = now;
        for (size_t i = 0; i < now.size(); ++i) CHECK(identical(now[i], first[i]));
      }
      set_num_threads(before);
      CHECK(identical(batch, copy));
      // A transposed and conjugated input, and an image stored with channels last.
      Tensor adjoint_of = h(random_matrix({6, 9}, 34, dtype));
      CHECK(worst_ratio(adjoint_of, {.driver = driver}) < kThreshold);
      Tensor image = random_matrix({2, 3, 5, 4}, 35, dtype);
      CHECK(identical(svd(image, {.driver = driver}).u,
                      svd(image.to(Layout::channels_last), {.driver = driver}).u));
    }
}

TEST_CASE("svd case 33: a batch is decomposed as a loop would", "[svd]") {
  for (DType dtype : kLinalgTypes)
    for (bool full : {true, false}) {
      Tensor batch = random_matrix({2, 3, 6, 4}, 36, dtype), rows = batch.reshape({6, 6, 4});
      Svd d = svd(batch, {.full_matrices = full});
      CHECK(d.s.shape() == Shape{2, 3, 4});
      CHECK(worst_ratio(batch, {.full_matrices = full}) < kThreshold);
      for (int64_t i = 0; i < 6; ++i) {
        Svd e = svd(slice(rows, 0, i, 1).reshape({6, 4}), {.full_matrices = full});
        CHECK(identical(slice(d.u.reshape({6, 6, full ? 6 : 4}), 0, i, 1).reshape({6, full ? 6 : 4}), e.u));
        CHECK(identical(slice(d.s.reshape({6, 4}), 0, i, 1).reshape({4}), e.s));
        CHECK(identical(slice(d.vh.reshape({6, 4, 4}), 0, i, 1).reshape({4, 4}), e.vh));
      }
    }
}

TEST_CASE("svd case 25: the pseudo-inverse meets Penrose's four conditions", "[svd]") {
  for (DType dtype : kLinalgTypes)
    for (Shape shape : {Shape{6, 4}, Shape{4, 6}, Shape{5, 5}, Shape{3, 6, 4}})
      for (bool deficient : {false, true}) {
        Tensor a = random_matrix(shape, 25, dtype);
        if (deficient) {
          LowRank r = low_rank(a, 2);
          a = matmul(r.left, r.right);
        }
        Tensor p = pinv(a, {.rtol = 1e-4}), ap = matmul(a, p), pa = matmul(p, a);
        double near = 500 * ulp_of(dtype);
        CHECK(off(matmul(ap, a), a) <= near);
        CHECK(off(matmul(pa, p), p) <= near);
        CHECK(off(h(ap), ap) <= near);
        CHECK(off(h(pa), pa) <= near);
      }
  CHECK(pinv(Tensor::zeros({0, 3})).shape() == Shape{3, 0});
  CHECK(pinv(Tensor::zeros({2, 0, 3})).shape() == Shape{2, 3, 0});
  CHECK(pinv(Tensor::zeros({0, 3, 4})).shape() == Shape{0, 4, 3});
  CHECK(identical(pinv(Tensor::zeros({2, 3}, DType::complex64)), Tensor::zeros({3, 2}, DType::complex64)));
  CHECK(off(pinv(diag({2, 1e-20})), diag({0.5, 0})) <= 1e-16);
  CHECK(pinv(diag({2, 1e-20}), {.rtol = 0.0}).at({1, 1}) == Approx(1e20));
}

TEST_CASE("svd case 26: condition numbers", "[svd]") {
  for (DType dtype : kLinalgTypes) {
    for (MatrixNorm kind : {MatrixNorm::two, MatrixNorm::minus_two, MatrixNorm::one, MatrixNorm::inf})
      CHECK(cond(eye(3, dtype), kind).item() == Approx(1));
    CHECK(cond(eye(3, dtype)).dtype() == real_dtype(dtype));
    for (MatrixNorm kind : {MatrixNorm::two, MatrixNorm::fro, MatrixNorm::nuc, MatrixNorm::minus_one})
      CHECK(cond(Tensor::zeros({2, 2}, dtype), kind).item() == kInf);  // NaN in PyTorch
    CHECK(cond(Tensor::ones({2, 2}, dtype)).item() >= 1e-1 / ulp_of(dtype));
    CHECK(cond(Tensor::zeros({0, 0}, dtype)).item() == 0);
  }
  Tensor hilbert = Tensor::zeros({10, 10}, DType::float64);
  for (int64_t i = 0; i < 100; ++i)
    hilbert.mutable_data<double>()[i] = 1.0 / static_cast<double>(i / 10 + i % 10 + 1);
  CHECK(cond(hilbert).item() == Approx(1.602e13).epsilon(0.1));
  Tensor a = diag({4, -2, 1});
  CHECK(cond(a).item() == Approx(4));
  CHECK(cond(a, MatrixNorm::minus_two).item() == Approx(0.25));
  CHECK(cond(a, MatrixNorm::one).item() == Approx(4));
  CHECK(cond(a, MatrixNorm::minus_one).item() == Approx(0.25));
  CHECK(cond(a, MatrixNorm::fro).item() == Approx(std::sqrt(21 * (1 + 0.25 + 0.0625))));
  CHECK(cond(a, MatrixNorm::nuc).item() == Approx(7 * 1.75));
}

TEST_CASE("matrix norms are those of their definitions", "[svd]") {
  // [[3, -1, 2i], [0, 4, -1]]: column sums 3, 5, 3; row sums 6, 5.
  Tensor a = Tensor::from<C>({3, -1, {0, 2}, 0, 4, -1}, {2, 3});
  auto norm = [&](MatrixNorm kind) { return matrix_norm(a, kind).item(); };
  CHECK(norm(MatrixNorm::one) == 5);
  CHECK(norm(MatrixNorm::minus_one) == 3);
  CHECK(norm(MatrixNorm::inf) == 6);
  CHECK(norm(MatrixNorm::minus_inf) == 5);
  CHECK(norm(MatrixNorm::fro) == Approx(std::sqrt(31.0)));
  std::vector<double> s = svdvals(a).to_vector();
  CHECK(norm(MatrixNorm::two) == Approx(s[0]));
  CHECK(norm(MatrixNorm::minus_two) == Approx(s[1]));
  CHECK(norm(MatrixNorm::nuc) == Approx(s[0] + s[1]));
  CHECK(matrix_norm(a).dtype() == DType::float64);
  CHECK(matrix_norm(Tensor::full({2, 2}, 1e200, DType::float64)).item() == Approx(2e200));
  CHECK(matrix_norm(Tensor::full({2, 2}, 1e-200, DType::float64)).item() == Approx(2e-200));
  CHECK(matrix_norm(Tensor::zeros({5, 0, 3})).shape() == Shape{5});
}

// Squares of values of 1e200 and 1e-200 are infinite and nil.
TEST_CASE("the share of energy does not depend on the scale", "[svd]") {
  for (double factor : {1.0, 1e200, 1e-200}) {
    Tensor a = scale(diag({3, 2, 1}), factor);  // energies 9, 4, 1 of 14
    INFO(factor);
    CHECK(rank_for_energy(svdvals(a), 9.0 / 14 - 1e-9) == 1);
    CHECK(rank_for_energy(svdvals(a), 9.0 / 14 + 1e-9) == 2);
    CHECK(rank_for_energy(svdvals(a), 13.0 / 14 + 1e-9) == 3);
    CHECK(rank_for_energy(svdvals(a), 1) == 3);
    LowRank r = low_rank_energy(a, 0.7);
    CHECK(r.rank() == 2);
    CHECK(r.energy == Approx(13.0 / 14));
    CHECK(low_rank(a, 1).energy == Approx(9.0 / 14));
  }
  CHECK(low_rank_energy(cat({diag({1, 0}).reshape({1, 2, 2}), eye(2).reshape({1, 2, 2})}, 0), 0.9).rank() ==
        2);
  CHECK(low_rank(Tensor::zeros({3, 2}), 1).energy == 1);
}

TEST_CASE("the polar factors are a unitary and a positive matrix", "[svd]") {
  for (DType dtype : kLinalgTypes)
    for (Shape shape : {Shape{5, 3}, Shape{4, 4}, Shape{2, 5, 3}}) {
      Tensor a = random_matrix(shape, 27, dtype);
      Polar p = polar(a);
      double near = 100 * ulp_of(dtype);
      CHECK(off(matmul(p.unitary, p.positive), a) <= near);
      CHECK(off(h(p.positive), p.positive) <= near);
      CHECK(off(matmul(h(p.unitary), p.unitary), eye(shape[-1], dtype)) <= near);
      std::vector<double> s = svdvals(a).to_vector(), t = svdvals(p.positive).to_vector();
      for (size_t i = 0; i < s.size(); ++i) CHECK(std::fabs(s[i] - t[i]) <= near);
    }
}
