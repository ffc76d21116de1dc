// Accuracy and loss over the steps of a comparison, and accuracy by the values of a flag.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>
#include <set>

#include "apps/report/comparison_parts.h"
#include "apps/report/words.h"

namespace sigma::app {
namespace {

using Values = const std::vector<double>& (*)(const ArmRun&);

// Mean and range over the seeds of one measured quantity; a run that diverged has no values after that.
Series over_seeds(const Comparison& c, const Panels& panels, size_t arm, Values of, double factor = 1) {
  Series s = line_of(c, panels, arm);
  const auto runs = c.of(arm);
  size_t longest = 0;
  for (const ArmRun* r : runs) longest = std::max(longest, r->step.size());
  for (size_t i = 0; i < longest; ++i) {
    double sum = 0, low = INFINITY, high = -INFINITY, at = 0;
    int n = 0;
    for (const ArmRun* r : runs) {
      if (i >= r->step.size()) continue;
      at = static_cast<double>(r->step[i]);
      const double v = of(*r)[i] * factor;
      if (!std::isfinite(v)) continue;
      sum += v;
      low = std::min(low, v);
      high = std::max(high, v);
      ++n;
    }
    s.x.push_back(at);
    s.y.push_back(n ? sum / n : std::nan(""));
    s.low.push_back(n ? low : std::nan(""));
    s.high.push_back(n ? high : std::nan(""));
  }
  if (runs.size() < 2) s.low = s.high = {};
  return s;
}

// A cross at the edge of the picture for the runs of an arm that diverged.
void mark_diverged(const Comparison& c, const Panels& panels, size_t arm, double edge, Chart& chart) {
  int64_t first = -1, count = 0;
  for (const ArmRun* r : c.of(arm))
    if (r->diverged_at >= 0) {
      first = first < 0 ? r->diverged_at : std::min(first, r->diverged_at);
      ++count;
    }
  if (count == 0) return;
  const Final f = final_of(c, arm);
  // Marks of several lines stand below each other.
  const double room = *chart.y_max - *chart.y_min, place = static_cast<double>(chart.marks.size());
  const double y =
      chart.log_y ? edge * std::pow(*chart.y_max / *chart.y_min, -.07 * place) : edge + .07 * room * place;
  std::string text = f.runs > 1 && count < f.runs
                         ? fmt::format("{} of {} diverged, at step {}", count, f.runs, first)
                         : fmt::format("diverged at step {}", first);
  chart.marks.push_back({static_cast<double>(first), y, std::move(text), line_of(c, panels, arm).color});
}

std::string title_of(const Comparison& c, const Panel& panel) {
  return panel.words.empty() ? c.model + " on " + c.data : panel.words;
}

// The lowest accuracy that is worth showing: below the worst line that did not diverge, by some room.
double least_accuracy(const Comparison& c) {
  double least = 100;
  for (size_t a = 0; a < c.arms.size(); ++a)
    if (const Final f = final_of(c, a); f.diverged == 0) least = std::min(least, 100 * f.low);
  return std::max(0.0, 10 * std::floor((least - 25) / 10));
}

struct Range {
  double low = INFINITY, high = -INFINITY;
};
// Of the losses of runs that did not diverge; of all where all did.
Range losses(const Comparison& c) {
  std::vector<double> all;
  for (bool diverged : {false, true}) {
    for (const ArmRun& r : c.runs)
      if (diverged == (r.diverged_at >= 0))
        for (double v : r.loss)
          if (std::isfinite(v) && v > 1e-8) all.push_back(v);
    if (!all.empty()) break;
  }
  if (all.empty()) return {.1, 10};
  std::sort(all.begin(), all.end());
  // A first step on raw pixels may lose a thousand times what follows.
  const double high = all[(all.size() - 1) * 98 / 100];
  return {all.front() / 1.2, std::max(high, all.front() * 2) * 1.2};
}

int64_t longest_arm(const Comparison& c) {
  int64_t steps = 1;
  for (const Arm& a : c.arms) steps = std::max(steps, a.steps);
  return steps;
}

// A number that a flag's value is, such as 0.1 or 16.
std::optional<double> number_of(const std::string& text) {
  char* end = nullptr;
  const double v = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != 0 || !std::isfinite(v)) return {};
  return v;
}

// The values of a flag, where those of all arms are numbers.
std::set<double> numbers_of(const Comparison& c, const std::string& flag) {
  std::set<double> values;
  for (const Arm& a : c.arms) {
    const Setting* own = a.of(flag);
    const std::optional<double> v = own ? number_of(own->value) : std::nullopt;
    if (!v) return {};
    values.insert(*v);
  }
  return values;
}

// The line of all arms that are otherwise as this one; a new one where it is the first.
Series& line_beside(const Comparison& c, size_t arm, const std::string& flag, Chart& chart) {
  Series line;
  for (const Setting& other : c.arms[arm].settings)
    if (other.flag != flag && !other.words.empty())
      line.label += (line.label.empty() ? "" : " · ") + other.words;
  for (Series& s : chart.series)
    if (s.label == line.label) return s;
  line.color = palette(chart.series.size());
  line.dashed = c.arms[arm].of("batch-norm") && !c.arms[arm].batch_norm;
  chart.series.push_back(line);
  return chart.series.back();
}

void sort_by_x(Series& s) {
  std::vector<size_t> order(s.x.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return s.x[a] < s.x[b]; });
  for (std::vector<double>* v : {&s.y, &s.low, &s.high, &s.x}) {
    const std::vector<double> before = *v;
    for (size_t i = 0; i < order.size(); ++i) (*v)[i] = before[order[i]];
  }
}

}  // namespace

std::vector<Chart> accuracy_charts(const Comparison& c) {
  const Panels panels = panels_of(c);
  std::vector<Chart> charts;
  for (const Panel& panel : panels.all) {
    Chart chart{title_of(c, panel), "training step", c.measured + " accuracy (%)"};
    chart.y_min = least_accuracy(c);
    chart.y_max = 100;
    chart.x_min = 0;
    chart.x_max = static_cast<double>(longest_arm(c));
    for (size_t a : panel.arms) {
      chart.series.push_back(over_seeds(
          c, panels, a, [](const ArmRun& r) -> auto& { return r.accuracy; }, 100));
      mark_diverged(c, panels, a, *chart.y_min, chart);
    }
    charts.push_back(std::move(chart));
  }
  return charts;
}

std::vector<Chart> loss_charts(const Comparison& c) {
  const Panels panels = panels_of(c);
  const Range range = losses(c);
  std::vector<Chart> charts;
  for (const Panel& panel : panels.all) {
    Chart chart{title_of(c, panel), "training step", "training loss (nats)"};
    chart.log_y = true;
    chart.y_min = range.low;
    chart.y_max = range.high;
    chart.x_min = 0;
    chart.x_max = static_cast<double>(longest_arm(c));
    for (size_t a : panel.arms) {
      chart.series.push_back(over_seeds(
          c, panels, a, [](const ArmRun& r) -> auto& { return r.loss; }));
      mark_diverged(c, panels, a, range.high, chart);
    }
    charts.push_back(std::move(chart));
  }
  return charts;
}

std::vector<Chart> value_charts(const Comparison& c) {
  std::vector<Chart> charts;
  if (c.arms.empty()) return charts;
  for (const Setting& s : c.arms[0].settings) {
    const std::set<double> values = numbers_of(c, s.flag);
    if (values.size() < 2) continue;
    std::string name = s.flag == "lr" ? "learning rate" : s.flag;
    std::replace(name.begin(), name.end(), '-', ' ');
    Chart chart{"Accuracy by " + name, name, c.measured + " accuracy (%)"};
    chart.log_x = *values.begin() > 0 && *values.rbegin() / *values.begin() > 5;
    if (chart.log_x) chart.x_label += " (log scale)";
    chart.y_min = 0;
    chart.y_max = 100;
    for (size_t a = 0; a < c.arms.size(); ++a) {
      Series& line = line_beside(c, a, s.flag, chart);
      const Final f = final_of(c, a);
      line.x.push_back(*number_of(c.arms[a].of(s.flag)->value));
      line.y.push_back(100 * f.mean);
      line.low.push_back(100 * f.low);
      line.high.push_back(100 * f.high);
      if (f.diverged > 0) chart.marks.push_back({line.x.back(), 100 * f.mean, "", line.color});
    }
    for (Series& line : chart.series) sort_by_x(line);
    charts.push_back(std::move(chart));
  }
  return charts;
}

std::vector<Chart> schedule_charts(const Comparison& c) {
  const auto [low, high] = std::minmax_element(c.rates.begin(), c.rates.end());
  if (c.rates.empty() || *low == *high) return {};
  Chart chart{c.schedule, "training step", "learning rate"};
  Series line{"", {}, {}, {}, {}, palette(0)};
  const size_t every = std::max<size_t>(1, c.rates.size() / 300);
  for (size_t i = 0; i < c.rates.size(); i += every) {
    line.x.push_back(static_cast<double>(i));
    line.y.push_back(c.rates[i]);
  }
  chart.y_min = 0;
  chart.series = {line};
  return {chart};
}

std::string curves_picture(const Comparison& c, bool svg) {
  std::vector<Chart> charts = accuracy_charts(c);
  for (Chart& chart : loss_charts(c)) charts.push_back(std::move(chart));
  const int columns = std::min(3, static_cast<int>(charts.size() / 2));
  return svg ? to_svg(charts, std::max(1, columns), kSmall) : to_png(charts, std::max(1, columns), kSmall);
}

std::string values_picture(const Comparison& c, bool svg) {
  const std::vector<Chart> charts = value_charts(c);
  if (charts.empty()) return "";
  return svg ? to_svg(charts, 1) : to_png(charts, 1);
}

}  // namespace sigma::app
