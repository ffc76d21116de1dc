// State, running statistics, and variances with and without Bessel's correction.
#include <cmath>

#include "apps/report/words.h"
#include "apps/verbs/inspect_parts.h"

namespace sigma::app {
namespace {

std::string final_words(const StatisticsStep& s, size_t c) {
  return fmt::format(
      "The last batch had the mean {} and the unbiased variance {}; the running ones are {} and {}.",
      number_text(s.batch.mean[c]), number_text(s.batch.unbiased()[c]), number_text(s.running.mean[c]),
      number_text(s.running.var[c]));
}

}  // namespace

InspectSection state_section(const Inspection& r) {
  InspectSection s;
  s.name = "state";
  s.title = "The state by name";
  s.words = {
      "All that a checkpoint holds. A batch norm has two parameters that are trained, gamma (weight) and "
      "beta "
      "(bias), and three buffers that are not: the running mean, the running variance, and the number of "
      "batches that were averaged. Each has a value a channel but for the last."};
  if (r.layer.empty()) s.words[0] = "All that a checkpoint holds.";
  s.table.header = {"name",        "is",           "shape",
                    "mean before", "range before", fmt::format("mean after {}", count_text(r.steps, "step")),
                    "range after"};
  s.numbers.header = {"name",       "symbol",     "shape",      "dtype",     "mean_before",
                      "min_before", "max_before", "mean_after", "min_after", "max_after"};
  for (size_t i = 0; i < r.before.size(); ++i) {
    const StateEntry &a = r.before[i], &b = r.after[i];
    const auto range = [](const StateEntry& e) {
      return e.low == e.high ? number_text(e.low) : number_text(e.low) + " to " + number_text(e.high);
    };
    s.table.rows.push_back({a.name, a.symbol.empty() ? "parameter" : a.symbol, a.shape.str(),
                            number_text(a.mean), range(a), number_text(b.mean), range(b)});
    std::vector<std::string> row{a.name, a.symbol, a.shape.str(), name_of(a.dtype)};
    for (double v : {a.mean, a.low, a.high, b.mean, b.low, b.high}) row.push_back(fmt::format("{:.9g}", v));
    s.numbers.rows.push_back(row);
  }
  return s;
}

InspectSection statistics_section(const Inspection& r) {
  InspectSection s;
  s.name = "statistics";
  s.title = fmt::format("Running statistics of {}", r.layer);
  s.words = {
      fmt::format("A training step normalizes each channel by the mean and the variance of its own batch, "
                  "and then moves the "
                  "running ones a little towards them: running = (1 - m) running + m batch, with momentum m "
                  "= {}. In the variance "
                  "of the batch that is used for normalizing the sum of squares is divided by the number of "
                  "values, M = {} "
                  "(biased); what the running variance averages is divided by M - 1 (unbiased). They begin "
                  "with 0 and 1, or with "
                  "what a checkpoint holds.",
                  momentum_text(r.momentum), thousands(r.statistics.back().batch.values))};
  s.numbers.header = {"step",         "channel",          "values",
                      "batch_mean",   "batch_var_biased", "batch_var_unbiased",
                      "running_mean", "running_var"};
  for (size_t c : r.channels) {
    Series mean{"of the batch", {}, {}, {}, {}, palette(5)}, running{"running", {}, {}, {}, {}, palette(0)};
    Series biased{"of the batch, biased", {}, {}, {}, {}, palette(4)};
    Series unbiased{"unbiased", {}, {}, {}, {}, palette(5), true}, running_var = running;
    for (const StatisticsStep& t : r.statistics) {
      const double free = t.batch.unbiased()[c];
      for (Series* line : {&mean, &running, &biased, &unbiased, &running_var})
        line->x.push_back(static_cast<double>(t.step));
      mean.y.push_back(t.batch.mean[c]);
      running.y.push_back(t.running.mean[c]);
      biased.y.push_back(t.batch.biased[c]);
      unbiased.y.push_back(free);
      running_var.y.push_back(t.running.var[c]);
      std::vector<std::string> row{std::to_string(t.step), std::to_string(c), std::to_string(t.batch.values)};
      for (double v : {t.batch.mean[c], t.batch.biased[c], free, t.running.mean[c], t.running.var[c]})
        row.push_back(fmt::format("{:.9g}", v));
      s.numbers.rows.push_back(row);
    }
    s.charts.push_back(
        {fmt::format("mean, channel {}", c), "training step", "mean of the layer's input", {mean, running}});
    s.charts.push_back({fmt::format("variance, channel {}", c),
                        "training step",
                        "variance of the layer's input",
                        {biased, unbiased, running_var}});
    s.captions.push_back(final_words(r.statistics.back(), c));
    s.captions.emplace_back("");
  }
  const size_t c = r.channels[0];
  s.table.header = {fmt::format("step, channel {}", c), "batch mean", "running mean",
                    "batch variance, biased",           "unbiased",   "running variance"};
  for (const StatisticsStep& t : r.statistics) {
    if (!is_shown(t.step, r.statistics.back().step)) continue;
    s.table.rows.push_back({std::to_string(t.step), number_text(t.batch.mean[c]),
                            number_text(t.running.mean[c]), fmt::format("{:.6g}", t.batch.biased[c]),
                            fmt::format("{:.6g}", t.batch.unbiased()[c]), number_text(t.running.var[c])});
  }
  return s;
}

InspectSection variance_section(const Inspection& r) {
  InspectSection s;
  s.name = "variance";
  s.title = "Biased and unbiased variance";
  s.words = {
      fmt::format("The input of {} for {} training images, cut into batches. The biased variance of a batch "
                  "is too small on "
                  "average, because deviations are taken from the batch's own mean; dividing by M - 1 "
                  "instead of M mends that for "
                  "values that do not depend on one another. The two differ by exactly M / (M - 1). "
                  "Neighbouring pixels of an "
                  "image do depend on one another, so that in layers with many places an image both stay "
                  "below the whole.",
                  r.layer, thousands(r.size_images))};
  s.numbers.header = {"batch_size", "values", "biased", "unbiased", "factor"};
  s.table.header = {"images a batch", "values a channel, M", "biased", "unbiased", "M / (M - 1)"};
  Series biased{"biased, divided by M", {}, {}, {}, {}, palette(4)},
      unbiased{"unbiased, divided by M - 1", {}, {}, {}, {}, palette(0)};
  Series one{"all images", {}, {}, {}, {}, palette(6), true};
  for (const BatchVariance& v : r.variances) {
    const auto m = static_cast<double>(v.values);
    for (Series* line : {&biased, &unbiased, &one}) line->x.push_back(static_cast<double>(v.size));
    biased.y.push_back(v.biased);
    unbiased.y.push_back(v.unbiased);
    one.y.push_back(1);
    s.numbers.rows.push_back({std::to_string(v.size), std::to_string(v.values),
                              fmt::format("{:.9g}", v.biased), fmt::format("{:.9g}", v.unbiased),
                              fmt::format("{:.9g}", m / (m - 1))});
    s.table.rows.push_back({std::to_string(v.size), thousands(v.values), fmt::format("{:.4f}", v.biased),
                            fmt::format("{:.4f}", v.unbiased), fmt::format("{:.4f}", m / (m - 1))});
  }
  Chart chart{"variance of small batches",
              "images a batch",
              "share of the variance of all images",
              {biased, unbiased, one}};
  chart.log_x = true;
  chart.y_min = 0;
  s.charts = {chart};
  s.captions = {"Means over the batches and the channels that vary."};
  s.page_columns = 2;
  return s;
}

}  // namespace sigma::app
