#include "apps/verbs/compare_pictures.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "apps/verbs/summary_drawing.h"
#include "layers/passes/trace.h"

namespace sigma::app {
namespace {

constexpr int64_t kImages = 6;

std::vector<int64_t> first_rows(const Split& split) {
  std::vector<int64_t> rows;
  for (int64_t i = 0; i < std::min(kImages, split.size()); ++i) rows.push_back(i);
  return rows;
}

// Values (N, C, H, W) as pictures, the lowest black and the highest white.
Sample sample_of(const std::string& words, const Tensor& images) {
  Sample s;
  s.words = words;
  const Tensor values = images.to(DType::float64).contiguous();
  const int64_t n = values.dim(0), c = values.dim(1), h = values.dim(2), w = values.dim(3);
  const double* p = values.data<double>();
  s.low = *std::min_element(p, p + values.numel());
  s.high = *std::max_element(p, p + values.numel());
  const auto count = static_cast<double>(values.numel());
  for (int64_t i = 0; i < values.numel(); ++i) s.mean += p[i] / count;
  for (int64_t i = 0; i < values.numel(); ++i) s.deviation += (p[i] - s.mean) * (p[i] - s.mean) / count;
  s.deviation = std::sqrt(s.deviation);
  const int64_t shown = c == 3 ? 3 : 1;  // of other numbers of channels the first
  for (int64_t i = 0; i < n; ++i) {
    Picture picture{h, w, shown, std::vector<uint8_t>(static_cast<size_t>(h * w * shown))};
    for (int64_t at = 0; at < h * w; ++at)
      for (int64_t k = 0; k < shown; ++k) {
        const double t = (p[(i * c + k) * h * w + at] - s.low) / std::max(1e-12, s.high - s.low);
        picture.pixels[static_cast<size_t>(at * shown + k)] = static_cast<uint8_t>(std::lround(255 * t));
      }
    s.images.push_back(std::move(picture));
  }
  return s;
}

void add_samples(Plan& plan, const Dataset& data) {
  const std::vector<int64_t> rows = first_rows(data.measured());
  Comparison& c = plan.comparison;
  std::set<std::string> seen;
  c.samples.push_back(
      sample_of("raw pixels", normalized_images(data.measured(), rows, make_normalization("none", data))));
  for (size_t a = 0; a < c.arms.size(); ++a) {
    const std::string& kind = c.arms[a].normalize;
    if (kind == "none" || !seen.insert(kind).second) continue;
    const Setting* named = c.arms[a].of("normalize");
    c.samples.push_back(
        sample_of(named ? named->words : "normalized (" + kind + ")",
                  normalized_images(data.measured(), rows, plan.setups[a].loader.normalization)));
  }
}

// Of the only network there is, with batch norm where that differs.
void add_drawing(Plan& plan) {
  Comparison& c = plan.comparison;
  std::set<std::string> models;
  for (const Arm& a : c.arms) models.insert(a.model);
  if (models.size() != 1) return;
  size_t with = 0;
  for (size_t a = c.arms.size(); a-- > 0;)
    if (c.arms[a].batch_norm) with = a;
  const ModulePtr network = make_network(plan.setups[with]);
  const ModelInput& in = plan.setups[with].input;
  NetworkDrawing drawing =
      drawing_of(c.model, *network, trace(*network, Shape{1, in.channels, in.height, in.width}));
  for (LayerBox& box : drawing.boxes) box.marked = box.name == c.arms[with].histogram_layer;
  c.drawing = to_svg(drawing);
}

}  // namespace

void add_pictures(Plan& plan, const Dataset& data) {
  add_samples(plan, data);
  add_drawing(plan);
}

}  // namespace sigma::app
