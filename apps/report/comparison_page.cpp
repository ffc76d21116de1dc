// The table and the page of a comparison.
#include <algorithm>
#include <cmath>

#include "apps/report/comparison.h"

namespace sigma::app {
namespace {

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
      sum += r->test_accuracy;
      low = std::min(low, r->test_accuracy);
      high = std::max(high, r->test_accuracy);
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

std::string table_text(const Comparison& c) {
  std::vector<std::vector<std::string>> cells{{"arm", c.measured + " accuracy", "range over seeds",
                                               "steps to 90%", "95%", "97%", "98%", "s to 90%", "ms/step",
                                               "diverged"}};
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
      "norm) on <b>{}</b>: {} arms, {} seeds, {} steps of {} images each. Within a seed every arm starts "
      "from "
      "the same weights and sees the same samples in the same order. Accuracy was measured every {} "
      "steps.</p>\n",
      html(c.model), c.parameters, html(c.data), c.arms.size(), c.seeds, c.steps, c.batch_size, c.eval_every);
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
  page += "</table>\n";
  if (!c.histogram_layer.empty())
    page += fmt::format(
        "<h2>Activations before and after {}</h2>\n<p>Values on 200 {} images, first seed. Without "
        "batch norm: the output of the layer "
        "before it, at the same place.</p>\n{}",
        html(c.histogram_layer), c.measured, histograms_picture(c, true));
  page += "<h2>Learning rate</h2>\n" + learning_rate_picture(c, true);
  page += "<h2>What was run</h2>\n<pre>" + html(c.command) + "</pre>\n<pre>" + html(c.environment) +
          "</pre>\n</body></html>\n";
  return page;
}

}  // namespace sigma::app
