// The table and the page of a comparison.
#include <algorithm>
#include <cmath>

#include "apps/report/comparison_parts.h"
#include "apps/report/csv.h"
#include "apps/report/words.h"

namespace sigma::app {
namespace {

// What both tables say of an arm.
struct Row {
  std::string arm, accuracy, range, diverged, ms;
};

Row row_of(const Comparison& c, size_t arm) {
  const Final f = final_of(c, arm);
  double ms = 0;
  for (const ArmRun* r : c.of(arm)) ms += r->ms_per_step / static_cast<double>(f.runs);
  return {c.arms[arm].label(), fmt::format("{:.2f}%", 100 * f.mean),
          fmt::format("{:.2f} to {:.2f}", 100 * f.low, 100 * f.high),
          f.diverged > 0 ? fmt::format("{} of {}", f.diverged, f.runs) : "none", fmt::format("{:.2f}", ms)};
}

// "40", or what stands for infinity.
std::string reached(double v, const char* format, const char* never) {
  return std::isfinite(v) ? fmt::format(fmt::runtime(format), v) : never;
}

std::vector<Figure> figures_of(const std::vector<Chart>& charts,
                               const std::vector<std::string>& captions = {}) {
  std::vector<Figure> figures;
  for (size_t i = 0; i < charts.size(); ++i)
    figures.push_back({to_svg({charts[i]}, 1, kSmall), i < captions.size() ? captions[i] : ""});
  return figures;
}

// Below each picture of the accuracy what its lines came to.
std::vector<std::string> final_captions(const Comparison& c) {
  const Panels panels = panels_of(c);
  std::vector<std::string> all;
  for (const Panel& panel : panels.all) {
    std::string text;
    for (size_t a : panel.arms) {
      const Final f = final_of(c, a);
      text += fmt::format("{}{}: {:.1f}%", text.empty() ? "In the end, " : "; ", line_words(c, panels, a),
                          100 * f.mean);
      if (f.runs > 1) text += fmt::format(" ({:.1f} to {:.1f})", 100 * f.low, 100 * f.high);
    }
    all.push_back(text + ".");
  }
  return all;
}

void add_samples(Page& page, const Comparison& c) {
  if (c.samples.empty()) return;
  page.section("The images, as the network gets them");
  std::vector<Figure> figures;
  for (const Sample& s : c.samples)
    figures.push_back({pictures_html(s.images, 56, s.words),
                       fmt::format("{}: values from {:.3g} to {:.3g}, mean {:.2f}, deviation {:.2f}", s.words,
                                   s.low, s.high, s.mean, s.deviation)});
  page.figures(figures, figures.size() == 3 ? 3 : 2);
}

void add_curves(Page& page, const Comparison& c) {
  page.section("While they learn");
  const std::vector<Chart> accuracy = accuracy_charts(c);
  std::string text =
      fmt::format("Share of the {} images that are named right, over the steps of the training.", c.measured);
  if (c.seeds > 1) text += fmt::format(" Lines are means over {} seeds, shades their range.", c.seeds);
  if (accuracy.size() > 1) text += " All pictures have the same axes.";
  if (std::any_of(c.runs.begin(), c.runs.end(), [](const ArmRun& r) { return r.diverged_at >= 0; }))
    text += " A cross is a run that diverged: its loss was no number any more.";
  page.paragraph(text);
  const int columns = accuracy.size() % 3 == 0 || accuracy.size() > 4 ? 3 : 2;
  const std::vector<Figure> learned = figures_of(accuracy, final_captions(c));
  std::vector<Figure> lost = figures_of(loss_charts(c));
  if (learned.size() == 1) {  // side by side
    lost[0].caption = "The loss on the training images, on a logarithmic axis.";
    page.figures({learned[0], lost[0]});
    return;
  }
  page.figures(learned, columns);
  page.paragraph("The loss on the training images, on a logarithmic axis:");
  page.figures(lost, columns);
}

void add_table(Page& page, const Comparison& c) {
  page.section("How soon");
  const std::vector<double> thresholds = thresholds_of(c, 3);
  const bool several = c.seeds > 1;
  std::vector<std::string> header{"", c.measured + " accuracy"};
  if (several) header.push_back("range over seeds");
  for (double t : thresholds) header.push_back(fmt::format("steps to {:.0f}%", 100 * t));
  for (double t : thresholds) header.push_back(fmt::format("s to {:.0f}%", 100 * t));
  header.push_back("ms a step");
  const bool diverged =
      std::any_of(c.runs.begin(), c.runs.end(), [](const ArmRun& r) { return r.diverged_at >= 0; });
  if (diverged) header.push_back("diverged");
  std::vector<std::vector<std::string>> rows;
  for (size_t a = 0; a < c.arms.size(); ++a) {
    const Row r = row_of(c, a);
    std::vector<std::string> row{r.arm, r.accuracy};
    if (several) row.push_back(r.range);
    for (double t : thresholds) row.push_back(reached(median_steps_to(c, a, t), "{:.0f}", "not reached"));
    for (double t : thresholds) row.push_back(reached(median_seconds_to(c, a, t), "{:.1f}", "not reached"));
    row.push_back(r.ms);
    if (diverged) row.push_back(r.diverged == "none" ? "no" : r.diverged);
    rows.push_back(std::move(row));
  }
  page.paragraph(fmt::format("{}Seconds are of training alone, with other runs beside it.",
                             c.seeds > 1 ? "Medians over the seeds. " : ""));
  page.table(header, rows);
}

void add_activations(Page& page, const Comparison& c) {
  const std::vector<Chart> charts = activation_charts(c);
  if (charts.empty()) return;
  page.section("Inside the network");
  page.paragraph(
      fmt::format("What leaves {} while the network trains: the median of its values on 200 {} images and, "
                  "as a band, the middle "
                  "70 of 100. With batch norm it is what the norm makes of them from the batch at hand, as "
                  "in training; without, "
                  "the same place in the network. A band that stays where it is gives the layers behind it "
                  "something steady to "
                  "learn from.",
                  c.drawing.empty()
                      ? "the layer " + c.histogram_layer
                      : fmt::format("the layer {}, which is marked in the drawing below,", c.histogram_layer),
                  c.measured));
  page.figures(figures_of(charts));
  page.begin_fold("The same values as histograms, before and after training");
  page.figures(figures_of(histogram_charts(c)));
  page.end_fold();
}

}  // namespace

std::string table_text(const Comparison& c) {
  std::vector<std::vector<std::string>> cells{{"arm", c.measured + " accuracy", "range over seeds",
                                               "steps to 90%", "95%", "97%", "98%", "s to 90%", "ms/step",
                                               "diverged"}};
  for (size_t a = 0; a < c.arms.size(); ++a) {
    const Row r = row_of(c, a);
    std::vector<std::string> row{r.arm, r.accuracy, r.range};
    for (double t : kThresholds) row.push_back(reached(median_steps_to(c, a, t), "{:.0f}", "never"));
    row.push_back(reached(median_seconds_to(c, a, kThresholds[0]), "{:.1f}", "never"));
    row.insert(row.end(), {r.ms, r.diverged});
    cells.push_back(std::move(row));
  }
  return columns_text(cells);
}

std::string report_html(const Comparison& c) {
  const bool norms = !c.arms.empty() && c.arms[0].of("batch-norm");
  Page page(norms ? "With and without batch normalization" : "What makes a difference");
  page.finding(finding_of(c));
  page.tiles(tiles_of(c));
  page.paragraph(
      fmt::format("{} on {}: {}, each trained for {} of {}{}. Within a seed all begin with the same weights "
                  "and see the same images in "
                  "the same order. Accuracy was measured every {}.",
                  c.model, c.data, count_text(static_cast<int64_t>(c.arms.size()), "setting"),
                  count_text(c.steps, "step"), count_text(c.batch_size, "image"),
                  c.seeds > 1 ? fmt::format(", with {} seeds", c.seeds) : "",
                  c.eval_every == 1 ? "step" : count_text(c.eval_every, "step")));
  add_samples(page, c);
  add_curves(page, c);
  add_table(page, c);
  add_activations(page, c);
  if (const std::vector<Chart> charts = value_charts(c); !charts.empty()) {
    page.section("By the numbers that were tried");
    page.figures(figures_of(charts));
  }
  if (const std::vector<Chart> charts = schedule_charts(c); !charts.empty()) {
    page.section("The learning rate over the run");
    page.figures(figures_of(charts));
  }
  if (!c.drawing.empty()) {
    page.section("The network");
    page.figures({{c.drawing,
                   fmt::format("{}, {} parameters.{}", c.model, thousands(c.parameters),
                               c.histogram_layer.empty() ? "" : " Marked: the layer that was looked into."),
                   true}});
  }
  page.section("To repeat it");
  page.preformatted(c.command);
  page.preformatted(c.environment, "The machine and the versions");
  return page.html();
}

}  // namespace sigma::app
