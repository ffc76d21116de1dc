// What the parts of `sigma bench` share.
#pragma once

#include <algorithm>
#include <chrono>
#include <vector>

#include "apps/flags/options.h"

namespace sigma::app {

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

int bench_kernels(const Options& o, double seconds);
int bench_svd(const Options& o, double seconds);

}  // namespace sigma::app
