// How batch norm helps optimization, if not by less internal covariate shift (Santurkar et al. 2018): the
// loss along the gradient, noise behind batch norm, and the shift itself, in a VGG of a quarter of the width.
#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/experiments/experiment.h"
#include "apps/experiments/noise.h"
#include "apps/run/signals.h"
#include "apps/training/covariate_shift.h"
#include "apps/training/measures.h"
#include "apps/training/trainer.h"
#include "core/json.h"
#include "layers/channel_norm.h"
#include "layers/cross_entropy.h"

namespace sigma::app {
namespace {

const char* const kPaper = "Santurkar et al. 2018 (arXiv 1805.11604)";
constexpr double kRate = 0.03;
const char* const kRateNote =
    "Plain gradient descent at rate 0.03, batches of 128, He initial weights. The paper's rate is 0.1, at "
    "which "
    "this network without batch norm stays near the loss of chance for its first 60 steps; the rate was "
    "chosen "
    "by training losses, before anything else was measured.";

// VGG-A (Simonyan and Zisserman 2015), 16 to 128 channels; what `norm` is stands behind each convolution.
std::string vgg_a(const std::string& norm) {
  return fmt::format(
      "let block(c) = {{ conv c, {}, relu }}\n"
      "block(16), maxpool 2, block(32), maxpool 2, 2 x block(64), maxpool 2, 2 x block(128), maxpool 2, "
      "2 x block(128), maxpool 2, flatten, linear classes",
      norm);
}

struct Net {
  const char *name, *words, *norm;
};
const Net kPlain{"plain", "without batch norm", "identity"}, kNorm{"bn", "with batch norm", "bn"},
    kNoisy{"noisy", "with noisy batch norm", "bn, noise"};

// Before a step, on its batch.
using Look = std::function<void(Module&, const Batch&)>;

// Trains as the note says for the extent's steps, and looks `looks` times at equal distances. The losses; a
// run that diverges ends early, and one that is asked to stop begins anew another time.
std::vector<double> train(Laboratory& lab, const Net& net, uint64_t seed, int64_t looks, const Look& look) {
  const Dataset& data = lab.data();
  TrainSetup setup;
  setup.model = vgg_a(net.norm);
  setup.input = {data.channels(), data.height(), data.width(), data.classes()};
  setup.init = "kaiming";
  setup.loader = {.batch_size = 128, .seed = seed, .normalization = make_normalization("standard", data)};
  setup.optimizer = {.name = "sgd", .lr = kRate, .hyper = {{"momentum", 0}}};
  setup.seed = seed;
  Trainer trainer(data, setup);
  LoaderOptions direct = trainer.setup().loader;
  direct.threads = 0;
  Loader batches(data.train, direct);
  std::vector<double> losses;
  for (int64_t step = 0; step < lab.extent().steps; ++step) {
    if (const int signal = stop_signal()) throw Stopped{signal};
    if (step % (lab.extent().steps / looks) == 0) look(trainer.model(), batches.make(step));
    try {
      losses.push_back(trainer.step().loss);
    } catch (const Error& e) {
      if (e.kind() != ErrorKind::diverged) throw;
      break;
    }
  }
  return losses;
}

double or_infinite(double v) { return std::isfinite(v) ? v : HUGE_VAL; }

// Of measurements, of which one that is not finite, or that a run did not live to see, counts as infinite.
std::vector<double> filled(const Json& values, int64_t count) {
  std::vector<double> all = numbers_of(values);
  for (double& v : all) v = or_infinite(v);
  all.resize(static_cast<size_t>(count), HUGE_VAL);
  return all;
}

// A line over the steps: medians over the seeds of `key`, with their range.
Series over_steps(const Laboratory& lab, const std::vector<Json>& seeds, const char* key, int64_t looks,
                  const Net& net, size_t color) {
  Series line;
  line.label = net.words;
  line.color = palette(color);
  for (int64_t i = 0; i < looks; ++i) {
    std::vector<double> values;
    for (const Json& s : seeds) values.push_back(filled(s.at(key), looks)[static_cast<size_t>(i)]);
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    line.x.push_back(static_cast<double>(i * (lab.extent().steps / looks)));
    line.y.push_back(median_of(values));
    line.low.push_back(*low);
    line.high.push_back(*high);
  }
  return line;
}

std::vector<double> medians(const std::vector<Json>& seeds, const char* key, int64_t looks) {
  std::vector<double> all;
  for (const Json& s : seeds) all.push_back(median_of(filled(s.at(key), looks)));
  return all;
}

size_t count_less(const std::vector<double>& a, const std::vector<double>& b) {
  size_t count = 0;
  for (size_t i = 0; i < a.size(); ++i) count += a[i] < b[i] ? 1 : 0;
  return count;
}

Json landscapes(Laboratory& lab, const Net& net, uint64_t seed, int64_t looks) {
  Json result{{"range", Json::array()}, {"beta", Json::array()}, {"distance", Json::array()}};
  const std::vector<double> losses = train(lab, net, seed, looks, [&](Module& model, const Batch& batch) {
    std::vector<double> steps;
    for (double part : {0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0}) steps.push_back(part * kRate);
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
  std::vector<Json> with, without;
  for (int64_t i = 0; i < lab.seeds(); ++i)
    for (const Net* net : {&kNorm, &kPlain})
      (net == &kNorm ? with : without).push_back(lab.unit(fmt::format("{}-{}", net->name, lab.seed(i)), [&] {
        return landscapes(lab, *net, lab.seed(i), looks);
      }));
  Outcome o;
  struct Row {
    const char *key, *plate, *what;
  };
  const Row rows[] = {{"range", "loss-range", "range of the loss along the gradient"},
                      {"beta", "smoothness", "effective beta-smoothness"},
                      {"distance", "predictiveness", "largest change of the gradient"}};
  size_t less[3];
  for (size_t r = 0; r < 3; ++r) {
    const std::vector<double> on = medians(with, rows[r].key, looks),
                              off = medians(without, rows[r].key, looks);
    less[r] = count_less(on, off);
    o.findings.push_back(
        {fmt::format("{}, {}", rows[r].what, kNorm.words), "smaller", median_text(on, "{:.3g}")});
    o.findings.push_back({fmt::format("{}, {}", rows[r].what, kPlain.words), "", median_text(off, "{:.3g}")});
    Chart chart{"", "steps", rows[r].what, {}};
    chart.log_y = true;
    chart.series = {over_steps(lab, with, rows[r].key, looks, kNorm, 0),
                    over_steps(lab, without, rows[r].key, looks, kPlain, 1)};
    o.plates.push_back({rows[r].plate, "Medians over the seeds and their range.", chart});
  }
  for (const Net* net : {&kNorm, &kPlain}) {
    std::vector<double> last;
    for (const Json& s : net == &kNorm ? with : without)
      last.push_back(filled(s.at("loss"), lab.extent().steps).back());
    o.findings.push_back(
        {fmt::format("loss of the last batch, {}", net->words), "", median_text(last, "{:.3f}")});
  }
  o.verdict = verdict_of(less[0] + less[1], 2 * with.size());
  o.why = fmt::format(
      "The median over the steps of the loss's range was smaller with batch norm in {} of {} seeds, that of "
      "the "
      "effective beta-smoothness in {}, that of the gradient's change in {}.",
      less[0], with.size(), less[1], less[2]);
  o.notes.push_back(kRateNote);
  o.notes.push_back(
      "Steps along the gradient are 0.05 to 4 times the rate. Were batch norm without effect, it would have "
      "the smaller median in all of five seeds once in 32 times.");
  return o;
}

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
  const Net* const nets[] = {&kNorm, &kNoisy, &kPlain};
  std::vector<double> final[3], drift[3][std::size(kLooked)];
  Chart chart{"", "steps", "training loss", {}};
  Outcome o;
  for (size_t n = 0; n < 3; ++n) {
    std::vector<Json> seeds;
    for (int64_t i = 0; i < lab.seeds(); ++i) {
      seeds.push_back(lab.unit(fmt::format("{}-{}", nets[n]->name, lab.seed(i)), [&] {
        Drifts drifts;
        const std::vector<double> losses =
            train(lab, *nets[n], lab.seed(i), looks, [&](Module& m, const Batch& b) { drifts.look(m, b); });
        return Json{{"loss", losses}, {"drift", drifts.result()}};
      }));
      final[n].push_back(final_loss(seeds.back().at("loss"), lab.extent().steps));
      const std::vector<double> d = numbers_of(seeds.back().at("drift"));
      for (size_t l = 0; l < d.size(); ++l) drift[n][l].push_back(d[l]);
    }
    chart.series.push_back(over_steps(lab, seeds, "loss", lab.extent().steps, *nets[n], n));
    o.findings.push_back(
        {fmt::format("training loss at the end, {}", nets[n]->words), "", median_text(final[n], "{:.3f}")});
  }
  for (size_t l = 0; l < std::size(kLooked); ++l)
    for (size_t n = 0; n < 3; ++n)
      o.findings.push_back({fmt::format("drift of layer {}, {}", kLooked[l] + 1, nets[n]->words),
                            n == 1 ? "less stable than without" : "", median_text(drift[n][l], "{:.2f}")});
  size_t near = 0, better = 0, moving = 0;
  for (size_t i = 0; i < final[0].size(); ++i) {
    near += final[1][i] <= 1.1 * final[0][i] ? 1 : 0;
    better += final[1][i] < final[2][i] ? 1 : 0;
    bool all = true;
    for (auto& layer : drift[1]) all = all && layer[i] > drift[2][static_cast<size_t>(&layer - drift[1])][i];
    moving += all ? 1 : 0;
  }
  o.verdict = verdict_of(near + better + moving, 3 * final[0].size());
  o.why = fmt::format(
      "Of {} seeds the noisy network's final loss was within 10% of that with batch norm in {} and below "
      "that "
      "without in {}, while the distributions of its layers moved more than those without in {}.",
      final[0].size(), near, better, moving);
  o.plates.push_back({"loss", "Losses of the batches, medians over the seeds and their range.", chart});
  o.notes.push_back(kRateNote);
  o.notes.push_back(
      "The noise is that of the paper's appendix: each step every channel draws a mean in +-0.5 and a scale "
      "in "
      "1..1.25, around which the noise of each value is spread by 0.1. Drift: the way of a channel's median "
      "over the width between its 15th and 85th percentile, the median over 16 channels.");
  return o;
}

Json shifts(Laboratory& lab, const Net& net, uint64_t seed, int64_t looks) {
  Json result{{"distance", Json::array()}, {"relative", Json::array()}, {"angle", Json::array()}};
  const std::vector<double> losses = train(lab, net, seed, looks, [&](Module& model, const Batch& batch) {
    const Variable images(batch.images);
    const CovariateShift shift = covariate_shift(
        model, [&] { return cross_entropy(model(images), batch.labels); }, kRate);
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
  std::vector<Json> with, without;
  for (int64_t i = 0; i < lab.seeds(); ++i)
    for (const Net* net : {&kNorm, &kPlain})
      (net == &kNorm ? with : without).push_back(lab.unit(fmt::format("{}-{}", net->name, lab.seed(i)), [&] {
        return shifts(lab, *net, lab.seed(i), looks);
      }));
  Outcome o;
  struct Row {
    const char *key, *what;
  };
  const Row rows[] = {{"distance", "||G' - G|| of a layer"},
                      {"relative", "||G' - G|| / ||G|| of a layer"},
                      {"angle", "1 - cosine of G' and G"}};
  size_t less[3];
  for (size_t r = 0; r < 3; ++r) {
    const std::vector<double> on = medians(with, rows[r].key, looks),
                              off = medians(without, rows[r].key, looks);
    less[r] = count_less(on, off);
    o.findings.push_back(
        {fmt::format("{}, {}", rows[r].what, kNorm.words), "not smaller", median_text(on, "{:.3g}")});
    o.findings.push_back({fmt::format("{}, {}", rows[r].what, kPlain.words), "", median_text(off, "{:.3g}")});
    Chart chart{"", "steps", rows[r].what, {}};
    chart.log_y = true;
    chart.series = {over_steps(lab, with, rows[r].key, looks, kNorm, 0),
                    over_steps(lab, without, rows[r].key, looks, kPlain, 1)};
    o.plates.push_back({rows[r].key, "Medians over the layers, and over the seeds with their range.", chart});
  }
  const size_t seeds = with.size();
  o.verdict = verdict_of((seeds - less[0]) + (seeds - less[2]), 2 * seeds);
  o.why = fmt::format(
      "Batch norm had the smaller change of gradients in {} of {} seeds ({} relative to the gradient) and "
      "the "
      "smaller angle in {}.",
      less[0], seeds, less[1], less[2]);
  o.notes.push_back(kRateNote);
  return o;
}

const RegisterExperiment landscape_entry(
    {.place = 90,
     .name = "santurkar-landscape",
     .paper = std::string(kPaper) + ", section 3",
     .claim = "Batch norm makes the loss smoother: along the gradient it changes less, and the gradient is "
              "more predictive.",
     .rule = "VGG-A of a quarter of the width: in every seed the medians over the steps of the range of the "
             "loss along the gradient, and of the effective beta-smoothness, are smaller with batch norm.",
     .data = "cifar10",
     .extents = {{"reduced", "100 steps, of which 10 are looked at, instead of 400 and 80", 100, 5, 5},
                 {"full", "", 400, 5, 30}},
     .measure = measure_landscape});
const RegisterExperiment noisy_entry(
    {.place = 92,
     .name = "noisy-batch-norm",
     .paper = std::string(kPaper) + ", section 2.1",
     .claim = "Batch norm helps even where noise behind it makes the distributions of the layers less stable "
              "than they are without it.",
     .rule = "VGG-A of a quarter of the width, loss over the last fifth of the steps: in every seed that of "
             "noisy batch norm is at most 1.1 times that of batch norm and less than without it, and the "
             "percentiles of all three layers looked at drift more than without it.",
     .data = "cifar10",
     .extents = {{"reduced", "100 steps instead of 400", 100, 5, 5}, {"full", "", 400, 5, 20}},
     .measure = measure_noisy});
const RegisterExperiment shift_entry(
    {.place = 94,
     .name = "covariate-shift",
     .paper = std::string(kPaper) + ", section 2.2",
     .claim = "Batch norm does not reduce internal covariate shift: how much a layer's gradient changes when "
              "the layers before it are updated.",
     .rule = "VGG-A of a quarter of the width, medians over steps and layers: in no seed is the distance of "
             "the two gradients smaller, nor their cosine larger, with batch norm.",
     .data = "cifar10",
     .extents = {{"reduced", "60 steps, of which 6 are looked at, instead of 400 and 40", 60, 5, 4},
                 {"full", "", 400, 5, 25}},
     .measure = measure_shift});

}  // namespace
}  // namespace sigma::app
