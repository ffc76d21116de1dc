#include "apps/verbs/compare_pictures.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "apps/flags/flag_words.h"
#include "apps/verbs/shades.h"
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

Sample sample_of(const std::string& words, const Tensor& images) {
  Shades shades = shades_of(images);
  Sample s{words, shades.low, shades.high, 0, 0, std::move(shades.pictures)};
  const std::vector<double> values = images.to_vector();
  const auto count = static_cast<double>(values.size());
  for (double v : values) s.mean += v / count;
  for (double v : values) s.deviation += (v - s.mean) * (v - s.mean) / count;
  s.deviation = std::sqrt(s.deviation);
  return s;
}

// "standardized input".
std::string words_of_input(Options o) {
  for (const Flag& f : shared_flags(o))
    if (f.name == "--normalize") return words_of(f, o);
  return "";
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
    c.samples.push_back(
        sample_of(words_of_input(plan.options[a]),
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
