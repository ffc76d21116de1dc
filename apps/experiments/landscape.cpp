// The loss along the gradient, with and without batch norm (Santurkar et al. 2018, section 3).
#include "apps/experiments/santurkar.h"
#include "apps/training/measures.h"

namespace sigma::app {
namespace {

Json landscapes(Laboratory& lab, const VggNet& net, uint64_t seed, int64_t looks) {
  Json result{{"range", Json::array()}, {"beta", Json::array()}, {"distance", Json::array()}};
  const std::vector<double> losses = train_vgg(lab, net, seed, looks, [&](Module& model, const Batch& batch) {
    std::vector<double> steps;
    for (double part : {0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0}) steps.push_back(part * kVggRate);
    const Landscape l = landscape(model, batch.images, batch.labels, steps);
    result["range"].push_back(l.loss_range());
    result["beta"].push_back(l.beta_smoothness());
    result["distance"].push_back(l.predictiveness());
  });
  result["loss"] = losses;
  return result;
}

Outcome measure_landscape(Laboratory& lab) {
  const int64_t looks = lab.extent().name == "full" ? 80 : 10;
  const Measured nets = measure_vggs(lab, {kNormVgg, kPlainVgg}, [&](const VggNet& net, uint64_t seed) {
    return landscapes(lab, net, seed, looks);
  });
  Outcome o;
  const char* const caption = "Medians over the seeds and their range.";
  auto less_with = [&](const VggMeasure& m) { return add_measure(o, lab, nets, looks, m, "smaller"); };
  const size_t range = less_with({"range", "range of the loss along the gradient", "loss-range", caption}),
               beta = less_with({"beta", "effective beta-smoothness", "smoothness", caption}),
               change = less_with({"distance", "largest change of the gradient", "predictiveness", caption});
  for (const auto& [net, seeds] : nets) {
    std::vector<double> last;
    for (const Json& s : seeds) last.push_back(filled(s.at("loss"), lab.extent().steps).back());
    o.findings.push_back(
        {fmt::format("loss of the last batch, {}", net.words), "", median_text(last, "{:.3f}", "diverged")});
  }
  const size_t all = nets[0].second.size();
  o.verdict = verdict_of(range + beta, 2 * all);
  o.why = fmt::format(
      "The median over the steps of the loss's range was smaller with batch norm in {} of {} seeds, that of "
      "the effective beta-smoothness in {}, that of the gradient's change in {}.",
      range, all, beta, change);
  o.notes.push_back(kVggNote);
  o.notes.push_back(
      "Steps along the gradient are 0.05 to 4 times the rate. Were batch norm without effect, it would have "
      "the smaller median in all of five seeds once in 32 times. Where a network has hardly begun to learn "
      "its gradient is small, and so is the range along it.");
  return o;
}

const RegisterExperiment landscape_entry(
    {.place = 90,
     .name = "santurkar-landscape",
     .paper = kSanturkar + ", section 3",
     .claim = "Batch norm makes the loss smoother: along the gradient it changes less, and the gradient is "
              "more predictive.",
     .rule = "VGG-A of a quarter of the width: in every seed the medians over the steps of the range of the "
             "loss along the gradient, and of the effective beta-smoothness, are smaller with batch norm.",
     .data = "cifar10",
     .extents = {{"reduced", "100 steps, of which 10 are looked at, instead of 400 and 80", 100, 5, 3},
                 {"full", "", 400, 5, 16}},
     .measure = measure_landscape});

}  // namespace
}  // namespace sigma::app
