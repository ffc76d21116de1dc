// What the page of a comparison is made of. One picture shows arms that differ in one flag, its lines; the
// other flags in which arms differ make several pictures, with the same axes.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "apps/report/comparison.h"
#include "apps/report/page.h"
#include "apps/report/plot.h"

namespace sigma::app {

struct Panel {
  std::string words;         // of the settings that all its arms share; empty: there is one panel
  std::vector<size_t> arms;  // its lines
};
struct Panels {
  std::string flag;  // whose values are the lines; empty: each arm is a line of one panel
  std::vector<Panel> all;
};
Panels panels_of(const Comparison& c);
// "with batch norm", "AdamW": the words of the line, in its panel.
std::string line_words(const Comparison& c, const Panels& panels, size_t arm);
// Colour and dashes of its line.
Series line_of(const Comparison& c, const Panels& panels, size_t arm);

// Final accuracy over the seeds, shares of 1.
struct Final {
  double mean = 0, low = 1, high = 0;
  int64_t runs = 0, diverged = 0;
};
Final final_of(const Comparison& c, size_t arm);
// Median over the seeds of the steps or seconds to an accuracy; a run that never got there is infinitely
// late.
double median_steps_to(const Comparison& c, size_t arm, double accuracy);
double median_seconds_to(const Comparison& c, size_t arm, double accuracy);
// The accuracies that tell the arms apart: at most `count` that at least one arm reached.
std::vector<double> thresholds_of(const Comparison& c, size_t count);

std::vector<Chart> accuracy_charts(const Comparison& c);
std::vector<Chart> loss_charts(const Comparison& c);
// Two for each arm with batch norm that has a twin without: a row of the page.
std::vector<Chart> activation_charts(const Comparison& c);
std::vector<Chart> histogram_charts(const Comparison& c);
// Final accuracy by the values of each flag whose values are numbers.
std::vector<Chart> value_charts(const Comparison& c);
// The rate over the steps; nothing where it stays the same.
std::vector<Chart> schedule_charts(const Comparison& c);
inline constexpr Size kSmall{440, 300};  // of a chart, so that its words can be read on a phone

// What was found, in one sentence or two, with the numbers.
std::string finding_of(const Comparison& c);
std::vector<Tile> tiles_of(const Comparison& c);

}  // namespace sigma::app
