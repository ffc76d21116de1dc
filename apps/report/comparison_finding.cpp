// What a comparison found, in words.
#include <algorithm>
#include <cmath>

#include "apps/report/comparison_parts.h"
#include "apps/report/words.h"

namespace sigma::app {
namespace {

std::string steps_words(double steps) { return count_text(std::llround(steps), "step"); }

// The arm of the best mean among those of `from`; the first of equals.
size_t best_of(const Comparison& c, const std::vector<size_t>& from) {
  return *std::max_element(from.begin(), from.end(),
                           [&](size_t a, size_t b) { return final_of(c, a).mean < final_of(c, b).mean; });
}

size_t worst_of(const Comparison& c, const std::vector<size_t>& from) {
  return *std::min_element(from.begin(), from.end(),
                           [&](size_t a, size_t b) { return final_of(c, a).mean < final_of(c, b).mean; });
}

std::vector<size_t> where(const Comparison& c, bool batch_norm) {
  std::vector<size_t> some;
  for (size_t a = 0; a < c.arms.size(); ++a)
    if (c.arms[a].batch_norm == batch_norm) some.push_back(a);
  return some;
}

std::vector<size_t> all_arms(const Comparison& c) {
  std::vector<size_t> all(c.arms.size());
  for (size_t a = 0; a < all.size(); ++a) all[a] = a;
  return all;
}

bool compares_batch_norm(const Comparison& c) {
  return !c.arms.empty() && c.arms[0].of("batch-norm") && !where(c, true).empty() && !where(c, false).empty();
}

// " (standardized input)": what else the arm has.
std::string beside(const Comparison& c, size_t arm) {
  std::string words;
  for (const Setting& s : c.arms[arm].settings)
    if (s.flag != "batch-norm" && !s.words.empty()) words += (words.empty() ? "" : ", ") + s.words;
  return words.empty() ? "" : " (" + words + ")";
}

// The highest round accuracy that both arms reached, by the medians of their steps; 0: there is none.
struct Sooner {
  double accuracy = 0, steps = INFINITY, other = INFINITY;
  double times() const { return other / std::max(1.0, steps); }
};
Sooner sooner(const Comparison& c, size_t arm, size_t other) {
  Sooner best;
  for (double t : thresholds_of(c, 11)) {
    const Sooner s{t, median_steps_to(c, arm, t), median_steps_to(c, other, t)};
    if (std::isfinite(s.steps) && std::isfinite(s.other)) best = s;
  }
  return best;
}

std::string batch_norm_finding(const Comparison& c) {
  const size_t on = best_of(c, where(c, true)), off = best_of(c, where(c, false));
  const Final with = final_of(c, on), without = final_of(c, off);
  std::string text = fmt::format(
      "With batch norm, {} names {} of the {} images right after {}{}; without it, {}{}.", c.arms[on].model,
      percent_text(with.mean), c.measured, steps_words(static_cast<double>(c.arms[on].steps)), beside(c, on),
      percent_text(without.mean), beside(c, off));
  if (with.runs > 1 && without.low <= with.high && with.low <= without.high)
    text += " Their ranges over the seeds overlap: this is no clear difference.";
  const Sooner s = sooner(c, on, off);
  if (s.accuracy > 0 && s.other > s.steps)
    text += fmt::format(" It reaches {:.0f}% after {} instead of {}: {:.1f} times as soon.", 100 * s.accuracy,
                        steps_words(s.steps), thousands(std::llround(s.other)), s.times());
  else if (s.accuracy > 0 && s.other < s.steps)
    text += fmt::format(" To {:.0f}%, it takes {} with batch norm and {} without.", 100 * s.accuracy,
                        steps_words(s.steps), thousands(std::llround(s.other)));
  return text;
}

std::string best_finding(const Comparison& c) {
  const std::vector<size_t> all = all_arms(c);
  const size_t best = best_of(c, all), worst = worst_of(c, all);
  const Final most = final_of(c, best), least = final_of(c, worst);
  if (all.size() == 1)
    return fmt::format("{} names {} of the {} images right after {}.", c.arms[best].model,
                       percent_text(most.mean), c.measured,
                       steps_words(static_cast<double>(c.arms[best].steps)));
  std::string text = fmt::format("Best is {}, which names {} of the {} images right; least {}, with {}.",
                                 c.arms[best].label(), percent_text(most.mean), c.measured,
                                 c.arms[worst].label(), percent_text(least.mean));
  if (most.runs > 1 && most.low <= least.high && least.low <= most.high)
    text += " Their ranges over the seeds overlap: this is no clear difference.";
  return text;
}

int64_t diverged_runs(const Comparison& c) {
  return std::count_if(c.runs.begin(), c.runs.end(), [](const ArmRun& r) { return r.diverged_at >= 0; });
}

}  // namespace

std::string finding_of(const Comparison& c) {
  if (c.runs.empty()) return "Nothing was trained.";
  const auto runs = static_cast<int64_t>(c.runs.size()), diverged = diverged_runs(c);
  if (diverged == runs)
    return runs == 1 ? "The run diverged: its loss was no number any more."
                     : fmt::format("All {} runs diverged: their losses were no numbers any more.", runs);
  std::string text = compares_batch_norm(c) ? batch_norm_finding(c) : best_finding(c);
  if (diverged > 0) text += fmt::format(" {} of {} runs diverged.", diverged, runs);
  if (c.seeds == 1 && c.arms.size() > 1) text += " There was one seed: a point or two may be chance.";
  return text;
}

std::vector<Tile> tiles_of(const Comparison& c) {
  std::vector<Tile> tiles;
  if (c.runs.empty()) return tiles;
  const bool norms = compares_batch_norm(c);
  const std::vector<size_t> all = all_arms(c);
  const size_t best = best_of(c, norms ? where(c, true) : all),
               other = norms ? best_of(c, where(c, false)) : worst_of(c, all);
  tiles.push_back({percent_text(final_of(c, best).mean),
                   norms ? fmt::format("{} accuracy with batch norm{}", c.measured, beside(c, best))
                   : all.size() > 1
                       ? fmt::format("{} accuracy, the best: {}", c.measured, c.arms[best].label())
                       : c.measured + " accuracy"});
  if (best != other) {
    tiles.push_back({percent_text(final_of(c, other).mean),
                     norms ? "without it" + beside(c, other) : "the least: " + c.arms[other].label()});
    const Sooner s = sooner(c, best, other);
    if (s.accuracy > 0 && s.other > s.steps)
      tiles.push_back({fmt::format("{:.1f} ×", s.times()),
                       fmt::format("as soon at {:.0f}%: {} instead of {}", 100 * s.accuracy,
                                   steps_words(s.steps), thousands(std::llround(s.other)))});
  }
  tiles.push_back(
      {count_text(static_cast<int64_t>(c.runs.size()), "run"),
       fmt::format("{} × {}, {} in all", count_text(static_cast<int64_t>(c.arms.size()), "setting"),
                   count_text(c.seeds, "seed"), time_text(c.wall_seconds))});
  return tiles;
}

}  // namespace sigma::app
