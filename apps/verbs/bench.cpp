// `sigma bench train|infer|kernels|svd`: speed, measured after the result has been checked.
#include <sys/resource.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "apps/run/run_folder.h"
#include "apps/training/trainer.h"
#include "apps/verbs/bench.h"
#include "apps/verbs/verbs.h"
#include "autograd/precision.h"
#include "core/kernels/gemm.h"
#include "core/kernels/simd.h"
#include "core/math.h"
#include "core/parallel.h"
#include "layers/cross_entropy.h"
#include "layers/passes/fold.h"
#include "layers/passes/trace.h"
#include "optim/sgd.h"

namespace sigma::app {
namespace {

void warn() {
#ifndef NDEBUG
  std::fputs("warning: this is a debug build; its speed means nothing\n", stderr);
#endif
  if (const char* forced = std::getenv("OPENBLAS_CORETYPE"))
    std::fputs(fmt::format("warning: OPENBLAS_CORETYPE={} pins OpenBLAS below what this CPU can do\n", forced)
                   .c_str(),
               stderr);
}

Tensor random_images(const ModelInput& input, int64_t n) {
  Tensor x = Tensor::empty(input.shape(n), DType::float32, Layout::channels_last);
  Rng rng(0, "bench");
  float* p = x.mutable_data<float>();
  for (int64_t i = 0; i < x.numel(); ++i) p[i] = static_cast<float>(rng.next_normal());
  return x;
}

int bench_model(const Options& o, bool training, double seconds) {
  ModelInput input = default_input(o.model);
  ModulePtr model = make_model(o.model, input, parse_switch("--batch-norm", o.batch_norm), o.seed);
  double flops = 2.0 * static_cast<double>(total_macs(trace(*model, input.shape(1)))) *
                 static_cast<double>(o.batch_size) * (training ? 3 : 1);
  Variable x(random_images(input, o.batch_size));
  Tensor y = Tensor::empty({o.batch_size}, DType::int64);
  Rng rng(0, "bench labels");
  for (int64_t i = 0; i < y.numel(); ++i)
    y.mutable_data<int64_t>()[i] = static_cast<int64_t>(rng.next_below(10));
  SGD sgd(model->parameters(), {.lr = 0.01, .momentum = 0.9, .weight_decay = 5e-4});
  Autocast scope(parse_precision(o.precision));
  double checked = 0;
  double step;
  if (training) {
    model->train();
    step = median_time(seconds, [&] {
      Variable loss = cross_entropy((*model)(x), y);
      checked = loss.item();
      loss.backward();
      sgd.step();
      sgd.zero_grad();
    });
  } else {
    model->eval();
    NoGrad off;
    Tensor plain = (*model)(x).value().to(DType::float32);
    fold_batch_norms(*model);
    Tensor folded = (*model)(x).value().to(DType::float32);
    // Folding rounds the weights anew; in bfloat16 every layer's output, to 2^-9.
    double tolerance = o.precision == "bf16" ? 0.1 : 1e-3;
    checked =
        max_abs_difference(plain, folded) <= tolerance * (1 + norm2(plain)) ? norm2(folded) : std::nan("");
    step = median_time(seconds, [&] { (*model)(x); });
  }
  if (!std::isfinite(checked))
    fail(ErrorKind::internal, "bench", "the result is wrong, so its speed is not reported");
  struct rusage usage {};
  getrusage(RUSAGE_SELF, &usage);
  auto round = [](double v, double unit) { return std::round(v / unit) * unit; };
  Json j{{"images_per_s", round(static_cast<double>(o.batch_size) / step, .1)},
         {"ms_per_step", round(step * 1e3, .001)},
         {"gflops", round(flops / step / 1e9, .1)},
         {"peak_rss_mb", usage.ru_maxrss / 1024},
         {"threads", num_threads()},
         {"precision", o.precision},
         {"simd", kernels::simd_name()},
         {"blas_core", kernels::blas_core()},
         {"model", o.model},
         {"batch_size", o.batch_size},
         {"batch_norm", o.batch_norm == "on"}};
  if (o.json)
    std::puts(j.dump().c_str());
  else
    std::puts(fmt::format("{} {} batch {}: {:.0f} images/s, {:.3f} ms a step, {:.1f} GFLOP/s, peak {} MB, {} "
                          "threads, {}, BLAS {}",
                          training ? "train" : "infer", o.model, o.batch_size,
                          static_cast<double>(o.batch_size) / step, step * 1e3, flops / step / 1e9,
                          usage.ru_maxrss / 1024, num_threads(), kernels::simd_name(), kernels::blas_core())
                  .c_str());
  return 0;
}

}  // namespace

int run_bench(const Options& o, const std::string& what, double seconds) {
  check(o);
  if (!(seconds > 0 && seconds <= 3600))
    fail(ErrorKind::usage, "--seconds", "expected more than 0 and at most 3600, got {}", seconds);
  apply_threads(o);
  warn();
  if (!kernels::blas_self_test())
    fail(ErrorKind::internal, "OpenBLAS", "matrix products are wrong on this machine");
  if (what == "svd") return bench_svd(o, seconds);
  return what == "kernels" ? bench_kernels(o, seconds) : bench_model(o, what == "train", seconds);
}

}  // namespace sigma::app
