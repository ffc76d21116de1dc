// `sigma bench infer`: forward passes of a network as it is served, batch norm folded.
#include <cmath>

#include "apps/verbs/bench.h"
#include "autograd/precision.h"
#include "core/math.h"
#include "layers/passes/fold.h"

namespace sigma::app {
namespace {

class BenchInfer : public BenchVerb {
 public:
  BenchInfer() : BenchVerb("infer", "forward passes, batch norm folded", kModel | kBatch) {}

 private:
  int measure(const Options& o) override {
    const BenchModel m = bench_model(o);
    Autocast scope(parse_precision(o.precision));
    NoGrad off;
    m.model->eval();
    Tensor plain = (*m.model)(m.images).value().to(DType::float32);
    fold_batch_norms(*m.model);
    Tensor folded = (*m.model)(m.images).value().to(DType::float32);
    // Folding rounds the weights anew; in bfloat16 every layer's output, to 2^-9.
    const double tolerance = o.precision == "bf16" ? 0.1 : 1e-3;
    refuse_wrong_result(
        max_abs_difference(plain, folded) <= tolerance * (1 + norm2(plain)) && std::isfinite(norm2(folded)),
        "bench");
    const double pass = median_time(seconds_, [&] { (*m.model)(m.images); });
    report_speed(o, "infer", pass, m.flops);
    return 0;
  }
};

const RegisterVerb<BenchInfer> register_bench_infer(91);

}  // namespace
}  // namespace sigma::app
