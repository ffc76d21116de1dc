// `sigma bench svd`: thin singular value decompositions in float64 of normal random matrices, alone and in
// batches, after the result has been checked.
#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "apps/run/output.h"
#include "apps/verbs/bench.h"
#include "core/kernels/gemm.h"
#include "core/kernels/simd.h"
#include "core/linalg.h"
#include "core/math.h"
#include "core/parallel.h"
#include "core/rng.h"

namespace sigma::app {
namespace {

constexpr double kAllowed = 35, kEpsilon = std::numeric_limits<double>::epsilon();

// Three ratios of LAPACK's tests of a decomposition (ddrvbd), which pass up to 35; of a batch the worst, in
// the 1-norm: |A - U S Vh| in units of |A| max(m, n) epsilon, |I - U^T U| of m epsilon, |I - Vh Vh^T| of n
// epsilon.
struct Errors {
  double residual = 0, u = 0, vh = 0;
  double worst() const { return std::max({residual, u, vh}); }
};

Tensor one_norms(const Tensor& a) { return matrix_norm(a, MatrixNorm::one); }  // throws unless finite

// |I - A B| of k x k products, in units of n epsilon.
double orthogonality(const Tensor& a, const Tensor& b, int64_t n) {
  Tensor product = matmul(a, b);
  const int64_t k = product.dim(-1);
  Tensor one = Tensor::zeros({k, k}, DType::float64);
  for (int64_t i = 0; i < k; ++i) one.mutable_data<double>()[i * (k + 1)] = 1;
  return amax(one_norms(sub(product, one))).item() / (static_cast<double>(n) * kEpsilon);
}

Errors errors_of(const Tensor& a, const Svd& d) {
  const int64_t m = a.dim(1), n = a.dim(2);
  Tensor product = matmul(mul(d.u, d.s.reshape({d.s.dim(0), 1, d.s.dim(1)})), d.vh);
  Tensor ratios = div(one_norms(sub(a, product)), one_norms(a));
  return {amax(ratios).item() / (static_cast<double>(std::max(m, n)) * kEpsilon),
          orthogonality(transpose(d.u, 1, 2), d.u, m), orthogonality(d.vh, transpose(d.vh, 1, 2), n)};
}

class BenchSvd : public BenchVerb {
 public:
  BenchSvd() : BenchVerb("svd", "singular value decompositions") {}

 private:
  int measure(const Options& o) override {
    struct Case {
      int64_t batch, m, n;
    };
    if (!o.json) print(machine_text() + "; thin decompositions in float64");
    Json rows = Json::array();
    for (const Case& c : {Case{1, 512, 512}, {1000, 16, 16}, {100, 64, 64}}) {
      Tensor a = Tensor::empty({c.batch, c.m, c.n}, DType::float64);
      Rng rng(0, "bench svd");
      for (int64_t i = 0; i < a.numel(); ++i) a.mutable_data<double>()[i] = rng.next_normal();
      const Errors off = errors_of(a, svd(a, {.full_matrices = false}));
      refuse_wrong_result(off.worst() < kAllowed, "svd");
      double t = median_time(seconds_ / 3, [&] { svd(a, {.full_matrices = false}); });
      rows.push_back({{"batch", c.batch},
                      {"m", c.m},
                      {"n", c.n},
                      {"ms", t * 1e3},
                      {"residual", off.residual},
                      {"u_orthogonality", off.u},
                      {"vh_orthogonality", off.vh}});
      if (!o.json)
        print(
            fmt::format("{:>5} x {:>3}x{:<3} {:>9.2f} ms; residual {:.3f}, U {:.3f} and Vh {:.3f} from "
                        "orthogonal, of {:g} allowed",
                        c.batch, c.m, c.n, t * 1e3, off.residual, off.u, off.vh, kAllowed));
    }
    if (o.json)
      print_json({{"threads", num_threads()},
                  {"simd", kernels::simd_name()},
                  {"blas_core", kernels::blas_core()},
                  {"svd", rows}});
    return 0;
  }
};

const RegisterVerb<BenchSvd> register_bench_svd(93);

}  // namespace
}  // namespace sigma::app
