// Distributions of activations and gradients, layer by layer; and of pixels.
#include <algorithm>
#include <cmath>

#include "apps/report/words.h"
#include "apps/verbs/inspect_parts.h"

namespace sigma::app {
namespace {

const Band& band_of(const LayerDistribution& d, bool gradients) {
  return gradients ? d.gradient : d.activation;
}

// The layers of all networks in the order of the one that has most.
std::vector<std::string> layers_of(const Inspection& r) {
  const DistributionRun* most = &r.runs[0];
  for (const DistributionRun& run : r.runs)
    if (run.looks[0].size() > most->looks[0].size()) most = &run;
  std::vector<std::string> names;
  for (const LayerDistribution& d : most->looks[0]) names.push_back(d.layer);
  return names;
}

const LayerDistribution* find(const std::vector<LayerDistribution>& look, const std::string& layer) {
  for (const LayerDistribution& d : look)
    if (d.layer == layer) return &d;
  return nullptr;
}

Limits limits_of(const DistributionRun& run, const std::string& layer, bool gradients) {
  Limits l;
  for (const auto& look : run.looks)
    if (const LayerDistribution* d = find(look, layer))
      for (double v : band_of(*d, gradients)) l.take(v);
  return l;
}

Chart bands(const DistributionRun& run, const std::string& layer, bool gradients, Color color) {
  Chart chart{layer + ", " + run.label, "training step",
              gradients ? "gradient (nats)" : "output of the layer"};
  Series median{"median; 15 to 85 of 100", {}, {}, {}, {}, color},
      low{"5 and 95 of 100", {}, {}, {}, {}, color, true};
  for (size_t t = 0; t < run.looks.size(); ++t) {
    const LayerDistribution* d = find(run.looks[t], layer);
    if (!d) continue;
    const Band& b = band_of(*d, gradients);
    median.x.push_back(static_cast<double>(run.steps[t]));
    median.y.push_back(b[2]);
    median.low.push_back(b[1]);
    median.high.push_back(b[3]);
    low.x.push_back(static_cast<double>(run.steps[t]));
    low.y.push_back(b[0]);
  }
  Series high = low;
  high.label.clear();
  high.y.clear();
  for (const auto& look : run.looks)
    if (const LayerDistribution* d = find(look, layer)) high.y.push_back(band_of(*d, gradients)[4]);
  chart.series = {median, low, high};
  if (median.x.empty()) {
    chart.series.clear();
    chart.note = "this network has no such layer";
    chart.x_min = 0;
    chart.x_max = static_cast<double>(std::max<int64_t>(1, run.steps.back()));
  }
  return chart;
}

// Small numbers in a power of ten, which the axis names.
void scale_down(Chart& chart) {
  double most = 0;
  for (const Series& s : chart.series)
    for (double v : s.y)
      if (std::isfinite(v)) most = std::max(most, std::abs(v));
  if (!(most > 0 && most < 0.02)) return;
  const double power = std::floor(std::log10(most)), factor = std::pow(10, -power);
  for (Series& s : chart.series)
    for (auto* list : {&s.y, &s.low, &s.high})
      for (double& v : *list) v *= factor;
  for (auto* end : {&chart.y_min, &chart.y_max})
    if (*end) **end *= factor;
  chart.y_label = fmt::format("gradient (1e{:.0f} nats)", power);
}

// A row of charts, one a network: with one axis, unless that would make a line of one of them.
std::vector<Chart> row_of(const Inspection& r, const std::string& layer, bool gradients) {
  std::vector<Chart> row;
  Limits all;
  double narrowest = INFINITY;
  for (size_t i = 0; i < r.runs.size(); ++i) {
    const Limits l = limits_of(r.runs[i], layer, gradients);
    if (l.low <= l.high) {
      all.take(l.low);
      all.take(l.high);
      narrowest = std::min(narrowest, l.width());
    }
    row.push_back(bands(r.runs[i], layer, gradients, palette(i)));
  }
  if (all.low < all.high && all.width() <= 5 * narrowest)
    for (Chart& chart : row) {
      if (chart.series.empty()) continue;
      chart.y_min = all.low - .03 * all.width();
      chart.y_max = all.high + .03 * all.width();
    }
  if (gradients)
    for (Chart& chart : row) scale_down(chart);
  return row;
}

}  // namespace

InspectSection depth_section(const Inspection& r) {
  InspectSection s;
  s.name = "depth";
  s.title = "How wide activations and gradients are, layer by layer";
  const std::vector<std::string> layers = layers_of(r);
  s.words = {
      fmt::format("What comes out of each layer, and the gradient of the loss with respect to it, for {} "
                  "training images in "
                  "training mode. The width is the distance between the 5th and the 95th of 100 values. "
                  "Without normalization "
                  "the width of one layer makes that of the next, so that it may grow or shrink from layer "
                  "to layer; batch norm "
                  "sets it anew each time.",
                  r.look_images)};
  s.words.insert(s.words.end(), r.notes.begin(), r.notes.end());
  s.numbers.header = {"what", "network", "step", "number", "layer", "width"};
  for (const bool gradients : {false, true}) {
    Chart chart{gradients ? "gradients" : "activations",
                fmt::format("layer (1: {}, {}: {})", layers.front(), layers.size(), layers.back()),
                gradients ? "width (nats)" : "width (of outputs)"};
    chart.log_y = true;
    for (size_t i = 0; i < r.runs.size(); ++i)
      for (const bool last : {false, true}) {
        const DistributionRun& run = r.runs[i];
        Series line{run.label + (last ? "" : ", untrained"), {}, {}, {}, {}, palette(i), !last};
        const auto& look = last ? run.looks.back() : run.looks.front();
        for (size_t k = 0; k < layers.size(); ++k) {
          const LayerDistribution* d = find(look, layers[k]);
          if (!d) continue;
          const Band& b = band_of(*d, gradients);
          line.x.push_back(static_cast<double>(k + 1));
          line.y.push_back(b[4] - b[0]);
          s.numbers.rows.push_back({gradients ? "gradient" : "activation", run.label,
                                    std::to_string(last ? run.steps.back() : run.steps.front()),
                                    std::to_string(k + 1), layers[k], fmt::format("{:.9g}", b[4] - b[0])});
        }
        chart.series.push_back(line);
      }
    s.charts.push_back(chart);
  }
  s.captions = {"Dashed before the first step, solid after the last.", "A width of 0 lies on the axis."};
  s.table.header = {"layer"};
  for (const DistributionRun& run : r.runs) {
    s.table.header.push_back("activations " + run.label);
    s.table.header.push_back("gradients " + run.label);
  }
  for (const std::string& layer : layers) {
    std::vector<std::string> row{layer};
    for (const DistributionRun& run : r.runs)
      for (const bool gradients : {false, true}) {
        const LayerDistribution* d = find(run.looks.back(), layer);
        row.push_back(d ? number_text(band_of(*d, gradients)[4] - band_of(*d, gradients)[0]) : "");
      }
    s.table.rows.push_back(row);
  }
  return s;
}

InspectSection distribution_section(const Inspection& r, bool gradients) {
  InspectSection s;
  s.name = gradients ? "gradients" : "activations";
  s.title =
      gradients ? "Gradients of every layer over the steps" : "Activations of every layer over the steps";
  s.words = {
      gradients
          ? "The gradient of the mean loss with respect to what each layer gives, a number for each number "
            "of the output. Where a maximum is taken of several, as in pooling, only the largest gets a "
            "gradient: before such a layer most are 0."
          : "A line is the median of all outputs of the layer, the shade has 70 of 100 of them, and 90 of "
            "100 lie between the dashed lines. A row has one axis unless one network's values are more than "
            "five times as wide as the other's."};
  const std::vector<std::string> layers = layers_of(r);
  for (const std::string& layer : layers)
    for (Chart& chart : row_of(r, layer, gradients)) {
      s.charts.push_back(std::move(chart));
      s.captions.emplace_back("");
    }
  s.page_columns = static_cast<int>(r.runs.size());
  s.columns = s.page_columns * static_cast<int>((layers.size() + 23) / 24);
  s.fold = fmt::format("{} of {}", gradients ? "Gradients" : "Activations",
                       count_text(static_cast<int64_t>(layers.size()), "layer"));
  s.numbers.header = {"network", "step", "layer", "kind", "p5", "p15", "p50", "p85", "p95"};
  for (const DistributionRun& run : r.runs)
    for (size_t t = 0; t < run.looks.size(); ++t)
      for (const LayerDistribution& d : run.looks[t]) {
        std::vector<std::string> row{run.label, std::to_string(run.steps[t]), d.layer, d.kind};
        for (double v : band_of(d, gradients)) row.push_back(fmt::format("{:.9g}", v));
        s.numbers.rows.push_back(row);
      }
  return s;
}

InspectSection pixels_section(const Inspection& r) {
  const NormalizedImage& n = r.image;
  InspectSection s;
  s.name = "pixels";
  s.title = "An image before and after Normalize(mean, std), and back";
  s.words = {
      fmt::format("Normalization {}. A pixel of 0 to 255 is divided by 255, then the mean of its channel is "
                  "subtracted and it is divided by the deviation.",
                  n.words)};
  if (n.back.defined())
    s.words.push_back(
        fmt::format("Back is 255 (y std + mean): over {} the pixels return to within {:.1g} of a level, the "
                    "rounding of the "
                    "numbers between.",
                    count_text(n.images, "image"), n.back_error));
  else
    s.words.emplace_back(
        "A whitening drops directions in which images do not vary, so there is no way back to show.");
  s.table.header = {"channel", "mean of pixels", "deviation", "mean after", "deviation after"};
  s.numbers.header = {"side", "channel", "from", "to", "share"};
  Chart charts[2] = {{"pixels before", "pixel (level of 0 to 255)", "share of pixels (%)"},
                     {"and after", "normalized value", "share of pixels (%)"}};
  for (size_t c = 0; c < n.mean.size(); ++c) {
    s.table.rows.push_back({std::to_string(c), number_text(n.mean[c]), number_text(n.std[c]),
                            fmt::format("{:.4f}", n.new_mean[c]), fmt::format("{:.4f}", n.new_std[c])});
    for (size_t side = 0; side < 2; ++side) {
      const NormalizedImage::Shares& h = side == 0 ? n.before[c] : n.after[c];
      Series line{
          n.mean.size() == 3 ? std::vector<std::string>{"red", "green", "blue"}[c] : "", {}, {}, {}, {},
          n.mean.size() == 3 ? palette(std::vector<size_t>{1, 2, 0}[c]) : palette(0)};
      const double width = (h.high - h.low) / static_cast<double>(h.share.size());
      for (size_t i = 0; i < h.share.size(); ++i) {
        const double left = h.low + width * static_cast<double>(i);
        line.x.insert(line.x.end(), {left, left + width});
        line.y.insert(line.y.end(), {100 * h.share[i], 100 * h.share[i]});
        s.numbers.rows.push_back({side == 0 ? "before" : "after", std::to_string(c),
                                  fmt::format("{:.6g}", left), fmt::format("{:.6g}", left + width),
                                  fmt::format("{:.9g}", h.share[i])});
      }
      charts[side].series.push_back(line);
      charts[side].filled = true;
    }
  }
  s.charts = {charts[0], charts[1]};
  s.captions = {fmt::format("Of {}.", count_text(n.images, "training image")),
                "The same pixels, normalized."};
  return s;
}

}  // namespace sigma::app
