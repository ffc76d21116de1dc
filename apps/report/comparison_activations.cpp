// What flows through a network while it trains, with batch norm and without (figure 1 of Ioffe and Szegedy
// 2015).
#include <algorithm>
#include <cmath>

#include "apps/report/comparison_parts.h"

namespace sigma::app {
namespace {

bool has_values(const Comparison& c, size_t arm) {
  const auto runs = c.of(arm);
  return !runs.empty() && !c.arms[arm].histogram_layer.empty() && !runs[0]->last_in.share.empty();
}

// The arm that differs in batch norm alone; none, or one without values.
std::optional<size_t> twin_of(const Comparison& c, size_t arm) {
  for (size_t b = 0; b < c.arms.size(); ++b) {
    if (b == arm || !c.arms[arm].of("batch-norm")) continue;
    bool same = true;
    for (const Setting& s : c.arms[arm].settings)
      same &= s.flag == "batch-norm" || (c.arms[b].of(s.flag) && c.arms[b].of(s.flag)->value == s.value);
    if (same && has_values(c, b)) return b;
  }
  return {};
}

// Pairs that stand beside each other, each a row; of one where there is no twin.
std::vector<std::vector<size_t>> pairs_of(const Comparison& c) {
  std::vector<std::vector<size_t>> rows;
  for (size_t a = 0; a < c.arms.size(); ++a) {
    if (!has_values(c, a)) continue;
    const std::optional<size_t> twin = twin_of(c, a);
    if (twin && !c.arms[a].batch_norm) continue;  // it stands beside the other
    rows.push_back(twin ? std::vector<size_t>{a, *twin} : std::vector<size_t>{a});
  }
  return rows;
}

Limits limits_of(const ArmRun& r) {
  Limits l;
  for (double v : r.p15) l.take(v);
  for (double v : r.p85) l.take(v);
  return l;
}

// Of most of its band: a run that diverges leaves it at the end.
Limits usual_limits_of(const ArmRun& r) {
  auto quantile = [](std::vector<double> v, size_t quarter) {
    std::erase_if(v, [](double x) { return !std::isfinite(x); });
    std::sort(v.begin(), v.end());
    return v.empty() ? std::nan("") : v[(v.size() - 1) * quarter / 4];
  };
  return {quantile(r.p15, 1), quantile(r.p85, 3)};
}

// The axis of a row: that of the first with some room. What is many times as wide does not make that one a
// flat line: it is cut, and said to be.
Limits axis_of(const Comparison& c, const std::vector<size_t>& row) {
  Limits all;
  for (size_t a : row) {
    const Limits l = limits_of(*c.of(a)[0]);
    all.take(l.low);
    all.take(l.high);
  }
  if (!(all.low <= all.high)) return {-1, 1};
  const Limits first = usual_limits_of(*c.of(row[0])[0]);
  Limits axis = all;
  if (first.low <= first.high) {
    const double room = 1.5 * std::max(first.high - first.low, 1e-3);
    axis = {std::max(all.low, first.low - room), std::min(all.high, first.high + room)};
  }
  const double pad = .05 * std::max(axis.high - axis.low, 1e-3);
  return {axis.low - pad, axis.high + pad};
}

Chart bands(const Comparison& c, size_t arm, const Limits& axis) {
  const ArmRun& r = *c.of(arm)[0];
  Chart chart{c.arms[arm].label(), "training step", "value"};
  chart.y_min = axis.low;
  chart.y_max = axis.high;
  const std::vector<double> x(r.step.begin(), r.step.end());
  const Color color = palette(c.arms[arm].batch_norm ? 0 : 1);
  chart.series = {{"median", x, r.p50, r.p15, r.p85, color},
                  {"15 and 85 of 100 values", x, r.p15, {}, {}, color, true},
                  {"", x, r.p85, {}, {}, color, true}};
  const Limits own = limits_of(r);
  auto beyond = [&](const char* words, double most, double edge, const std::vector<double>& values) {
    const auto at = static_cast<size_t>(std::find(values.begin(), values.end(), most) - values.begin());
    if (at < x.size()) chart.marks.push_back({x[at], edge, fmt::format("{} {:.3g}", words, most), color});
  };
  if (own.high > axis.high) beyond("up to", own.high, axis.high, r.p85);
  if (own.low < axis.low) beyond("down to", own.low, axis.low, r.p15);
  if (r.diverged_at >= 0)
    chart.marks.push_back({static_cast<double>(r.diverged_at), axis.high,
                           fmt::format("diverged at step {}", r.diverged_at), color});
  return chart;
}

Series stairs(const std::string& label, const Histogram& h, Color color) {
  Series s{label, {}, {}, {}, {}, color};
  const double width = (h.high - h.low) / static_cast<double>(std::max<size_t>(1, h.share.size()));
  for (size_t i = 0; i < h.share.size(); ++i) {
    const double left = h.low + width * static_cast<double>(i);
    s.x.insert(s.x.end(), {left, left + width});
    s.y.insert(s.y.end(), {100 * h.share[i], 100 * h.share[i]});
  }
  return s;
}

}  // namespace

std::vector<Chart> activation_charts(const Comparison& c) {
  std::vector<Chart> charts;
  for (const std::vector<size_t>& row : pairs_of(c)) {
    const Limits axis = axis_of(c, row);
    for (size_t a : row) charts.push_back(bands(c, a, axis));
  }
  return charts;
}

std::vector<Chart> histogram_charts(const Comparison& c) {
  std::vector<Chart> charts;
  for (const std::vector<size_t>& row : pairs_of(c))
    for (size_t a : row) {
      const ArmRun& r = *c.of(a)[0];
      Chart h{c.arms[a].label(), "value (those beyond in the end bins)", "share of values (%)"};
      h.filled = true;
      if (c.arms[a].batch_norm)
        h.series = {stairs("before, untrained", r.first_in, palette(6)),
                    stairs("before, trained", r.last_in, palette(1)),
                    stairs("after, trained", r.last_out, palette(0))};
      else
        h.series = {stairs("untrained", r.first_in, palette(6)), stairs("trained", r.last_in, palette(1))};
      charts.push_back(std::move(h));
    }
  return charts;
}

std::string activations_picture(const Comparison& c, bool svg) {
  std::vector<Chart> charts = activation_charts(c);
  for (Chart& h : histogram_charts(c)) charts.push_back(std::move(h));
  if (charts.empty()) return "";
  return svg ? to_svg(charts, 2, kSmall) : to_png(charts, 2, kSmall);
}

}  // namespace sigma::app
