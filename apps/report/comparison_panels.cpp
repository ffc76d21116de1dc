// How the arms of a comparison are laid out in pictures, and what they came to.
#include <algorithm>
#include <cmath>
#include <map>

#include "apps/report/comparison_parts.h"

namespace sigma::app {
namespace {

constexpr size_t kLines = 6;  // of one picture

// The flags in which arms differ, with the number of their values, in the order of the table.
std::vector<std::pair<std::string, size_t>> differing(const Comparison& c) {
  std::vector<std::pair<std::string, size_t>> flags;
  if (c.arms.empty()) return flags;
  for (const Setting& s : c.arms[0].settings) {
    std::vector<std::string> values;
    for (const Arm& a : c.arms)
      if (const Setting* o = a.of(s.flag);
          o && std::find(values.begin(), values.end(), o->words) == values.end())
        values.push_back(o->words);
    flags.emplace_back(s.flag, values.size());
  }
  return flags;
}

std::string words_without(const Arm& arm, const std::string& flag) {
  std::string all;
  for (const Setting& s : arm.settings)
    if (s.flag != flag && !s.words.empty()) all += (all.empty() ? "" : " · ") + s.words;
  return all;
}

// Batch norm where that differs, else the flag of most values that still fit one picture.
std::string flag_of_lines(const Comparison& c) {
  const auto flags = differing(c);
  if (flags.size() < 2 && c.arms.size() <= kLines) return "";
  std::string best;
  size_t most = 0;
  for (const auto& [flag, values] : flags) {
    if (flag == "batch-norm") return flag;
    if (values <= kLines && values > most) {
      best = flag;
      most = values;
    }
  }
  return best;
}

double median(std::vector<double> v) {
  if (v.empty()) return INFINITY;
  std::sort(v.begin(), v.end());
  const double m = v[v.size() / 2];
  return v.size() % 2 ? m : (m + v[v.size() / 2 - 1]) / 2;
}

}  // namespace

Panels panels_of(const Comparison& c) {
  Panels p{flag_of_lines(c), {}};
  for (size_t a = 0; a < c.arms.size(); ++a) {
    const std::string words = p.flag.empty() ? "" : words_without(c.arms[a], p.flag);
    auto at = std::find_if(p.all.begin(), p.all.end(), [&](const Panel& one) {
      return one.words == words && (!p.flag.empty() || one.arms.size() < kLines);
    });
    if (at == p.all.end()) at = p.all.insert(p.all.end(), Panel{words, {}});
    at->arms.push_back(a);
  }
  return p;
}

std::string line_words(const Comparison& c, const Panels& panels, size_t arm) {
  const Setting* s = panels.flag.empty() ? nullptr : c.arms[arm].of(panels.flag);
  return s && !s->words.empty() ? s->words : c.arms[arm].label();
}

Series line_of(const Comparison& c, const Panels& panels, size_t arm) {
  Series s;
  s.label = line_words(c, panels, arm);
  std::vector<std::string> lines;
  for (size_t a = 0; a < c.arms.size(); ++a)
    if (const std::string words = line_words(c, panels, a);
        std::find(lines.begin(), lines.end(), words) == lines.end())
      lines.push_back(words);
  s.color = palette(static_cast<size_t>(std::find(lines.begin(), lines.end(), s.label) - lines.begin()));
  s.dashed = c.arms[arm].of("batch-norm") && !c.arms[arm].batch_norm;
  return s;
}

Final final_of(const Comparison& c, size_t arm) {
  Final f;
  for (const ArmRun* r : c.of(arm)) {
    ++f.runs;
    f.diverged += r->diverged_at >= 0;
    f.mean += r->test_accuracy;
    f.low = std::min(f.low, r->test_accuracy);
    f.high = std::max(f.high, r->test_accuracy);
  }
  f.mean /= static_cast<double>(std::max<int64_t>(1, f.runs));
  return f;
}

double median_steps_to(const Comparison& c, size_t arm, double accuracy) {
  std::vector<double> v;
  for (const ArmRun* r : c.of(arm))
    v.push_back(r->steps_to(accuracy) >= 0 ? static_cast<double>(r->steps_to(accuracy)) : INFINITY);
  return median(v);
}

double median_seconds_to(const Comparison& c, size_t arm, double accuracy) {
  std::vector<double> v;
  for (const ArmRun* r : c.of(arm))
    v.push_back(r->steps_to(accuracy) >= 0 ? r->seconds_to(accuracy) : INFINITY);
  return median(v);
}

std::vector<double> thresholds_of(const Comparison& c, size_t count) {
  std::vector<double> reached;
  for (double t : {.3, .4, .5, .6, .7, .8, .9, .95, .97, .98, .99}) {
    bool any = false;
    for (size_t a = 0; a < c.arms.size(); ++a) any |= std::isfinite(median_steps_to(c, a, t));
    if (any) reached.push_back(t);
  }
  if (reached.size() > count)
    reached.erase(reached.begin(), reached.end() - static_cast<std::ptrdiff_t>(count));
  return reached;
}

}  // namespace sigma::app
