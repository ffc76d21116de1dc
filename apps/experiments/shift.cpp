// Internal covariate shift as optimizers see it, with and without batch norm (Santurkar et al. 2018, section
// 2.2).
#include "apps/experiments/santurkar.h"
#include "apps/training/covariate_shift.h"
#include "layers/affine.h"
#include "layers/cross_entropy.h"

namespace sigma::app {
namespace {

Json shifts(Laboratory& lab, const VggNet& net, uint64_t seed, int64_t looks) {
  Json result{{"distance", Json::array()}, {"relative", Json::array()}, {"angle", Json::array()}};
  const std::vector<double> losses = train_vgg(lab, net, seed, looks, [&](Module& model, const Batch& batch) {
    const Variable images(batch.images);
    const CovariateShift shift = covariate_shift(
        model, [&] { return cross_entropy(model(images), batch.labels); }, kVggRate);
    std::vector<double> distance, relative, angle;
    for (size_t i = 1; i < shift.layers.size(); ++i) {  // the first has none
      if (!model.find(shift.layers[i])->affine()) continue;
      distance.push_back(or_infinite(shift.distance[i]));
      relative.push_back(or_infinite(shift.distance[i] / shift.gradient_norm[i]));
      angle.push_back(or_infinite(1 - shift.cosine[i]));
    }
    result["distance"].push_back(median_of(distance));
    result["relative"].push_back(median_of(relative));
    result["angle"].push_back(median_of(angle));
  });
  result["loss"] = losses;
  return result;
}

Outcome measure_shift(Laboratory& lab) {
  const int64_t looks = lab.extent().name == "full" ? 40 : 6;
  const Measured nets = measure_vggs(lab, {kNormVgg, kPlainVgg}, [&](const VggNet& net, uint64_t seed) {
    return shifts(lab, net, seed, looks);
  });
  Outcome o;
  const char* const caption = "Medians over the layers, and over the seeds with their range.";
  auto less_with = [&](const VggMeasure& m) { return add_measure(o, lab, nets, looks, m, "not smaller"); };
  const size_t distance = less_with({"distance", "||G' - G|| of a layer", "distance", caption}),
               relative = less_with({"relative", "||G' - G|| / ||G|| of a layer", "relative", caption}),
               angle = less_with({"angle", "1 - cosine of G' and G", "angle", caption});
  const size_t seeds = nets[0].second.size();
  o.verdict = verdict_of((seeds - distance) + (seeds - angle), 2 * seeds);
  o.why = fmt::format(
      "Batch norm had the smaller change of gradients in {} of {} seeds ({} relative to the gradient) and "
      "the smaller angle in {}.",
      distance, seeds, relative, angle);
  o.notes.push_back(kVggNote);
  return o;
}

const RegisterExperiment shift_entry(
    {.place = 94,
     .name = "covariate-shift",
     .paper = kSanturkar + ", section 2.2",
     .claim = "Batch norm does not reduce internal covariate shift: how much a layer's gradient changes when "
              "the layers before it are updated.",
     .rule = "VGG-A of a quarter of the width, medians over steps and layers: in no seed is the distance of "
             "the two gradients smaller, nor their cosine larger, with batch norm.",
     .data = "cifar10",
     .extents = {{"reduced", "60 steps, of which 6 are looked at, instead of 400 and 40", 60, 5, 2},
                 {"full", "", 400, 5, 12}},
     .measure = measure_shift});

}  // namespace
}  // namespace sigma::app
