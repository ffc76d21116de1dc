#include "optim/lr_schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/check.h"

namespace sigma {
namespace {

// From a at t = 0 to b at t = 1 along half a cosine.
double cosine_between(double a, double b, double t) {
  return b + (a - b) * 0.5 * (1 + std::cos(std::numbers::pi * t));
}

}  // namespace

double LrSchedule::at(int64_t step, double lr) const {
  step = std::clamp<int64_t>(step, 0, std::max<int64_t>(0, total_steps - 1));
  if (kind == Schedule::one_cycle) {
    double peak = std::max(1.0, one_cycle_rise * static_cast<double>(total_steps) - 1);
    double t = static_cast<double>(step);
    if (t <= peak) return cosine_between(lr * one_cycle_start, lr, t / peak);
    double rest = std::max(1.0, static_cast<double>(total_steps - 1) - peak);
    return cosine_between(lr, lr * one_cycle_end, (t - peak) / rest);
  }
  if (step < warmup_steps) return lr * static_cast<double>(step + 1) / static_cast<double>(warmup_steps);
  switch (kind) {
    case Schedule::step: {
      double rate = lr;
      for (double m : milestones)
        if (static_cast<double>(step) >= m * static_cast<double>(total_steps)) rate *= gamma;
      return rate;
    }
    case Schedule::cosine: {
      double length = static_cast<double>(std::max<int64_t>(1, total_steps - warmup_steps));
      return cosine_between(lr, 0, static_cast<double>(step - warmup_steps) / length);
    }
    default:
      return lr;
  }
}

Schedule parse_schedule(const std::string& name) {
  if (name == "constant") return Schedule::constant;
  if (name == "step") return Schedule::step;
  if (name == "cosine") return Schedule::cosine;
  if (name == "one-cycle") return Schedule::one_cycle;
  fail(ErrorKind::usage, "schedule", "unknown name \"{}\", expected constant, step, cosine or one-cycle",
       name);
}

}  // namespace sigma
