// `sigma bench svd`: thin singular value decompositions in float64 of normal random matrices, alone and in
// batches, after the result has been checked.
#include <cstdio>
#include <limits>

#include "apps/bench.h"
#include "core/kernels/gemm.h"
#include "core/linalg.h"
#include "core/math.h"
#include "core/parallel.h"
#include "core/rng.h"

namespace sigma::app {
namespace {

// |A - U S Vh| in the Frobenius norm, in units of |A| max(m, n) epsilon: LAPACK's tests allow 35 of them.
double residual(const Tensor& a, const Svd& d) {
  Shape row = d.s.shape();
  row = {row[0], 1, row[1]};
  Tensor product = matmul(mul(d.u, d.s.reshape(row)), d.vh);
  double n = static_cast<double>(std::max(a.dim(1), a.dim(2)));
  return norm2(sub(a, product)) / (norm2(a) * n * std::numeric_limits<double>::epsilon());
}

}  // namespace

int bench_svd(const Options& o, double seconds) {
  struct Case {
    int64_t batch, m, n;
  };
  Json rows = Json::array();
  for (const Case& c : {Case{1, 512, 512}, {1000, 16, 16}, {100, 64, 64}}) {
    Tensor a = Tensor::empty({c.batch, c.m, c.n}, DType::float64);
    Rng rng(0, "bench svd");
    for (int64_t i = 0; i < a.numel(); ++i) a.mutable_data<double>()[i] = rng.next_normal();
    double off = residual(a, svd(a, {.full_matrices = false}));
    if (!(off < 35)) fail(ErrorKind::internal, "svd", "the result is wrong, so its speed is not reported");
    double t = median_time(seconds / 3, [&] { svd(a, {.full_matrices = false}); });
    rows.push_back({{"batch", c.batch}, {"m", c.m}, {"n", c.n}, {"ms", t * 1e3}, {"residual", off}});
    if (!o.json)
      std::puts(fmt::format("{:>5} x {:>3}x{:<3} {:>9.2f} ms, residual {:.3f} of 35 allowed", c.batch, c.m,
                            c.n, t * 1e3, off)
                    .c_str());
  }
  if (o.json)
    std::puts(
        Json{{"threads", num_threads()}, {"blas_core", kernels::blas_core()}, {"svd", rows}}.dump().c_str());
  return 0;
}

}  // namespace sigma::app
