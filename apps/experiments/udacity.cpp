// The grid of a well-known lesson: two activations, three rates, good and bad initial weights, with and
// without batch norm.
#include <algorithm>
#include <cmath>

#include "apps/experiments/experiment.h"

namespace sigma::app {
namespace {

// Test accuracy in percent as the notebook prints it; 0: it does not.
struct Cell {
  const char *activation, *lr, *init;
  double off, on;            // after 50,000 batches of 60
  double off_2000, on_2000;  // after 2,000
};
const Cell kCells[] = {
    {"relu", "0.01", "normal:0.05", 97.4, 97.9, 83.3, 94.9},
    {"sigmoid", "0.01", "normal:0.05", 80.9, 97.3, 0, 0},
    {"relu", "1", "normal:0.05", 9.8, 98.5, 0, 0},
    {"sigmoid", "1", "normal:0.05", 97.7, 98.0, 85.7, 95.3},
    {"relu", "2", "normal:0.05", 11.3, 98.3, 0, 0},
    {"sigmoid", "2", "normal:0.05", 97.3, 98.2, 94.4, 95.6},
    {"relu", "0.01", "normal:5", 9.8, 79.8, 0, 0},
    {"sigmoid", "0.01", "normal:5", 37.8, 84.4, 0, 0},
    {"relu", "1", "normal:5", 9.8, 86.0, 0, 0},
    {"sigmoid", "1", "normal:5", 88.8, 95.1, 0, 0},
    {"relu", "2", "normal:5", 9.8, 81.8, 0, 0},
    {"sigmoid", "2", "normal:5", 90.4, 96.0, 0, 0},
};

std::string percent(double v) { return v > 0 ? fmt::format("{:.1f}%", v) : ""; }

Outcome measure(Laboratory& lab) {
  const bool full = lab.extent().name == "full";
  Outcome o;
  size_t signs = 0, gated = 0, near = 0, compared = 0, lower = 0;
  for (const char* activation : {"relu", "sigmoid"}) {
    const Comparison c = lab.compare(
        activation, {"--data", "mnist", "--normalize", "unit", "--batch-size", "60", "--model",
                     fmt::format("flatten, 3 x {{ linear 100, bn, {} }}, linear classes", activation), "--lr",
                     "0.01,1,2", "--init", "normal:0.05,normal:5", "--batch-norm", "on,off", "--eval-every",
                     std::to_string(lab.extent().steps / 10)});
    for (const Cell& cell : kCells) {
      if (std::string(cell.activation) != activation) continue;
      const auto on = runs_where(c, {{"batch-norm", "on"}, {"lr", cell.lr}, {"init", cell.init}}),
                 off = runs_where(c, {{"batch-norm", "off"}, {"lr", cell.lr}, {"init", cell.init}});
      const bool good_weights = std::string(cell.init) == "normal:0.05";
      const double with = 100 * median_of(accuracies(on)), without = 100 * median_of(accuracies(off));
      const double told_on = full ? cell.on : cell.on_2000, told_off = full ? cell.off : cell.off_2000;
      if (good_weights) {
        ++gated;
        signs += with > without ? 1 : 0;
        compared += told_on > 0 ? 1 : 0;
        near += told_on > 0 && std::abs(with - told_on) <= 1.5 ? 1 : 0;
      } else if (with <= without) {
        ++lower;
      }
      const std::string name = fmt::format("{}, rate {}, deviation {}", activation, cell.lr, cell.init + 7);
      o.findings.push_back({name + ", with batch norm", percent(told_on), percent_range(accuracies(on))});
      o.findings.push_back({name + ", without", percent(told_off), percent_range(accuracies(off))});
    }
  }
  o.verdict = signs == gated && near == compared ? Verdict::reproduced
              : signs == gated || near > 0       ? Verdict::partly
                                                 : Verdict::not_reproduced;
  o.why = fmt::format(
      "With weights of deviation 0.05 batch norm was better in {} of {} cells, and within 1.5 points of the "
      "published accuracy in {} of the {} that have one for this length.",
      signs, gated, near, compared);
  o.why += lower == 0
               ? " With weights of deviation 5 it was better in every cell, too."
               : fmt::format(" With weights of deviation 5 it was not better in {} of 6 cells.", lower);
  if (!full)
    o.notes.push_back(
        "Runs of 2,000 steps; the lesson's of 50,000 are the full size. It prints three cells of 2,000.");
  o.notes.push_back(
      "The cells with weights of deviation 5 are shown and decide nothing: the lesson says itself that they "
      "can "
      "also fail.");
  return o;
}

const RegisterExperiment udacity(
    {.place = 80,
     .core = true,
     .name = "udacity-grid",
     .paper = "Udacity deep-learning course, Batch_Normalization_Lesson.ipynb (2017)",
     .claim = "Whatever the activation, the rate and the initial weights, the same network ends higher with "
              "batch norm.",
     .rule =
         "In the six cells with weights of deviation 0.05 the median with batch norm is above that without, "
         "and within 1.5 points of the published accuracy where there is one for this number of steps.",
     .data = "mnist",
     .extents = {{"reduced", "2,000 steps a cell instead of 50,000", 2000, 3, 4},
                 {"full", "", 50000, 3, 100}},
     .measure = measure});

}  // namespace
}  // namespace sigma::app
