#include "training/lr_find.h"

#include <algorithm>
#include <cmath>

namespace sigma {
namespace {

constexpr double kApart = 3;    // rates of neighbouring trials
constexpr double kFine = 2;     // no trial is asked for between neighbours that are nearer
constexpr double kSame = 1.15;  // rates that are not worth telling apart
constexpr double kFall = 0.95;  // of the first loss: what counts as training

using OnStep = std::function<bool(const LrFindEvent&)>;

void check_options(const LrFindOptions& o) {
  SIGMA_CHECK(o.lowest > 0 && o.highest > o.lowest && std::isfinite(o.highest), "find_lr",
              "expected rates 0 < lowest < highest, got {} and {}", o.lowest, o.highest);
  SIGMA_CHECK(o.steps >= 20 && o.trial_steps >= 20, "find_lr",
              "expected at least 20 steps of the sweep and of a trial, got {} and {}", o.steps,
              o.trial_steps);
  SIGMA_CHECK(o.trials >= 0, "find_lr", "expected 0 trials or more, got {}", o.trials);
  SIGMA_CHECK(o.smoothing >= 0 && o.smoothing < 1 && o.explosion > 1, "find_lr",
              "expected smoothing of 0 to less than 1 and explosion above 1, got {} and {}", o.smoothing,
              o.explosion);
}

std::unique_ptr<Trainer> fresh(const MakeTrainer& make) {
  std::unique_ptr<Trainer> trainer = make();
  SIGMA_CHECK(trainer && trainer->steps_done() == 0, "find_lr",
              "expected a trainer that has done no step, got {}",
              trainer ? std::to_string(trainer->steps_done()) : "none");
  return trainer;
}

// The loss before a step at this rate; infinite where the step fails.
double loss_of_step(Trainer& trainer, double lr) {
  try {
    return trainer.step_at(lr).loss;
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::diverged) throw;
    return HUGE_VAL;
  }
}

void sweep(Trainer& trainer, const LrFindOptions& o, const OnStep& on_step, LrFindResult& result) {
  const double ratio = std::log(o.highest / o.lowest) / static_cast<double>(o.steps - 1);
  double average = 0, least = HUGE_VAL;
  for (int64_t i = 0; i < o.steps; ++i) {
    const double lr = o.lowest * std::exp(ratio * static_cast<double>(i));
    const double loss = loss_of_step(trainer, lr);
    result.exploded = !std::isfinite(loss);
    if (result.exploded) return;
    average = o.smoothing * average + (1 - o.smoothing) * loss;
    const double smoothed = average / (1 - std::pow(o.smoothing, static_cast<double>(i + 1)));
    result.points.push_back({lr, loss, smoothed});
    if (on_step && !on_step({0, i + 1, result.points.back()})) return;
    least = std::min(least, smoothed);
    result.exploded = smoothed > o.explosion * least;
    if (result.exploded) return;
  }
}

// The run's schedule in fewer steps.
LrSchedule shrunk(LrSchedule schedule, int64_t steps) {
  schedule.warmup_steps = schedule.warmup_steps * steps / std::max<int64_t>(schedule.total_steps, 1);
  schedule.total_steps = steps;
  return schedule;
}

// False when `on_step` ended it.
bool run_trial(Trainer& trainer, int64_t steps, int64_t number, const OnStep& on_step, LrTrial& trial) {
  const LrSchedule schedule = shrunk(trainer.setup().schedule, steps);
  const int64_t measured = std::max<int64_t>(steps / 5, 1);
  double sum = 0;
  for (int64_t i = 0; i < steps; ++i) {
    const double loss = loss_of_step(trainer, schedule.at(i, trial.lr));
    if (!std::isfinite(loss)) {
      trial.loss = HUGE_VAL;
      return true;
    }
    if (i >= steps - measured) sum += loss;
    if (on_step && !on_step({number, i + 1, {trial.lr, loss, loss}})) return false;
  }
  trial.loss = sum / static_cast<double>(measured);
  return true;
}

bool less_loss(const LrTrial& a, const LrTrial& b) { return a.loss < b.loss; }

std::vector<LrTrial> by_rate(std::vector<LrTrial> trials) {
  std::sort(trials.begin(), trials.end(), [](const LrTrial& a, const LrTrial& b) { return a.lr < b.lr; });
  return trials;
}

double apart(double a, double b) { return std::max(a / b, b / a); }

// The rate where the parabola through three trials over the logarithm of the rate is least; that of the one
// in the middle, which is the best, where all lie on a line.
double least_of_parabola(const LrTrial& below, const LrTrial& best, const LrTrial& above) {
  const double x0 = std::log(below.lr / best.lr), x1 = std::log(above.lr / best.lr);
  const double y0 = below.loss - best.loss, y1 = above.loss - best.loss;
  const double bend = x0 * y1 - x1 * y0;
  return bend == 0 ? best.lr : best.lr * std::exp((x0 * x0 * y1 - x1 * x1 * y0) / (2 * bend));
}

}  // namespace

LrFindResult find_lr(const MakeTrainer& make, const LrFindOptions& o, const OnStep& on_step) {
  check_options(o);
  LrFindResult result;
  int64_t run_steps = 0;
  {
    const auto trainer = fresh(make);
    run_steps = trainer->setup().schedule.total_steps;
    sweep(*trainer, o, on_step, result);
  }
  const int64_t steps = run_steps > 1 ? std::min(run_steps, o.trial_steps) : o.trial_steps;
  double lr = to_two_digits(first_trial(result.points));
  while (lr > 0 && static_cast<int64_t>(result.trials.size()) < o.trials) {
    LrTrial trial{lr, 0};
    const auto trainer = fresh(make);
    if (!run_trial(*trainer, steps, static_cast<int64_t>(result.trials.size()) + 1, on_step, trial)) break;
    result.trials.push_back(trial);
    lr = to_two_digits(next_trial(result.trials));
  }
  result.suggestion = suggest_lr(result.points, result.trials);
  return result;
}

double to_two_digits(double lr) {
  if (!(lr > 0)) return lr;
  const double power = std::floor(std::log10(lr)) - 1, unit = std::pow(10, std::abs(power));
  return power < 0 ? std::round(lr * unit) / unit : std::round(lr / unit) * unit;
}

double sweep_lr(const std::vector<LrFindPoint>& points) {
  auto lower = [](const LrFindPoint& a, const LrFindPoint& b) { return a.smoothed < b.smoothed; };
  const auto least = std::min_element(points.begin(), points.end(), lower);
  if (points.size() < 2 || !(least->smoothed < kFall * points.front().smoothed)) return 0;
  const double half = 0.5 * (points.front().smoothed + least->smoothed);
  const auto fallen =
      std::find_if(points.begin(), least, [&](const LrFindPoint& p) { return p.smoothed <= half; });
  constexpr double kBelow = 2, kWidth = 5;
  return least->lr / kBelow * std::min(1.0, least->lr / fallen->lr / kWidth);
}

double first_trial(const std::vector<LrFindPoint>& points) {
  if (points.empty()) return 0;
  if (const double lr = sweep_lr(points); lr > 0) return lr;
  const double harm = points.front().smoothed / kFall;
  const auto last =
      std::find_if(points.rbegin(), points.rend(), [&](const LrFindPoint& p) { return p.smoothed <= harm; });
  return last->lr / 10;
}

double next_trial(const std::vector<LrTrial>& trials) {
  if (trials.empty()) return 0;
  const std::vector<LrTrial> t = by_rate(trials);
  const auto best = std::min_element(t.begin(), t.end(), less_loss);
  if (best == t.end() - 1 && std::isfinite(best->loss)) return best->lr * kApart;
  if (best == t.begin()) return best->lr / kApart;
  const LrTrial &below = *(best - 1), &above = *(best + 1);
  for (const LrTrial* beside : {&above, &below})
    if (apart(beside->lr, best->lr) > kFine) return std::sqrt(best->lr * beside->lr);
  if (!std::isfinite(above.loss) || !std::isfinite(below.loss)) return 0;
  const double lr = least_of_parabola(below, *best, above);
  return apart(lr, best->lr) > kSame ? lr : 0;
}

double suggest_lr(const std::vector<LrFindPoint>& points, const std::vector<LrTrial>& trials) {
  const std::vector<LrTrial> t = by_rate(trials);
  const auto best = std::min_element(t.begin(), t.end(), less_loss);
  const double lr = t.empty() ? sweep_lr(points) : best->lr;
  if (lr == 0 || points.empty() || (!t.empty() && !(best->loss < kFall * points.front().smoothed)))
    fail(ErrorKind::usage, "lr-find", "the loss falls at no rate that was tried; the network does not train");
  return lr;
}

}  // namespace sigma
