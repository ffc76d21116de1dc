// The table and the page that `compare` writes.
#include <algorithm>
#include <cmath>

#include "apps/report/plot.h"
#include "apps/verbs/compare.h"
#include "apps/verbs/verbs.h"
#include "core/text.h"

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
      sum += v, low = std::min(low, v), high = std::max(high, v), ++n;
    }
    s.x.push_back(at);
    s.y.push_back(n ? sum / n : std::nan(""));
    s.low.push_back(n ? low : std::nan(""));
    s.high.push_back(n ? high : std::nan(""));
  }
  return s;
}

std::vector<Chart> curve_charts(const Comparison& c) {
  std::string seeds =
      fmt::format("mean and range of {} seed{}", c.options.seeds, c.options.seeds > 1 ? "s" : "");
  Chart a{fmt::format("Test accuracy: {} on {} ({})", c.model, c.data, seeds), "training step",
          "test accuracy (%)"};
  a.y_min = 0, a.y_max = 100;
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
    if (c.arms[a].lr != c.arms[0].lr || c.of(a).empty()) continue;
    const ArmRun& r = *c.of(a)[0];
    Chart h{fmt::format("{}: values at {}", c.arms[a].label(), c.histogram_layer),
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

std::vector<Chart> learning_rate_charts(const Comparison& c) {
  std::vector<double> rates;
  for (const Arm& a : c.arms)
    if (std::find(rates.begin(), rates.end(), a.lr) == rates.end()) rates.push_back(a.lr);
  std::sort(rates.begin(), rates.end());
  if (rates.size() < 2) {
    Chart s{"Learning rate over the run: " + c.options.schedule, "training step", "learning rate"};
    LrSchedule schedule{parse_schedule(c.options.schedule), c.steps, c.options.warmup};
    Series line{"", {}, {}, {}, {}, palette(0)};
    for (int64_t i = 0; i < c.steps; i += std::max<int64_t>(1, c.steps / 300)) {
      line.x.push_back(static_cast<double>(i));
      line.y.push_back(schedule.at(i, c.arms[0].lr));
    }
    s.y_min = 0;
    s.series = {line};
    return {s};
  }
  Chart s{"Final test accuracy by learning rate", "learning rate (log scale)", "test accuracy (%)"};
  s.log_x = true, s.y_min = 0, s.y_max = 100;
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
        for (const ArmRun* r : c.of(b))
          sum += r->test_accuracy, low = std::min(low, r->test_accuracy),
                                   high = std::max(high, r->test_accuracy);
        line.x.push_back(lr);
        line.y.push_back(100 * sum / static_cast<double>(c.of(b).size()));
        line.low.push_back(100 * low), line.high.push_back(100 * high);
      }
    s.series.push_back(line);
  }
  return {s};
}

struct Row {
  std::string arm, accuracy, range, diverged, ms;
  std::vector<std::string> steps, seconds;
};

// The median over seeds; a run that never got there counts as infinitely late.
std::string median(std::vector<double> v, const char* format) {
  std::sort(v.begin(), v.end());
  double m = v[v.size() / 2];
  if (v.size() % 2 == 0) m = (m + v[v.size() / 2 - 1]) / 2;
  return std::isfinite(m) ? fmt::format(fmt::runtime(format), m) : "never";
}

std::vector<Row> rows_of(const Comparison& c) {
  std::vector<Row> rows;
  for (size_t a = 0; a < c.arms.size(); ++a) {
    auto runs = c.of(a);
    Row row;
    row.arm = c.arms[a].label();
    double sum = 0, low = 1, high = 0, ms = 0;
    int diverged = 0;
    for (const ArmRun* r : runs) {
      sum += r->test_accuracy, low = std::min(low, r->test_accuracy), high = std::max(high, r->test_accuracy);
      ms += r->ms_per_step;
      diverged += r->diverged_at >= 0;
    }
    auto n = static_cast<double>(runs.size());
    row.accuracy = fmt::format("{:.2f}%", 100 * sum / n);
    row.range = fmt::format("{:.2f} to {:.2f}", 100 * low, 100 * high);
    row.diverged = diverged ? fmt::format("{} of {}", diverged, runs.size()) : "none";
    row.ms = fmt::format("{:.2f}", ms / n);
    for (double t : kThresholds) {
      std::vector<double> steps, seconds;
      for (const ArmRun* r : runs) {
        bool reached = r->steps_to(t) >= 0;
        steps.push_back(reached ? static_cast<double>(r->steps_to(t)) : INFINITY);
        seconds.push_back(reached ? r->seconds_to(t) : INFINITY);
      }
      row.steps.push_back(median(steps, "{:.0f}"));
      row.seconds.push_back(median(seconds, "{:.1f}"));
    }
    rows.push_back(row);
  }
  return rows;
}

// The command that repeats the run.
std::string command_line(const Comparison& c) {
  std::string text = "sigma compare";
  Json flags = flags_json(c.options);
  for (auto& [key, value] : flags.items()) {
    if (value.is_array()) {
      if (!value.empty()) text += fmt::format(" --{} {}", key, join(value.get<std::vector<double>>(), ","));
    } else if (value.is_boolean()) {
      if (value.get<bool>()) text += " --" + key;
    } else if (key != "data-dir" && value != Json(-1)) {
      text += fmt::format(" --{} {}", key, value.is_string() ? value.get<std::string>() : value.dump());
    }
  }
  if (!c.options.histogram_layer.empty()) text += " --histogram-layer " + c.options.histogram_layer;
  return text + fmt::format(" --seeds {}", c.options.seeds);
}

size_t width(const std::string& s) {  // code points
  return static_cast<size_t>(std::count_if(
      s.begin(), s.end(), [](char ch) { return (static_cast<unsigned char>(ch) & 0xc0) != 0x80; }));
}

std::string html(const std::string& text) {
  std::string out;
  for (char ch : text) {
    if (ch == '<')
      out += "&lt;";
    else if (ch == '&')
      out += "&amp;";
    else
      out += ch;
  }
  return out;
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

std::string table_text(const Comparison& c) {
  std::vector<std::vector<std::string>> cells{{"arm", "test accuracy", "range over seeds", "steps to 90%",
                                               "95%", "97%", "98%", "s to 90%", "ms/step", "diverged"}};
  for (const Row& r : rows_of(c))
    cells.push_back({r.arm, r.accuracy, r.range, r.steps[0], r.steps[1], r.steps[2], r.steps[3], r.seconds[0],
                     r.ms, r.diverged});
  std::vector<size_t> widths(cells[0].size(), 0);
  for (auto& row : cells)
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  std::string text;
  for (auto& row : cells) {
    for (size_t i = 0; i < row.size(); ++i) {
      std::string pad(widths[i] - width(row[i]), ' ');
      text += i == 0 ? row[i] + pad : "  " + pad + row[i];
    }
    text += "\n";
  }
  return text;
}

std::string report_html(const Comparison& c) {
  std::string page = R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>sigma: convergence with and without batch normalization</title>
<style>
body{font:16px/1.5 "DejaVu Sans",Verdana,sans-serif;color:#222;max-width:1320px;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;font-size:14px}th,td{padding:.3rem .7rem;text-align:right;border-bottom:1px solid #e2e2e2}
th:first-child,td:first-child{text-align:left}svg{max-width:100%;height:auto}pre{background:#f6f6f6;padding:1rem;overflow:auto}
h2{margin-top:2.2rem}
</style></head><body>
)";
  page += fmt::format(
      "<h1>Convergence with and without batch normalization</h1>\n<p><b>{}</b> ({} parameters with batch "
      "norm) on <b>{}</b>: {} arms, {} seeds, "
      "{} steps of {} images each. Within a seed every arm starts from the same weights and sees the same "
      "samples in the same "
      "order. Accuracy was measured every {} steps.</p>\n",
      html(c.model), c.parameters, html(c.data), c.arms.size(), c.options.seeds, c.steps,
      c.options.batch_size, c.eval_every);
  page +=
      "<h2>Curves</h2>\n<p>Solid: with batch norm; dashed: without. Lines are means over the seeds, shades "
      "their range.</p>\n" +
      curves_picture(c, true);
  page +=
      "<h2>Steps and seconds to an accuracy</h2>\n<p>Medians over the seeds; \"never\" where most runs did "
      "not get there. Seconds are of training alone.</p>"
      "\n<table><tr><th>arm</th><th>test accuracy</th><th>range</th>";
  for (double t : kThresholds) page += fmt::format("<th>steps to {:.0f}%</th>", 100 * t);
  for (double t : kThresholds) page += fmt::format("<th>s to {:.0f}%</th>", 100 * t);
  page += "<th>ms a step</th><th>diverged</th></tr>\n";
  for (const Row& r : rows_of(c)) {
    page += fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td>", html(r.arm), r.accuracy, r.range);
    for (auto& s : r.steps) page += fmt::format("<td>{}</td>", s);
    for (auto& s : r.seconds) page += fmt::format("<td>{}</td>", s);
    page += fmt::format("<td>{}</td><td>{}</td></tr>\n", r.ms, r.diverged);
  }
  page += fmt::format(
      "</table>\n<h2>Activations before and after {}</h2>\n<p>Values on 200 test images, first seed. Without "
      "batch norm: the output of the layer "
      "before it, at the same place.</p>\n",
      html(c.histogram_layer));
  page += histograms_picture(c, true);
  page += "<h2>Learning rate</h2>\n" + learning_rate_picture(c, true);
  page += "<h2>What was run</h2>\n<pre>" + html(command_line(c)) + "</pre>\n<pre>" +
          html(c.environment.dump(2)) + "</pre>\n</body></html>\n";
  return page;
}

}  // namespace sigma::app
