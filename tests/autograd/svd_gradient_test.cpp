// Gradients of the singular value decomposition, first and second, and the losses that have none. Cases are
// numbered as in the specification.
#include <algorithm>
#include <cmath>

#include "autograd/complex.h"
#include "autograd/gradcheck.h"
#include "autograd/linalg.h"
#include "autograd/ops.h"
#include "tests/support/svd.h"

using namespace sigma;
using namespace sigma::test;
using C = std::complex<double>;

namespace {

using Fn = std::function<Variable(const Variable&)>;
constexpr DType kDouble[] = {DType::float64, DType::complex128};
constexpr SvdDriver kDrivers[] = {SvdDriver::gesdd, SvdDriver::jacobi, SvdDriver::automatic};

// Distinct singular values, none near zero.
Tensor distinct(int64_t m, int64_t n, uint64_t seed, DType dtype) {
  std::vector<double> d = {3.1, 1.9, 0.8, 0.45};
  d.resize(static_cast<size_t>(std::min(m, n)));
  return with_values(d, m, n, seed, dtype);
}
Tensor batch_of(int64_t m, int64_t n, uint64_t seed, DType dtype) {
  std::vector<Tensor> parts;
  for (uint64_t i = 0; i < 3; ++i) parts.push_back(distinct(m, n, seed + i, dtype).reshape({1, m, n}));
  return cat(parts, 0);
}
Tensor eye(int64_t m, int64_t n, DType dtype = DType::float64) {
  return narrow(diagonal(std::vector<double>(static_cast<size_t>(std::min(m, n)), 1), m, n), dtype);
}
Variable with_phase(const Variable& s, DType dtype) {
  return is_complex(dtype) ? complex(s, Variable(Tensor::zeros_like(s.value()))) : s;
}
// U diag(s) Vh over the first r values.
Variable truncated(const SvdVariables& d, int64_t r) {
  Variable u = slice(d.u, -1, 0, r), s = with_phase(slice(d.s, -1, 0, r), d.u.dtype());
  Shape row = s.shape();
  row.push_back(row[-1]);
  row[row.rank() - 2] = 1;
  return matmul(mul(u, reshape(s, row)), slice(d.vh, -2, 0, r));
}
Tensor gradient(const Tensor& a, const Fn& loss) {
  Variable x(a.clone(), true);
  Variable y = loss(x);
  return grad({y}, {x}, {}, {.allow_unused = true})[0].value();
}
void expect_gradient(const Fn& fn, const Tensor& a, bool twice = false) {
  auto checked = [&](const Variables& v) { return fn(v[0]); };
  GradcheckResult r = twice ? gradgradcheck(checked, {Variable(a, true)}, {.atol = 1e-6, .rtol = 1e-5})
                            : gradcheck(checked, {Variable(a, true)});
  INFO(name_of(a.dtype()) << " " << a.shape().str() << " " << r.message);
  CHECK(r.passed);
  CHECK(r.checked >= a.numel());
  CHECK(r.largest_gradient > 1e-3);
}
double off(const Tensor& a, const Tensor& b) {
  double worst = 0;
  for (double x : abs(sub(a, b)).to_vector())
    if (!(x <= worst)) worst = x;
  return worst;
}
bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("svd case 27: gradients of the values, of the vectors' sizes and of their products", "[svd]") {
  for (DType dtype : kDouble)
    for (auto [m, n] : {std::pair<int64_t, int64_t>{3, 3}, {3, 5}, {5, 3}})
      for (bool full : {false, true})
        for (const Tensor& a : {distinct(m, n, 1, dtype), batch_of(m, n, 2, dtype)}) {
          const SvdOptions o{.full_matrices = full};
          const int64_t k = std::min(m, n);
          auto u = [&, o](const Variable& x) { return slice(svd(x, o).u, -1, 0, k); };
          auto vh = [&, o](const Variable& x) { return slice(svd(x, o).vh, -2, 0, k); };
          expect_gradient([&](const Variable& x) { return svd(x, o).s; }, a);
          expect_gradient([&](const Variable& x) { return abs(u(x)); }, a);
          expect_gradient([&](const Variable& x) { return abs(vh(x)); }, a);
          expect_gradient(
              [&](const Variable& x) {
                SvdVariables d = svd(x, o);
                Variable size = abs(slice(d.vh, -2, 0, k)), s = d.s;
                return cat({reshape(s, {s.numel()}), reshape(size, {size.numel()})}, 0);
              },
              a);
          expect_gradient(
              [&](const Variable& x) {
                SvdVariables d = svd(x, o);
                Variable p = matmul(slice(d.u, -1, 0, k), slice(d.vh, -2, 0, k)), s = with_phase(d.s, dtype);
                return cat({reshape(s, {s.numel()}), reshape(p, {p.numel()})}, 0);
              },
              a);
          expect_gradient([&](const Variable& x) { return truncated(svd(x, o), 2); }, a);
        }
}

TEST_CASE("gradients of singular values, the nuclear norm and the pseudo-inverse", "[svd]") {
  for (DType dtype : kDouble)
    for (auto [m, n] : {std::pair<int64_t, int64_t>{3, 3}, {2, 4}, {5, 3}}) {
      Tensor a = distinct(m, n, 5, dtype);
      for (SvdDriver driver : kDrivers)
        expect_gradient([&](const Variable& x) { return svdvals(x, driver); }, a);
      expect_gradient([](const Variable& x) { return nuclear_norm(x); }, batch_of(m, n, 6, dtype));
      expect_gradient([](const Variable& x) { return pinv(x); }, a);
      expect_gradient([](const Variable& x) { return pinv(x); }, batch_of(m, n, 7, dtype));
    }
}

TEST_CASE("svd case 28: the gradient of the nuclear norm is U Vh", "[svd]") {
  Tensor a = Tensor::from<double>({3, 0, 4, 5}, {2, 2}), g = gradient(a, nuclear_norm);
  Tensor want = Tensor::from<double>({2, -1, 1, 2}, {2, 2});
  CHECK(off(g, scale(want, std::sqrt(0.2))) <= 1e-15);
  CHECK(g.at({0, 0}) == Approx(.8944272).epsilon(1e-6));
  for (DType dtype : kDouble) {
    Tensor b = distinct(5, 3, 28, dtype);
    Svd d = svd(b, {.full_matrices = false});
    CHECK(off(gradient(b, nuclear_norm), matmul(d.u, d.vh)) <= 1e-14);
  }
}

TEST_CASE("svd case 29: repeated values have gradients where the loss has one", "[svd]") {
  for (DType dtype : {DType::float32, DType::float64, DType::complex64, DType::complex128})
    for (SvdDriver driver : kDrivers) {
      Tensor one = eye(3, 3, dtype);
      const double near = 20 * ulp_of(dtype);
      CHECK(off(gradient(one, [&](const Variable& x) { return sum(svdvals(x, driver)); }), one) <= near);
      // All of A is put together again: the gradient of sum |A|^2 is 2 A, whatever the vectors are.
      for (const Tensor& a : {one, with_values({2, 2, 1}, 5, 4, 29, dtype)}) {
        const int64_t r = 3;
        Tensor g = gradient(a, [&](const Variable& x) {
          Variable y = truncated(svd(x, {.full_matrices = false, .driver = driver}), r);
          return sum(mul(abs(y), abs(y)));
        });
        CHECK(off(g, scale(a, 2)) <= 100 * near);
      }
    }
}

TEST_CASE("svd case 29: a loss of the vectors of equal values is refused with its reason", "[svd]") {
  for (DType dtype : {DType::float32, DType::float64})
    for (double factor : {1.0, 1e-6, 1e-30, 1e30}) {  // neither the loss's scale nor the matrix's matters
      auto loss = [&](const Variable& x) {
        return sum(scale(slice(slice(svd(x).u, 0, 0, 1), 1, 1, 1), factor));
      };
      INFO(factor);
      std::string e = error_of([&] { gradient(eye(3, 3, dtype), loss); });
      CHECK(contains(e, "svd_backward"));
      CHECK(contains(e, "are equal, and the loss depends on the choice of their singular vectors"));
    }
  // Rectangular, with a zero value: the vectors outside count.
  for (double factor : {1.0, 1e-6, 1e-14}) {
    Tensor a = Tensor::from<double>({2, 0, 0, 0, 0, 0}, {3, 2});
    INFO(factor);
    CHECK(contains(error_of([&] {
                     gradient(a, [&](const Variable& x) {
                       Variable u = svd(x, {.full_matrices = false}).u;
                       return scale(sum(mul(u, Variable(randn({3, 2}, 3)))), factor);
                     });
                   }),
                   "svd_backward"));
  }
}

TEST_CASE("svd case 30: a complex loss that depends on the phases is refused", "[svd]") {
  const std::string reason =
      "The singular vectors in the complex case are specified up to multiplication by e^{i phi}. The "
      "specified loss function depends on this phase term, making it ill-defined.";
  for (double factor : {1.0, 1e-4, 1e-12}) {
    Tensor a = distinct(4, 3, 30, DType::complex128);
    INFO(factor);
    for (bool left : {true, false})
      CHECK(contains(error_of([&] {
                       gradient(a, [&](const Variable& x) {
                         SvdVariables d = svd(x, {.full_matrices = false});
                         Variable w(random_matrix({left ? 4 : 3, 3}, 1, DType::complex128));
                         return scale(sum(real(mul(left ? d.u : d.vh, w))), factor);
                       });
                     }),
                     reason));
  }
  // A loss of sizes passes, and columns of U beyond the third have no gradient.
  Tensor a = distinct(5, 3, 31, DType::complex128);
  Tensor g = gradient(a, [](const Variable& x) { return sum(abs(slice(svd(x).u, -1, 3, 2))); });
  CHECK(off(g, Tensor::zeros_like(a)) == 0);
  Tensor real_matrix = distinct(3, 5, 31, DType::float64);
  g = gradient(real_matrix, [](const Variable& x) { return sum(slice(svd(x).vh, -2, 3, 2)); });
  CHECK(off(g, Tensor::zeros_like(real_matrix)) == 0);
}

TEST_CASE("a loss that the phases do not change is not refused for its rounding errors", "[svd]") {
  for (DType dtype : {DType::complex64, DType::complex128}) {
    Tensor a = random_matrix({20, 8}, 32, dtype), w = random_matrix({20, 20}, 33, dtype);
    Tensor g = gradient(a, [&](const Variable& x) {
      Variable u = svd(x, {.full_matrices = false}).u;
      return sum(real(mul(Variable(w), matmul(u, conj(transpose(u, -1, -2))))));  // of the projector
    });
    for (double v : abs(g).to_vector()) CHECK(std::isfinite(v));
  }
}

// Squares of values near 1e-30 are nil in float32, those of 1e-200 in float64.
TEST_CASE("gradients of vectors do not lose tiny or huge matrices", "[svd]") {
  for (DType dtype : kLinalgTypes)
    for (double factor : {1e-30, 1e30, 1e-200, 1e200}) {
      const bool single = real_dtype(dtype) == DType::float32;
      if (single && std::fabs(std::log10(factor)) > 30) continue;
      Tensor a = distinct(4, 3, 34, dtype);
      Fn product = [&](const Variable& x) {
        SvdVariables d = svd(x, {.full_matrices = false});
        return sum(real(mul(Variable(random_matrix({4, 3}, 35, dtype)), matmul(d.u, d.vh))));
      };
      INFO(name_of(dtype) << " " << factor);
      Tensor got = scale(gradient(scale(a, factor), product), factor), want = gradient(a, product);
      CHECK(off(got, want) <= 500 * ulp_of(dtype));
    }
}

TEST_CASE("svd case 31: second derivatives", "[svd]") {
  for (DType dtype : kDouble)
    for (auto [m, n] : {std::pair<int64_t, int64_t>{3, 3}, {2, 4}, {4, 2}}) {
      Tensor a = distinct(m, n, 31, dtype);
      const SvdOptions o{.full_matrices = false};
      expect_gradient([&](const Variable& x) { return svd(x, o).s; }, a, true);
      expect_gradient([&](const Variable& x) { return mul(svdvals(x), svdvals(x)); }, a, true);
      expect_gradient(
          [&](const Variable& x) {
            SvdVariables d = svd(x, o);
            return matmul(d.u, d.vh);
          },
          a, true);
      expect_gradient([&](const Variable& x) { return abs(svd(x, o).u); }, a, true);
      expect_gradient([&](const Variable& x) { return truncated(svd(x, o), 1); }, a, true);
      expect_gradient([](const Variable& x) { return pinv(x); }, a, true);
    }
}

TEST_CASE("gradients of empty matrices are empty, and of a zero matrix finite", "[svd]") {
  for (const Shape& shape : {Shape{0, 3}, Shape{3, 0}, Shape{0, 2, 3}}) {
    Tensor a = Tensor::zeros(shape, DType::float64);
    CHECK(gradient(a, [](const Variable& x) { return sum(svdvals(x)); }).shape() == shape);
  }
  Tensor zero = Tensor::zeros({3, 2}, DType::float64);
  for (double v : gradient(zero, [](const Variable& x) { return sum(svdvals(x)); }).to_vector())
    CHECK(std::isfinite(v));
}

TEST_CASE("complex functions have the gradients of their real and imaginary parts", "[svd]") {
  Tensor z = random_matrix({3, 4}, 41, DType::complex128);
  for (const Fn& fn : std::vector<Fn>{
           [](const Variable& x) { return conj(x); },
           [](const Variable& x) { return real(x); },
           [](const Variable& x) { return imag(x); },
           [](const Variable& x) { return abs(x); },
           [](const Variable& x) { return mul(x, x); },
           [](const Variable& x) { return div(conj(x), add_scalar(mul(x, x), 3)); },
           [](const Variable& x) { return matmul(x, conj(transpose(x, 0, 1))); },
           [](const Variable& x) { return complex(imag(x), mul(real(x), abs(x))); },
           [](const Variable& x) { return sum(scale(neg(sub(x, conj(x))), 2.5), {1}); },
           [](const Variable& x) {
             return cat({slice(x, 1, 1, 2), permute(x, {0, 1})}, 1);
           },
       }) {
    expect_gradient(fn, z);
    expect_gradient([&](const Variable& x) { return mul(fn(x), fn(x)); }, z, true);
  }
  // dL/dx + i dL/dy: |z|^2 has the gradient 2 z, and |z| at 0 the gradient 0.
  CHECK(off(gradient(z, [](const Variable& x) { return sum(real(mul(x, conj(x)))); }), scale(z, 2)) <= 1e-15);
  Tensor zero = Tensor::zeros({2}, DType::complex128);
  CHECK(identical(gradient(zero, [](const Variable& x) { return sum(abs(x)); }), zero));
}
