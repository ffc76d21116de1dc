// What the parts of `sigma bench` share.
#pragma once

#include <algorithm>
#include <chrono>
#include <vector>

#include "apps/flags/verb.h"
#include "core/json.h"
#include "layers/networks/models.h"

namespace sigma::app {

class BenchVerb : public Verb {
 public:
  // Threads set, the machine's arithmetic checked, what disturbs measurements told.
  int run(const Options& options) final;
  void set_defaults(Options& options) const override { options.data.clear(); }

 protected:
  BenchVerb(std::string part, std::string about, unsigned groups = kNone);
  virtual int measure(const Options& options) = 0;
  double seconds_ = 4;
};

// "2 threads, AVX3, BLAS SkylakeX".
std::string machine_text();

// A network, random images and what a pass over a batch costs.
struct BenchModel {
  ModulePtr model;
  Variable images;
  double flops;  // of a forward pass over the batch
};
BenchModel bench_model(const Options& options);
// Prints what a pass of `seconds` over the batch means.
void report_speed(const Options& options, const char* what, double seconds, double flops);
void refuse_wrong_result(bool right, const std::string& what);

// Median seconds of `fn`, after warm-up, over at least five runs and `seconds`.
template <class Fn>
double median_time(double seconds, Fn fn) {
  using Clock = std::chrono::steady_clock;
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

}  // namespace sigma::app
