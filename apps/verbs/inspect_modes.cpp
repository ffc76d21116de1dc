// The same images in training and in eval mode: output by output, over the steps, and by the size of batches.
#include <algorithm>
#include <cmath>

#include "apps/report/words.h"
#include "apps/verbs/inspect_parts.h"

namespace sigma::app {
namespace {

std::vector<std::string> gap_cells(const GapAt& g, const char* format) {
  std::vector<std::string> row{std::to_string(g.at)};
  for (double v : {g.gap.rms, g.gap.largest, g.gap.spread, g.gap.relative(), g.gap.same_class})
    row.push_back(fmt::format(fmt::runtime(format), v));
  return row;
}

std::vector<std::string> gap_words(const GapAt& g) {
  return {thousands(g.at), number_text(g.gap.rms), number_text(g.gap.largest),
          std::isfinite(g.gap.relative()) ? fmt::format("{:.1f}%", 100 * g.gap.relative()) : "no number",
          percent_text(g.gap.same_class)};
}

// 1 / sqrt(size), through the first of the line.
Series square_root(const Series& line) {
  Series s{"1 / sqrt(images a batch)", line.x, {}, {}, {}, palette(6), true};
  for (double x : line.x) s.y.push_back(line.y[0] * std::sqrt(line.x[0] / x));
  return s;
}

}  // namespace

InspectSection outputs_section(const Inspection& r) {
  InspectSection s;
  s.name = "outputs";
  s.title = "One batch, two modes, output by output";
  s.words = {
      fmt::format("The same {} training images go through the network twice: in training mode batch norm "
                  "uses the mean and the "
                  "variance of these images, in eval mode the running ones. Nothing else differs (layers "
                  "that draw random numbers "
                  "are in eval mode both times). Shown are the outputs for the first image, before and after "
                  "{}; outputs.csv has all.",
                  r.batch, count_text(r.gaps.back().at, "step"))};
  s.numbers.header = {"steps", "image", "output", "train", "eval", "difference"};
  s.table.header = {"output of the first image", "training mode", "eval mode", "difference"};
  for (const GapAt* g : {&r.gaps.front(), &r.gaps.back()}) {
    if (g != &r.gaps.front() && r.gaps.size() == 1) break;
    const int64_t k = g->gap.train.dim(1);
    Series train{"training mode", {}, {}, {}, {}, palette(1)},
        eval{"eval mode", {}, {}, {}, {}, palette(0), true};
    for (int64_t i = 0; i < g->gap.train.numel(); ++i) {
      const double a = g->gap.train.data<double>()[i], b = g->gap.eval.data<double>()[i];
      s.numbers.rows.push_back({std::to_string(g->at), std::to_string(i / k), std::to_string(i % k),
                                fmt::format("{:.9g}", a), fmt::format("{:.9g}", b),
                                fmt::format("{:.9g}", a - b)});
      if (i >= k) continue;
      train.x.push_back(static_cast<double>(i));
      eval.x.push_back(static_cast<double>(i));
      train.y.push_back(a);
      eval.y.push_back(b);
      if (g == &r.gaps.back())
        s.table.rows.push_back({std::to_string(i), fmt::format("{:.4f}", a), fmt::format("{:.4f}", b),
                                fmt::format("{:+.4f}", a - b)});
    }
    s.charts.push_back(
        {g->at == 0 ? "before the first step" : fmt::format("after {}", count_text(g->at, "step")),
         "output of the network (class)",
         "value (logit)",
         {train, eval}});
    s.captions.push_back(fmt::format("Over all {} images and outputs: root mean square {} apart, at most {}.",
                                     r.batch, number_text(g->gap.rms), number_text(g->gap.largest)));
  }
  return s;
}

InspectSection gap_section(const Inspection& r) {
  InspectSection s;
  s.name = "gap";
  s.title = "How the gap closes with the steps";
  s.words = {
      "The root mean square of the differences over all images and outputs, as a share of how much the "
      "outputs "
      "in training mode vary over the images. At the start of a fresh network the running statistics are 0 "
      "and "
      "1, which no layer's input has. While the network learns quickly, they follow some batches behind."};
  s.numbers.header = {"step", "rms", "largest", "spread", "relative", "same_class"};
  s.table.header = {"step", "root mean square", "largest", "of the outputs' deviation",
                    "images of the same class"};
  Series relative{"gap", {}, {}, {}, {}, palette(0)},
      same{"same class in both modes", {}, {}, {}, {}, palette(2)};
  for (const GapAt& g : r.gaps) {
    s.numbers.rows.push_back(gap_cells(g, "{:.9g}"));
    if (is_shown(g.at, r.steps)) s.table.rows.push_back(gap_words(g));
    for (Series* line : {&relative, &same}) line->x.push_back(static_cast<double>(g.at));
    relative.y.push_back(100 * g.gap.relative());
    same.y.push_back(100 * g.gap.same_class);
  }
  Chart gap{"gap between the modes", "training step", "gap (% of deviation)", {relative}};
  gap.log_y = true;
  Chart classes{"answers that agree", "training step", "images (%)", {same}};
  classes.y_min = 0;
  classes.y_max = 100;
  s.charts = {gap, classes};
  s.captions = {fmt::format("On the same {} images each time.", r.batch),
                "Images for which both modes name the same class."};
  return s;
}

InspectSection batch_size_section(const Inspection& r) {
  InspectSection s;
  s.name = "batch_size";
  s.title = "How the gap opens with small batches";
  s.words = {fmt::format(
      "The trained network, and the same {} images each time, cut into batches of 2, 4, 8 and more. Eval "
      "mode gives "
      "the same for all sizes; in training mode the statistics of a small batch are a poor estimate. The "
      "mean of n "
      "independent values is off by 1 / sqrt(n) of their deviation, which the dashed line follows.",
      thousands(r.size_images))};
  s.numbers.header = {"batch_size", "rms", "largest", "spread", "relative", "same_class"};
  s.table.header = {"images a batch", "root mean square", "largest", "of the outputs' deviation",
                    "images of the same class"};
  Series relative{"gap", {}, {}, {}, {}, palette(0)},
      same{"same class in both modes", {}, {}, {}, {}, palette(2)};
  for (const GapAt& g : r.sizes) {
    s.numbers.rows.push_back(gap_cells(g, "{:.9g}"));
    s.table.rows.push_back(gap_words(g));
    for (Series* line : {&relative, &same}) line->x.push_back(static_cast<double>(g.at));
    relative.y.push_back(100 * g.gap.relative());
    same.y.push_back(100 * g.gap.same_class);
  }
  Chart gap{
      "gap between the modes", "images a batch", "gap (% of deviation)", {relative, square_root(relative)}};
  gap.log_x = gap.log_y = true;
  Chart classes{"answers that agree", "images a batch", "images (%)", {same}};
  classes.log_x = true;
  classes.y_min = 0;
  classes.y_max = 100;
  s.charts = {gap, classes};
  s.captions = {"What remains with large batches is how far the running statistics lag behind the weights.",
                "Images for which both modes name the same class."};
  return s;
}

}  // namespace sigma::app
