#include "training/lr_find.h"

#include <algorithm>
#include <cmath>

namespace sigma {

LrFindResult find_lr(Trainer& trainer, const LrFindOptions& o,
                     const std::function<bool(const LrFindPoint&)>& on_step) {
  SIGMA_CHECK(o.lowest > 0 && o.highest > o.lowest && std::isfinite(o.highest), "find_lr",
              "expected rates 0 < lowest < highest, got {} and {}", o.lowest, o.highest);
  SIGMA_CHECK(o.steps >= 20, "find_lr", "expected at least 20 steps, got {}", o.steps);
  SIGMA_CHECK(o.smoothing >= 0 && o.smoothing < 1 && o.explosion > 1, "find_lr",
              "expected smoothing of 0 to less than 1 and explosion above 1, got {} and {}", o.smoothing,
              o.explosion);
  SIGMA_CHECK(trainer.steps_done() == 0, "find_lr", "expected a trainer that has done no step, got {}",
              trainer.steps_done());
  LrFindResult result;
  const double ratio = std::log(o.highest / o.lowest) / static_cast<double>(o.steps - 1);
  double average = 0, least = HUGE_VAL;
  for (int64_t i = 0; i < o.steps; ++i) {
    const double lr = o.lowest * std::exp(ratio * static_cast<double>(i));
    try {
      const double loss = trainer.step_at(lr).loss;
      average = o.smoothing * average + (1 - o.smoothing) * loss;
      const double smoothed = average / (1 - std::pow(o.smoothing, static_cast<double>(i + 1)));
      result.points.push_back({lr, loss, smoothed});
    } catch (const Error& e) {
      if (e.kind() != ErrorKind::diverged) throw;
      result.exploded = true;
      break;
    }
    const LrFindPoint& now = result.points.back();
    if (on_step && !on_step(now)) break;
    least = std::min(least, now.smoothed);
    result.exploded = now.smoothed > o.explosion * least;
    if (result.exploded) break;
  }
  result.suggestion = suggest_lr(result.points);
  return result;
}

double suggest_lr(const std::vector<LrFindPoint>& points) {
  auto lower = [](const LrFindPoint& a, const LrFindPoint& b) { return a.smoothed < b.smoothed; };
  const auto least = std::min_element(points.begin(), points.end(), lower);
  if (points.size() < 2 || !(least->smoothed < 0.95 * points.front().smoothed))
    fail(ErrorKind::usage, "lr-find", "the loss falls at no rate that was tried; the network does not train");
  const double half = 0.5 * (points.front().smoothed + least->smoothed);
  const auto fallen =
      std::find_if(points.begin(), least, [&](const LrFindPoint& p) { return p.smoothed <= half; });
  constexpr double kBelow = 2, kWidth = 5;
  return least->lr / kBelow * std::min(1.0, least->lr / fallen->lr / kWidth);
}

}  // namespace sigma
