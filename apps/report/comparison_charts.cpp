// The pictures of a comparison.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "apps/report/comparison.h"
#include "apps/report/plot.h"

namespace sigma::app {
namespace {

// Colour by normalization and learning rate, solid with batch norm, dashed without.
Series styled(const Comparison& c, size_t arm) {
  Series s;
  s.label = c.arms[arm].label();
  s.dashed = !c.arms[arm].batch_norm;
  std::vector<std::pair<std::string, double>> kinds;
  for (const Arm& a : c.arms)
    if (std::pair key{a.normalize, a.lr}; std::find(kinds.begin(), kinds.end(), key) == kinds.end())
      kinds.push_back(key);
  std::pair key{c.arms[arm].normalize, c.arms[arm].lr};
  s.color = palette(static_cast<size_t>(std::find(kinds.begin(), kinds.end(), key) - kinds.begin()));
  return s;
}

// Mean and range over the seeds of one measured quantity; a run that diverged has no values after that.
Series over_seeds(const Comparison& c, size_t arm,
                  const std::function<const std::vector<double>&(const ArmRun&)>& of, double factor = 1) {
  Series s = styled(c, arm);
  auto runs = c.of(arm);
  size_t longest = 0;
  for (const ArmRun* r : runs) longest = std::max(longest, r->step.size());
  for (size_t i = 0; i < longest; ++i) {
    double sum = 0, low = INFINITY, high = -INFINITY, at = 0;
    int n = 0;
    for (const ArmRun* r : runs) {
      if (i >= r->step.size()) continue;
      at = static_cast<double>(r->step[i]);
      double v = of(*r)[i] * factor;
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
  return s;
}

std::vector<Chart> curve_charts(const Comparison& c) {
  std::string seeds = fmt::format("mean and range of {} seed{}", c.seeds, c.seeds > 1 ? "s" : "");
  Chart a{fmt::format("Test accuracy: {} on {} ({})", c.model, c.data, seeds), "training step",
          "test accuracy (%)"};
  a.y_min = 0;
  a.y_max = 100;
  Chart l{"Training loss", "training step", "cross-entropy (nats, log scale)"};
  l.log_y = true;
  for (size_t i = 0; i < c.arms.size(); ++i) {
    a.series.push_back(over_seeds(
        c, i, [](const ArmRun& r) -> auto& { return r.accuracy; }, 100));
    l.series.push_back(over_seeds(
        c, i, [](const ArmRun& r) -> auto& { return r.loss; }));
  }
  return {a, l};
}

Series bars(const std::string& label, const Histogram& h, Color color) {
  Series s{label};
  s.color = color;
  double width = (h.high - h.low) / static_cast<double>(std::max<size_t>(1, h.share.size()));
  for (size_t i = 0; i < h.share.size(); ++i) {  // stairs
    double left = h.low + width * static_cast<double>(i);
    s.x.insert(s.x.end(), {left, left + width});
    s.y.insert(s.y.end(), {100 * h.share[i], 100 * h.share[i]});
  }
  return s;
}

// For each normalization of the input, at the first learning rate: what enters and leaves the chosen batch
// norm, and the same place without it; then the 15, 50 and 85% percentiles over training (figure 1 of Ioffe
// and Szegedy 2015).
std::vector<Chart> histogram_charts(const Comparison& c) {
  std::vector<Chart> charts;
  for (size_t a = 0; a < c.arms.size(); ++a) {
    if (c.arms[a].lr != c.arms[0].lr || c.of(a).empty() || c.of(a)[0]->first_in.share.empty()) continue;
    const ArmRun& r = *c.of(a)[0];
    Chart h{fmt::format("{}: values at {}", c.arms[a].label(), c.arms[a].histogram_layer),
            "value (outliers in the end bins)", "share of values (%)"};
    h.filled = true;
    if (c.arms[a].batch_norm) {
      h.series = {bars("before, untrained", r.first_in, palette(6)),
                  bars("before, trained", r.last_in, palette(1)),
                  bars("after, trained", r.last_out, palette(0))};
    } else {
      h.series = {bars("untrained", r.first_in, palette(6)), bars("trained", r.last_in, palette(1))};
    }
    charts.push_back(h);
    Chart p{"The same place over training: 15, 50, 85% percentiles", "training step", "value"};
    std::vector<double> x(r.step.begin(), r.step.end());
    for (auto [name, values] : {std::pair{"15%", &r.p15}, {"50%", &r.p50}, {"85%", &r.p85}}) {
      Series s{name, x, *values, {}, {}, palette(p.series.size())};
      p.series.push_back(s);
    }
    charts.push_back(p);
  }
  return charts;
}

// The rate over the run, when there is only one.
Chart schedule_chart(const Comparison& c) {
  Chart s{"Learning rate over the run: " + c.schedule, "training step", "learning rate"};
  Series line{"", {}, {}, {}, {}, palette(0)};
  for (int64_t i = 0; i < c.steps; i += std::max<int64_t>(1, c.steps / 300)) {
    line.x.push_back(static_cast<double>(i));
    line.y.push_back(c.rates.at(static_cast<size_t>(i)));
  }
  s.y_min = 0;
  s.series = {line};
  return s;
}

std::vector<Chart> learning_rate_charts(const Comparison& c) {
  std::vector<double> rates;
  for (const Arm& a : c.arms)
    if (std::find(rates.begin(), rates.end(), a.lr) == rates.end()) rates.push_back(a.lr);
  std::sort(rates.begin(), rates.end());
  if (rates.size() < 2) return {schedule_chart(c)};
  Chart s{"Final test accuracy by learning rate", "learning rate (log scale)", "test accuracy (%)"};
  s.log_x = true;
  s.y_min = 0;
  s.y_max = 100;
  std::vector<std::pair<bool, std::string>> kinds;
  for (size_t a = 0; a < c.arms.size(); ++a) {
    std::pair key{c.arms[a].batch_norm, c.arms[a].normalize};
    if (std::find(kinds.begin(), kinds.end(), key) != kinds.end()) continue;
    kinds.push_back(key);
    Series line{fmt::format("{} · {}", key.first ? "batch norm" : "no batch norm", key.second)};
    line.dashed = !key.first;
    size_t color = 0;
    for (size_t k = 0; k + 1 < kinds.size(); ++k) color += kinds[k].first == kinds.back().first;
    line.color = palette(color);
    for (double lr : rates)
      for (size_t b = 0; b < c.arms.size(); ++b) {
        if (c.arms[b].lr != lr || c.arms[b].batch_norm != key.first || c.arms[b].normalize != key.second)
          continue;
        double sum = 0, low = 1, high = 0;
        for (const ArmRun* r : c.of(b)) {
          sum += r->test_accuracy;
          low = std::min(low, r->test_accuracy);
          high = std::max(high, r->test_accuracy);
        }
        line.x.push_back(lr);
        line.y.push_back(100 * sum / static_cast<double>(c.of(b).size()));
        line.low.push_back(100 * low);
        line.high.push_back(100 * high);
      }
    s.series.push_back(line);
  }
  return {s};
}

}  // namespace

std::string curves_picture(const Comparison& c, bool svg) {
  return svg ? to_svg(curve_charts(c), 2) : to_png(curve_charts(c), 2);
}
std::string histograms_picture(const Comparison& c, bool svg) {
  return svg ? to_svg(histogram_charts(c), 2) : to_png(histogram_charts(c), 2);
}
std::string learning_rate_picture(const Comparison& c, bool svg) {
  return svg ? to_svg(learning_rate_charts(c), 1) : to_png(learning_rate_charts(c), 1);
}

}  // namespace sigma::app
