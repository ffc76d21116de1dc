// The first figure of Ioffe and Szegedy 2015 as numbers: accuracy over the steps, and how the distribution of
// what a unit's sigmoid gets moves while the layers below it learn.
#include <algorithm>
#include <cmath>

#include "apps/experiments/experiment.h"
#include "apps/training/measures.h"

namespace sigma::app {
namespace {

constexpr int64_t kSettled = 1000;  // the drift is that of the steps after this one

// How far the median of the last sigmoids' inputs travels; see percentile_drift.
double drift_of(const ArmRun& run) {
  if (run.diverged_at >= 0) return std::nan("");
  std::vector<double> q15, q50, q85;
  for (size_t i = 0; i < run.step.size(); ++i) {
    if (run.step[i] < kSettled) continue;
    q15.push_back(run.p15[i]);
    q50.push_back(run.p50[i]);
    q85.push_back(run.p85[i]);
  }
  return percentile_drift(q15, q50, q85);
}

Chart percentile_chart(const ArmRun& run, const std::string& title) {
  Chart chart{title, "steps", "input of the last sigmoids", {}};
  const std::vector<double>* const of[] = {&run.p15, &run.p50, &run.p85};
  const char* const words[] = {"15th percentile", "median", "85th percentile"};
  for (size_t q = 0; q < 3; ++q) {
    Series line;
    line.label = words[q];
    line.color = palette(q);
    line.x.assign(run.step.begin(), run.step.end());
    line.y = *of[q];
    chart.series.push_back(line);
  }
  return chart;
}

Outcome measure(Laboratory& lab) {
  const bool full = lab.extent().name == "full";
  const Comparison c =
      lab.compare("runs", {"--data",         "mnist",       "--normalize",  "unit",
                           "--batch-size",   "60",          "--model",      "sigmoid-mlp",
                           "--init",         "normal:0.05", "--lr",         "0.1",
                           "--schedule",     "constant",    "--momentum",   "0",
                           "--weight-decay", "0",           "--batch-norm", "on,off",
                           "--eval-images",  "0",           "--eval-every", full ? "500" : "100"});
  const auto on = runs_where(c, {{"batch-norm", "on"}}), off = runs_where(c, {{"batch-norm", "off"}});
  const double accuracy = full ? 0.97 : 0.9, never = static_cast<double>(c.steps);
  const std::vector<double> fast = steps_to(on, accuracy), slow = steps_to(off, accuracy);
  std::vector<double> drifts[2];
  size_t sooner = 0, higher = 0, steadier = 0;
  for (size_t i = 0; i < on.size(); ++i) {
    drifts[0].push_back(drift_of(*off[i]));
    drifts[1].push_back(drift_of(*on[i]));
    sooner += fast[i] <= std::min(slow[i], never) / 2 ? 1 : 0;
    higher += on[i]->test_accuracy >= off[i]->test_accuracy + 0.005 && (!full || on[i]->steps_to(0.98) >= 0)
                  ? 1
                  : 0;
    steadier += drifts[1][i] < drifts[0][i] ? 1 : 0;
  }
  Outcome o;
  o.verdict = verdict_of(sooner + higher + steadier, 3 * on.size());
  o.why = fmt::format(
      "Of {} seeds batch norm reached {:.0f}% in at most half of the steps in {}, ended high enough in {}, "
      "and had the smaller drift of percentiles in {}.",
      on.size(), 100 * accuracy, sooner, higher, steadier);
  o.findings = {
      {fmt::format("steps to {:.0f}%, with batch norm", 100 * accuracy), "", median_text(fast)},
      {fmt::format("steps to {:.0f}%, without", 100 * accuracy), "", median_text(slow)},
      {"steps to 98%, with batch norm", "", median_text(steps_to(on, 0.98))},
      {fmt::format("accuracy after {} steps, with batch norm", c.steps), "", percent_range(accuracies(on))},
      {fmt::format("accuracy after {} steps, without", c.steps), "", percent_range(accuracies(off))},
      {"drift of the median over its width, with batch norm", "\"much more stable\"",
       median_text(drifts[1], "{:.2f}")},
      {"drift of the median over its width, without", "", median_text(drifts[0], "{:.2f}")}};
  add_curves(o, c, "accuracy");
  o.plates.push_back({"percentiles-with", "The first seed: what the last sigmoids get, all units together.",
                      percentile_chart(*on[0], "with batch norm")});
  o.plates.push_back({"percentiles-without",
                      "The first seed: what the last sigmoids get, all units together.",
                      percentile_chart(*off[0], "without batch norm")});
  o.notes.push_back(
      "The paper shows one typical unit and gives neither the rate nor the deviation of the initial weights; "
      "here they are 0.1 and 0.05, of plain gradient descent, and the percentiles are those of all units of "
      "the layer.");
  return o;
}

const RegisterExperiment ioffe_percentiles(
    {.place = 12,
     .name = "ioffe-percentiles",
     .paper = "Ioffe and Szegedy 2015, figure 1 (arXiv 1502.03167)",
     .claim = "With batch norm the network of sigmoids learns faster and ends higher, and the inputs of its "
              "last sigmoids move less while it learns.",
     .rule = "In every seed, of 50,000 steps: batch norm reaches 97% in at most half of the steps, ends at "
             "least 0.5 points higher and reaches 98%, and the drift of the percentiles after step 1,000 is "
             "smaller. Of the reduced 6,000 steps: 90% in at most half of the steps (never counts as the "
             "length of the run), at least 0.5 points higher, and the same of the drift.",
     .data = "mnist",
     .extents = {{"reduced", "6,000 steps instead of 50,000", 6000, 5, 2}, {"full", "", 50000, 3, 10}},
     .measure = measure});

}  // namespace
}  // namespace sigma::app
