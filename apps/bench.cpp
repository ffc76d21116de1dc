// `sigma bench train|infer|kernels`: speed, measured after the result has been checked.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "apps/run_folder.h"
#include "apps/trainer.h"
#include "apps/verbs.h"
#include "autograd/precision.h"
#include "core/kernels/conv.h"
#include "core/kernels/gemm.h"
#include "core/kernels/norm.h"
#include "core/kernels/reference.h"
#include "core/kernels/simd.h"
#include "core/math.h"
#include "core/parallel.h"
#include "layers/cross_entropy.h"
#include "layers/fold.h"

namespace sigma::app {
namespace {

using Clock = std::chrono::steady_clock;

// Median seconds of `fn`, after warm-up, over at least five runs and `seconds`.
template <class Fn>
double median_time(double seconds, Fn fn) {
  for (int i = 0; i < 3; ++i) fn();
  std::vector<double> times;
  auto start = Clock::now();
  while (times.size() < 5 || std::chrono::duration<double>(Clock::now() - start).count() < seconds) {
    auto t = Clock::now();
    fn();
    times.push_back(std::chrono::duration<double>(Clock::now() - t).count());
  }
  std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2), times.end());
  return times[times.size() / 2];
}

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

int64_t macs_of(Module& model, const ModelInput& input) {
  int64_t macs = 0;
  std::vector<std::pair<Module*, size_t>> hooks;
  model.visit([&](const std::string&, Module& m) {
    if (m.kind().rfind("BatchNorm", 0) == 0) return;
    hooks.emplace_back(&m,
                       m.register_forward_hook([&](const Module& l, const Variable& in, const Variable& out) {
                         macs += l.macs(in.shape(), out.shape());
                       }));
  });
  NoGrad off;
  model.eval();
  model(Variable(random_images(input, 1)));
  for (auto& [m, id] : hooks) m->remove_forward_hook(id);
  return macs;
}

int bench_model(const Options& o, bool training, double seconds) {
  ModelInput input = default_input(o.model);
  ModulePtr model = make_model(o.model, input, parse_switch("--batch-norm", o.batch_norm), o.seed);
  double flops = 2.0 * static_cast<double>(macs_of(*model, input)) * static_cast<double>(o.batch_size) *
                 (training ? 3 : 1);
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

// A convolution or product that the demo networks use, checked against its plain twin on one image.
struct KernelCase {
  const char* where;
  int64_t size, c_in, c_out, kernel, stride;
};

int bench_kernels(const Options& o, double seconds) {
  const KernelCase cases[] = {{"cnn conv1", 28, 1, 32, 3, 1},       {"cnn conv2", 14, 32, 64, 3, 1},
                              {"lenet5 conv2", 14, 6, 16, 5, 1},    {"vgg conv1", 32, 3, 64, 3, 1},
                              {"vgg conv2", 32, 64, 64, 3, 1},      {"vgg conv4", 16, 128, 128, 3, 1},
                              {"vgg conv6", 8, 256, 256, 3, 1},     {"resnet stage 1", 32, 16, 16, 3, 1},
                              {"resnet stage 2", 16, 32, 32, 3, 1}, {"resnet stage 3", 8, 64, 64, 3, 1},
                              {"resnet shortcut", 32, 16, 32, 1, 2}};
  Json rows = Json::array();
  auto report = [&](const std::string& name, double flop, double bytes, double t) {
    rows.push_back(
        {{"kernel", name}, {"ms", t * 1e3}, {"gflops", flop / t / 1e9}, {"gbytes_per_s", bytes / t / 1e9}});
    if (!o.json)
      std::puts(fmt::format("{:<34} {:>9.3f} ms {:>8.1f} GFLOP/s {:>7.1f} GB/s", name, t * 1e3,
                            flop / t / 1e9, bytes / t / 1e9)
                    .c_str());
  };
  double each = seconds / 40;
  int64_t n = o.batch_size;
  Rng rng(0, "bench kernels");
  auto fill = [&](int64_t count) {
    std::vector<float> v(static_cast<size_t>(count));
    for (float& x : v)
      x = static_cast<float>(static_cast<int>(rng.next_below(7)) -
                             3);  // integers: any order of summation is exact
    return v;
  };
  for (const KernelCase& k : cases) {
    int64_t pad = k.kernel / 2, out = (k.size + 2 * pad - k.kernel) / k.stride + 1;
    if (std::string(k.where) == "lenet5 conv2") pad = 0, out = 10;
    kernels::ConvSize s{n,        k.size,   k.size,   k.c_in, out, out, k.c_out, k.kernel,
                        k.kernel, k.stride, k.stride, pad,    pad, 1,   1,       1};
    auto x = fill(n * k.size * k.size * k.c_in), w = fill(k.c_out * s.taps()),
         y = fill(n * out * out * k.c_out);
    std::vector<float> dx(x.size()), dw(w.size()), expected(static_cast<size_t>(out * out * k.c_out));
    std::vector<float> g = y;
    kernels::conv_forward(s, x.data(), w.data(), static_cast<const float*>(nullptr), y.data());
    kernels::ConvSize one = s;
    one.n = 1;
    kernels::reference::conv_forward(one, x.data(), w.data(), static_cast<const float*>(nullptr),
                                     expected.data());
    if (!std::equal(expected.begin(), expected.end(), y.begin()))
      fail(ErrorKind::internal, k.where, "the kernel's result is wrong, so its speed is not reported");
    double flop = 2.0 * static_cast<double>(n * out * out * k.c_out * s.taps()),
           bytes = 4.0 * static_cast<double>(x.size() + y.size() + w.size());
    report(std::string(k.where) + " forward", flop, bytes, median_time(each, [&] {
             kernels::conv_forward(s, x.data(), w.data(), static_cast<const float*>(nullptr), y.data());
           }));
    report(std::string(k.where) + " backward data", flop, bytes,
           median_time(each, [&] { kernels::conv_backward_data(s, g.data(), w.data(), dx.data()); }));
    report(std::string(k.where) + " backward weight", flop, bytes, median_time(each, [&] {
             kernels::conv_backward_weight(s, g.data(), x.data(), dw.data(), static_cast<float*>(nullptr));
           }));
  }
  for (int64_t size : {512, 1024}) {
    auto a = fill(size * size), b = fill(size * size);
    std::vector<float> c(a.size());
    report(fmt::format("product {0}x{0}x{0}", size), 2.0 * std::pow(static_cast<double>(size), 3),
           12.0 * static_cast<double>(size * size), median_time(each, [&] {
             kernels::parallel_gemm(kernels::Trans::no, kernels::Trans::yes, size, size, size, 1.f, a.data(),
                                    size, b.data(), size, 0.f, c.data(), size);
           }));
  }
  for (auto [rows_count, channels] :
       {std::pair<int64_t, int64_t>{n * 784, 32}, {n * 1024, 16}, {n * 1024, 64}, {n, 512}}) {
    auto x = fill(rows_count * channels);
    std::vector<double> mean(static_cast<size_t>(channels)), var(mean);
    report(fmt::format("batch-norm statistics {}x{}", rows_count, channels),
           3.0 * static_cast<double>(x.size()), 4.0 * static_cast<double>(x.size()), median_time(each, [&] {
             kernels::norm_statistics(x.data(), rows_count, channels, mean.data(), var.data());
           }));
  }
  if (o.json)
    std::puts(Json{{"threads", num_threads()},
                   {"simd", kernels::simd_name()},
                   {"blas_core", kernels::blas_core()},
                   {"kernels", rows}}
                  .dump()
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
  return what == "kernels" ? bench_kernels(o, seconds) : bench_model(o, what == "train", seconds);
}

}  // namespace sigma::app
