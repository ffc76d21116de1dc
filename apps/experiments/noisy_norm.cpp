// Noise behind batch norm, which makes distributions less stable and hardly hinders training (Santurkar et
// al. 2018, section 2.1).
#include <array>
#include <cmath>

#include "apps/experiments/santurkar.h"
#include "apps/training/measures.h"
#include "core/math.h"
#include "layers/channel_norm.h"

namespace sigma::app {
namespace {

constexpr size_t kLooked[] = {1, 4, 7};  // of the eight layers
constexpr int64_t kChannels = 16;

// By layer the median over channels of how far the distribution of a channel travels, of what its ReLU gets
// for one batch, as in training.
class Drifts {
 public:
  void look(Module& model, const Batch& batch) {
    if (!images_.defined()) images_ = batch.images;
    size_t layer = 0, place = 0;
    ScopedHooks hooks;
    model.visit([&](const std::string&, Module& m) {
      if (m.kind() != "ReLU") return;
      if (place < std::size(kLooked) && layer == kLooked[place]) {
        const size_t at = place++;
        hooks.add(m, [this, at](const Module&, const Variable& in, const Variable&) { add(at, in.value()); });
      }
      ++layer;
    });
    const NoGrad off;
    const NoStatisticsUpdate keep;
    model.train();
    model(Variable(images_));
  }
  std::vector<double> result() const {
    std::vector<double> drifts;
    for (const auto& layer : percentiles_) {
      std::vector<double> channels;
      for (const auto& q : layer) {
        const double drift = percentile_drift(q[0], q[1], q[2]);
        if (std::isfinite(drift)) channels.push_back(drift);  // not of a channel that is constant
      }
      drifts.push_back(median_of(channels));
    }
    return drifts;
  }

 private:
  void add(size_t place, const Tensor& values) {
    for (int64_t c = 0; c < kChannels; ++c) {
      const std::vector<double> p = percentiles(slice(values, 1, c, 1), {15, 50, 85});
      for (size_t q = 0; q < 3; ++q) percentiles_[place][static_cast<size_t>(c)][q].push_back(p[q]);
    }
  }
  Tensor images_;
  std::array<std::array<std::array<std::vector<double>, 3>, kChannels>, std::size(kLooked)> percentiles_;
};

// Mean of the last fifth.
double final_loss(const Json& losses, int64_t steps) {
  const std::vector<double> all = filled(losses, steps);
  const size_t last = all.size() / 5;
  double total = 0;
  for (size_t i = all.size() - last; i < all.size(); ++i) total += all[i] / static_cast<double>(last);
  return total;
}

Outcome measure_noisy(Laboratory& lab) {
  const int64_t looks = 20;
  const Measured nets =
      measure_vggs(lab, {kNormVgg, kNoisyVgg, kPlainVgg}, [&](const VggNet& net, uint64_t seed) {
        Drifts drifts;
        const std::vector<double> losses =
            train_vgg(lab, net, seed, looks, [&](Module& m, const Batch& b) { drifts.look(m, b); });
        return Json{{"loss", losses}, {"drift", drifts.result()}};
      });
  std::vector<double> final[3], drift[3][std::size(kLooked)];
  Outcome o;
  for (size_t n = 0; n < 3; ++n) {
    for (const Json& seed : nets[n].second) {
      final[n].push_back(final_loss(seed.at("loss"), lab.extent().steps));
      const std::vector<double> d = numbers_of(seed.at("drift"));
      for (size_t l = 0; l < d.size(); ++l) drift[n][l].push_back(d[l]);
    }
    o.findings.push_back({fmt::format("training loss at the end, {}", nets[n].first.words), "",
                          median_text(final[n], "{:.3f}", "diverged")});
  }
  for (size_t l = 0; l < std::size(kLooked); ++l)
    for (size_t n = 0; n < 3; ++n)
      o.findings.push_back({fmt::format("drift of layer {}, {}", kLooked[l] + 1, nets[n].first.words),
                            n == 1 ? "less stable than without" : "",
                            median_text(drift[n][l], "{:.2f}", "diverged")});
  size_t near = 0, better = 0, moving = 0;
  for (size_t i = 0; i < final[0].size(); ++i) {
    near += std::isfinite(final[1][i]) && final[1][i] <= 1.1 * final[0][i] ? 1 : 0;
    better += final[1][i] < final[2][i] ? 1 : 0;
    bool all = true;
    for (size_t l = 0; l < std::size(kLooked); ++l) all = all && drift[1][l][i] > drift[2][l][i];
    moving += all ? 1 : 0;
  }
  o.verdict = verdict_of(near + better + moving, 3 * final[0].size());
  o.why = fmt::format(
      "Of {} seeds the noisy network's final loss was within 10% of that with batch norm in {} and below "
      "that without in {}, while the distributions of its layers moved more than those without in {}.",
      final[0].size(), near, better, moving);
  o.plates.push_back({"loss", "Losses of the batches, medians over the seeds and their range.",
                      chart_over_steps(lab, "loss", "training loss", lab.extent().steps, nets)});
  o.notes.push_back(kVggNote);
  o.notes.push_back(
      "The noise is what the paper describes, with numbers of ours: each step every channel draws a mean in "
      "+-0.5 and a scale in 1..1.25, around which the noise of each value is spread by 0.1. Drift: the way "
      "of "
      "a channel's median over the width between its 15th and 85th percentile, the median over 16 channels.");
  return o;
}

const RegisterExperiment noisy_entry(
    {.place = 92,
     .name = "noisy-batch-norm",
     .paper = kSanturkar + ", section 2.1",
     .claim = "Batch norm helps even where noise behind it makes the distributions of the layers less stable "
              "than they are without it.",
     .rule = "VGG-A of a quarter of the width, loss over the last fifth of the steps: in every seed that of "
             "noisy batch norm is at most 1.1 times that of batch norm and less than without it, and the "
             "percentiles of all three layers looked at drift more than without it.",
     .data = "cifar10",
     .extents = {{"reduced", "100 steps instead of 400", 100, 5, 4}, {"full", "", 400, 5, 13}},
     .measure = measure_noisy});

}  // namespace
}  // namespace sigma::app
