// `sigma bench kernels`: every kernel and shape that the demo networks use, beside what the machine can do at
// most. A result is checked against the plain twin before it is timed. Operations are counted as the direct
// sum's, so a kernel that needs fewer multiplications may exceed the peak; bytes are those of the operands,
// each counted once.
#include <nlohmann/json.hpp>
#include <set>

#include "apps/run/output.h"
#include "apps/verbs/bench.h"
#include "autograd/precision.h"
#include "core/kernels/conv.h"
#include "core/kernels/elementwise.h"
#include "core/kernels/gemm.h"
#include "core/kernels/norm.h"
#include "core/kernels/peak.h"
#include "core/kernels/pool.h"
#include "core/kernels/reference.h"
#include "core/kernels/simd.h"
#include "core/parallel.h"
#include "layers/layers.h"
#include "layers/networks/models.h"

namespace sigma::app {
namespace {

struct Peak {
  double gflops, gbytes_per_s;
};

// Multiply-adds in registers, and a read-modify-write pass over 128 MiB, on all threads at once.
Peak measure_peak() {
  constexpr int64_t kRounds = 400000;
  int64_t threads = num_threads();
  std::vector<float> keep(static_cast<size_t>(threads * 16), 1e-3f);
  std::vector<int64_t> flop(keep.size());
  double t = median_time(0.3, [&] {
    parallel_for(threads, [&](int64_t i) {
      auto at = static_cast<size_t>(i * 16);
      flop[at] = kernels::multiply_add_rounds(kRounds, &keep[at]);
    });
  });
  Tensor data = Tensor::ones({32 << 20});
  double u = median_time(0.3, [&] {
    float* p = data.mutable_data<float>();
    kernels::scale(data.numel(), p, 1.f, p);
  });
  return {static_cast<double>(flop[0] * threads) / t / 1e9,
          2.0 * static_cast<double>(data.bytes()) / u / 1e9};
}

// Collects and prints the measurements.
class Table {
 public:
  Table(const Options& o, Peak peak, double seconds) : json_(o.json), peak_(peak), seconds_(seconds) {}

  template <class Fn>
  void time(const std::string& name, double flop, double bytes, Fn fn) {
    double t = median_time(seconds_, fn), gflops = flop / t / 1e9, gbytes = bytes / t / 1e9;
    rows_.push_back({{"kernel", name},
                     {"ms", t * 1e3},
                     {"gflops", gflops},
                     {"share_of_peak", gflops / peak_.gflops},
                     {"bytes", bytes},
                     {"gbytes_per_s", gbytes},
                     {"share_of_bandwidth", gbytes / peak_.gbytes_per_s}});
    if (!json_)
      print(fmt::format("{:<52} {:>9.3f} ms {:>7.1f} GFLOP/s {:>4.0f}% {:>8.2f} MB {:>6.1f} GB/s {:>4.0f}%",
                        name, t * 1e3, gflops, 100 * gflops / peak_.gflops, bytes / 1e6, gbytes,
                        100 * gbytes / peak_.gbytes_per_s));
  }
  Json rows() const { return rows_; }

 private:
  bool json_;
  Peak peak_;
  double seconds_;
  Json rows_ = Json::array();
};

// Small integers: any order of summation is exact, so that results are compared bit for bit.
template <class X>
std::vector<X> integers(int64_t count, const char* stream) {
  Rng rng(0, std::string("bench kernels/") + stream);
  std::vector<X> v(static_cast<size_t>(count));
  for (X& x : v) x = X(static_cast<int>(rng.next_below(7)) - 3);
  return v;
}

template <class X>
bool equals_rounded(const std::vector<float>& expected, const X* got) {
  for (size_t i = 0; i < expected.size(); ++i)
    if (static_cast<float>(X(expected[i])) != static_cast<float>(got[i])) return false;
  return true;
}

template <class X>
void conv_kernels(Table& table, const std::string& name, const kernels::ConvSize& s) {
  auto x = integers<X>(s.n * s.pixels_in() * s.c_in, "x"),
       g = integers<X>(s.n * s.pixels_out() * s.c_out, "g");
  auto w = integers<float>(s.c_out * s.taps(), "w");
  std::vector<X> y(g.size()), dx(x.size());
  std::vector<float> dw(w.size()), expected_dw(w.size());
  kernels::ConvSize one = s;
  one.n = 1;
  std::vector<float> x1(x.begin(), x.begin() + s.pixels_in() * s.c_in), dx1(x1.size()),
      g1(g.begin(), g.begin() + s.pixels_out() * s.c_out), y1(g1.size());
  kernels::conv_forward(s, x.data(), w.data(), nullptr, y.data());
  kernels::reference::conv_forward(one, x1.data(), w.data(), static_cast<const float*>(nullptr), y1.data());
  refuse_wrong_result(equals_rounded(y1, y.data()), name + " forward");
  kernels::conv_backward_data(s, g.data(), w.data(), dx.data());
  kernels::reference::conv_backward_data(one, g1.data(), w.data(), dx1.data());
  refuse_wrong_result(equals_rounded(dx1, dx.data()), name + " backward data");
  kernels::conv_backward_weight(one, g.data(), x.data(), dw.data(), nullptr);
  kernels::reference::conv_backward_weight(one, g1.data(), x1.data(), expected_dw.data(),
                                           static_cast<float*>(nullptr));
  refuse_wrong_result(dw == expected_dw, name + " backward weight");
  double flop = 2.0 * static_cast<double>(s.n * s.pixels_out() * s.c_out * s.taps());
  double bytes = static_cast<double>((x.size() + y.size()) * sizeof(X) + w.size() * 4);
  table.time(name + " forward", flop, bytes,
             [&] { kernels::conv_forward(s, x.data(), w.data(), nullptr, y.data()); });
  table.time(name + " backward data", flop, bytes,
             [&] { kernels::conv_backward_data(s, g.data(), w.data(), dx.data()); });
  table.time(name + " backward weight", flop, bytes,
             [&] { kernels::conv_backward_weight(s, g.data(), x.data(), dw.data(), nullptr); });
}

void linear_kernels(Table& table, const std::string& name, int64_t rows, int64_t in, int64_t out) {
  using kernels::Trans;
  auto x = integers<float>(rows * in, "x"), w = integers<float>(out * in, "w"),
       g = integers<float>(rows * out, "g");
  auto product = [&](const char* what, Trans ta, Trans tb, int64_t m, int64_t n, int64_t k, const auto& a,
                     int64_t lda, const auto& b, int64_t ldb) {
    std::vector<float> c(static_cast<size_t>(m * n)), expected(c);
    kernels::parallel_gemm(ta, tb, m, n, k, 1.f, a.data(), lda, b.data(), ldb, 0.f, c.data(), n);
    kernels::reference::gemm(ta, tb, m, n, k, 1.f, a.data(), lda, b.data(), ldb, 0.f, expected.data(), n);
    refuse_wrong_result(c == expected, name + what);
    table.time(name + what, 2.0 * static_cast<double>(m * n * k),
               4.0 * static_cast<double>(a.size() + b.size() + c.size()), [&] {
                 kernels::parallel_gemm(ta, tb, m, n, k, 1.f, a.data(), lda, b.data(), ldb, 0.f, c.data(), n);
               });
  };
  product(" forward", Trans::no, Trans::yes, rows, out, in, x, in, w, in);
  product(" backward data", Trans::no, Trans::no, rows, in, out, g, out, w, in);
  product(" backward weight", Trans::yes, Trans::no, out, in, rows, g, out, x, in);
}

template <class X>
void norm_kernels(Table& table, const std::string& name, int64_t rows, int64_t channels) {
  int64_t n = rows * channels;
  auto count = static_cast<size_t>(channels);
  auto x = integers<X>(n, "x"), g = integers<X>(n, "g");
  std::vector<X> y(x.size());
  std::vector<double> mean(count), var(count), plain_mean(count), plain_var(count), sum_g(count),
      sum_gx(count);
  std::vector<float> zero(count, 0.f), two(count, 2.f), one(count, 1.f);
  std::vector<float> wide(x.begin(), x.end());
  kernels::norm_statistics(x.data(), rows, channels, mean.data(), var.data());
  kernels::reference::norm_statistics(wide.data(), rows, channels, plain_mean.data(), plain_var.data());
  for (size_t c = 0; c < count; ++c)  // each of the parts rounds a few times; values are at most 3
    refuse_wrong_result(
        std::fabs(mean[c] - plain_mean[c]) < 1e-12 && std::fabs(var[c] - plain_var[c]) < 1e-12, name);
  const kernels::NormAffine<float> f{zero.data(), two.data(), one.data()};
  kernels::norm_apply(x.data(), rows, channels, f, static_cast<const X*>(nullptr), true, y.data());
  for (size_t i = 0; i < x.size(); ++i)
    refuse_wrong_result(static_cast<float>(y[i]) == std::max(0.f, 2 * wide[i] + 1), name);
  double pass = static_cast<double>(n) * sizeof(X), each = static_cast<double>(n);
  kernels::NormMask<X> mask{&f, nullptr};
  table.time(name + " statistics", 3 * each, pass,
             [&] { kernels::norm_statistics(x.data(), rows, channels, mean.data(), var.data()); });
  table.time(name + " normalize + relu", 3 * each, 2 * pass, [&] {
    kernels::norm_apply(x.data(), rows, channels, f, static_cast<const X*>(nullptr), true, y.data());
  });
  table.time(name + " mask + both sums", 6 * each, 2 * pass, [&] {
    kernels::norm_backward_reduce(g.data(), x.data(), rows, channels, mean.data(), mask,
                                  static_cast<X*>(nullptr), sum_g.data(), sum_gx.data());
  });
  table.time(name + " backward", 8 * each, 3 * pass, [&] {
    kernels::norm_backward_apply(g.data(), x.data(), rows, channels, f, mask, two.data(), zero.data(),
                                 one.data(), y.data());
  });
}

template <class X>
void pool_kernels(Table& table, const std::string& name, const kernels::PoolSize& s) {
  int64_t in = s.n * s.h * s.w * s.c, out = s.n * s.oh * s.ow * s.c;
  auto x = integers<X>(in, "x"), g = integers<X>(out, "g");
  std::vector<X> y(static_cast<size_t>(out)), dx(x.size());
  std::vector<int32_t> index(y.size()), plain_index(y.size());
  std::vector<float> wide(x.begin(), x.end()), expected(y.size());
  kernels::max_pool_forward(s, x.data(), y.data(), index.data());
  kernels::reference::max_pool_forward(s, wide.data(), expected.data(), plain_index.data());
  refuse_wrong_result(index == plain_index && equals_rounded(expected, y.data()), name);
  double bytes = static_cast<double>((x.size() + y.size()) * sizeof(X) + index.size() * 4);
  table.time(name + " forward", 3.0 * static_cast<double>(out), bytes,
             [&] { kernels::max_pool_forward(s, x.data(), y.data(), index.data()); });
  table.time(name + " backward", static_cast<double>(out), bytes,
             [&] { kernels::max_pool_backward(s, g.data(), index.data(), dx.data()); });
}

// The kernels of one layer, at the shapes that passed through it.
template <class X>
void layer_kernels(Table& table, std::set<std::string>& seen, const std::string& where, const Module& m,
                   const Shape& in, const Shape& out) {
  std::string what = fmt::format("{} {}", m.describe(), in.str());
  if (!seen.insert(what).second) return;  // the same layer in another place
  if (const AffineLayer* layer = m.affine(); layer && layer->form().convolution) {
    conv_kernels<X>(table, where,
                    conv2d_size(in, layer->form().weight_shape(), conv2d_options(layer->form())));
  } else if (layer) {
    linear_kernels(table, where, in[0], layer->form().in, layer->form().out);
  } else if (m.channel_norm()) {
    norm_kernels<X>(table, where, in.numel() / in[1], in[1]);
  } else if (m.role() == Role::max_pool) {
    pool_kernels<X>(table, where, {in[0], in[2], in[3], in[1], out[2], out[3], 2, 2, 2, 2, 0, 0});
  }
}

template <class X>
void model_kernels(Table& table, std::set<std::string>& seen, const std::string& name, int64_t batch) {
  ModelInput input = default_input(name);
  ModulePtr model = make_model(name, input, true, 0);
  for (const TraceRow& r : trace(*model, input.shape(1))) {
    Shape from = r.in, to = r.out;  // one image passes; the kernels see a batch
    from[0] = to[0] = batch;
    layer_kernels<X>(table, seen, name + " " + r.path, *r.module, from, to);
  }
}

class BenchKernels : public BenchVerb {
 public:
  BenchKernels() : BenchVerb("kernels", "every kernel, beside what the machine can do", kBatch) {}

 private:
  int measure(const Options& o) override {
    const Peak peak = measure_peak();
    if (!o.json)
      print(
          fmt::format("{}; peak {:.1f} GFLOP/s of float32 multiply-adds, {:.1f} GB/s of read-modify-write; "
                      "batch {}, {}",
                      machine_text(), peak.gflops, peak.gbytes_per_s, o.batch_size, o.precision));
    Table table(o, peak, seconds_ / 150);
    std::set<std::string> seen;
    for (const char* name : {"mlp", "lenet5", "cnn", "vgg", "resnet20"})
      if (parse_precision(o.precision) == DType::bfloat16)
        model_kernels<bfloat16>(table, seen, name, o.batch_size);
      else
        model_kernels<float>(table, seen, name, o.batch_size);
    if (o.json)
      print_json({{"threads", num_threads()},
                  {"simd", kernels::simd_name()},
                  {"blas_core", kernels::blas_core()},
                  {"precision", o.precision},
                  {"batch_size", o.batch_size},
                  {"peak_gflops", peak.gflops},
                  {"peak_gbytes_per_s", peak.gbytes_per_s},
                  {"kernels", table.rows()}});
    return 0;
  }
};

const RegisterVerb<BenchKernels> register_bench_kernels(92);

}  // namespace
}  // namespace sigma::app
