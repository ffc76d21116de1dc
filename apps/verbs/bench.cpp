#include "apps/verbs/bench.h"

#include <sys/resource.h>

#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "apps/run/output.h"
#include "apps/training/network.h"
#include "apps/verbs/load_data.h"
#include "core/kernels/gemm.h"
#include "core/kernels/simd.h"
#include "core/parallel.h"
#include "core/rng.h"
#include "layers/passes/trace.h"
#include "optim/sgd.h"

namespace sigma::app {
namespace {

Tensor random_images(const ModelInput& input, int64_t n) {
  Tensor x = Tensor::empty(input.shape(n), DType::float32, Layout::channels_last);
  Rng rng(0, "bench");
  float* p = x.mutable_data<float>();
  for (int64_t i = 0; i < x.numel(); ++i) p[i] = static_cast<float>(rng.next_normal());
  return x;
}

}  // namespace

BenchVerb::BenchVerb(std::string part, std::string about, unsigned groups)
    : Verb("bench " + std::move(part), std::move(about), groups | kThreads) {
  flag("--seconds", seconds_, "how long to measure", kPlain,
       {between_open(0, 3600, "more than 0 and at most 3600")});
  if ((groups & kModel) == 0) return;
  use("--data", "take the input size of this data set");
  use("--data-dir");
}

int BenchVerb::run(const Options& o) {
  apply_threads(o);
#ifndef NDEBUG
  warn("this is a debug build; its speed means nothing");
#endif
  if (const char* forced = std::getenv("OPENBLAS_CORETYPE"))
    warn(fmt::format("OPENBLAS_CORETYPE={} pins OpenBLAS below what this CPU can do", forced));
  if (!kernels::blas_self_test())
    fail(ErrorKind::internal, "OpenBLAS", "matrix products are wrong on this machine");
  return measure(o);
}

std::string machine_text() {
  return fmt::format("{} threads, {}, BLAS {}", num_threads(), kernels::simd_name(), kernels::blas_core());
}

BenchModel bench_model(const Options& o) {
  const ModelInput input = input_for(o);
  ModulePtr model =
      make_model(o.model, input, norm_of(parse_switch("--batch-norm", o.batch_norm), o.norm), o.seed);
  const double flops = 2.0 * static_cast<double>(total_macs(trace(*model, input.shape(1)))) *
                       static_cast<double>(o.batch_size);
  return {model, Variable(random_images(input, o.batch_size)), flops};
}

void report_speed(const Options& o, const char* what, double seconds, double flops) {
  struct rusage usage {};
  getrusage(RUSAGE_SELF, &usage);
  const double images = static_cast<double>(o.batch_size) / seconds, gflops = flops / seconds / 1e9;
  if (!o.json) {
    print(fmt::format("{} {} batch {}: {:.0f} images/s, {:.3f} ms a step, {:.1f} GFLOP/s, peak {} MB, {}",
                      what, model_label(o.model), o.batch_size, images, seconds * 1e3, gflops,
                      usage.ru_maxrss / 1024, machine_text()));
    return;
  }
  auto round = [](double v, double unit) { return std::round(v / unit) * unit; };
  print_json({{"images_per_s", round(images, .1)},
              {"ms_per_step", round(seconds * 1e3, .001)},
              {"gflops", round(gflops, .1)},
              {"peak_rss_mb", usage.ru_maxrss / 1024},
              {"threads", num_threads()},
              {"precision", o.precision},
              {"simd", kernels::simd_name()},
              {"blas_core", kernels::blas_core()},
              {"model", o.model},
              {"batch_size", o.batch_size},
              {"batch_norm", o.batch_norm == "on" && o.norm == "batch"}});
}

void refuse_wrong_result(bool right, const std::string& what) {
  if (!right) fail(ErrorKind::internal, what, "the result is wrong, so its speed is not reported");
}

}  // namespace sigma::app
