// Slopes of straight lines, and what is known of them from several seeds.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace sigma::app {

struct Slope {
  double value = 0, low = 0, high = 0;  // mean over seeds and its 95% interval by Student's t of n - 1
  std::string text(const char* format = "{:.3f}") const {
    const auto f = fmt::runtime(format);
    return fmt::format("{} [{}, {}]", fmt::format(f, value), fmt::format(f, low), fmt::format(f, high));
  }
};

inline double slope_of(const std::vector<double>& x, const std::vector<double>& y) {  // least squares
  const auto n = static_cast<double>(x.size());
  double mx = 0, my = 0, xy = 0, xx = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    mx += x[i] / n;
    my += y[i] / n;
  }
  for (size_t i = 0; i < x.size(); ++i) {
    xy += (x[i] - mx) * (y[i] - my);
    xx += (x[i] - mx) * (x[i] - mx);
  }
  return xy / xx;
}

inline Slope over_seeds(const std::vector<double>& slopes) {
  // Quantiles 0.975 for 1, 2, ... degrees of freedom.
  constexpr double kT[] = {12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
                           2.201,  2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093};
  const auto n = static_cast<double>(slopes.size());
  double mean = 0, squares = 0;
  for (double s : slopes) mean += s / n;
  for (double s : slopes) squares += (s - mean) * (s - mean);
  const double t = slopes.size() < 2 ? 0 : kT[std::min<size_t>(slopes.size() - 2, std::size(kT) - 1)];
  const double half = slopes.size() < 2 ? HUGE_VAL : t * std::sqrt(squares / (n - 1) / n);
  return {mean, mean - half, mean + half};
}

}  // namespace sigma::app
