// A deep residual network before its first step: what flows through it and what comes back (Bjorck et al.
// 2018).
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/experiments/experiment.h"
#include "apps/training/initial_weights.h"
#include "apps/training/measures.h"
#include "core/json.h"
#include "core/math.h"
#include "core/rng.h"
#include "data/dataset.h"
#include "layers/channel_norm.h"
#include "layers/cross_entropy.h"

namespace sigma::app {
namespace {

constexpr int64_t kImages = 128;
const char* const kModel = "resnet110";

// Mean over the channels of |mean over images and places|.
double mean_of_channels(const Tensor& images) {
  return mean(abs(mean(images.to(DType::float64), {0, 2, 3}))).item();
}

Json look_at(const Dataset& data, const Normalization& normalization, const std::string& init, bool norm,
             uint64_t seed) {
  TrainSetup setup;
  setup.model = kModel;
  setup.input = {data.channels(), data.height(), data.width(), data.classes()};
  setup.batch_norm = norm;
  setup.init = init;
  setup.seed = seed;
  const ModulePtr model = make_network(setup);
  initialize_weights(*model, setup, data);
  model->train();
  std::vector<int64_t> rows = permutation(data.train.size(), Rng(seed, "images"));
  rows.resize(kImages);
  const Tensor labels = index_rows(data.train.labels, rows);
  Json means = Json::array();
  ScopedHooks hooks;
  model->visit([&](const std::string&, Module& m) {
    if (m.kind() == "Residual")
      hooks.add(m, [&](const Module&, const Variable&, const Variable& out) {
        means.push_back(mean_of_channels(out.value()));
      });
  });
  const Variable images(normalized_images(data.train, rows, normalization));
  const Variable loss = cross_entropy((*model)(images), labels);
  loss.backward();
  std::vector<Variable> filters;
  for (const auto& [name, p] : model->named_parameters())
    if (p.value().rank() == 4) filters.push_back(p);
  const Tensor& gradient = filters[filters.size() / 2].grad();
  return {{"loss", loss.item()},
          {"means", means},
          {"kurtosis", kurtosis(gradient)},
          {"max_over_median", max_over_median(gradient)}};
}

std::vector<double> of(const std::vector<Json>& seeds, const char* key) {
  std::vector<double> values;
  for (const Json& s : seeds)
    values.push_back(number_of(s.at(key).is_array() ? s.at(key).back() : s.at(key)));
  return values;
}

Series means_of(const Json& seed, const std::string& label, size_t color, bool dashed) {
  Series line;
  line.label = label;
  line.color = palette(color);
  line.dashed = dashed;
  line.y = numbers_of(seed.at("means"));
  for (size_t i = 0; i < line.y.size(); ++i) line.x.push_back(static_cast<double>(i + 1));
  return line;
}

Outcome measure(Laboratory& lab) {
  Outcome o;
  Chart chart{"", "residual block", "mean of the channels' |means|", {}};
  chart.log_y = true;
  size_t good = 0, all = 0;
  std::optional<Normalization> normalization;  // a pass over all images, where anything is left to measure
  auto look = [&](const char* init, bool norm, uint64_t seed) {
    if (!normalization) normalization = make_normalization("standard", lab.data());
    return look_at(lab.data(), *normalization, init, norm, seed);
  };
  for (const char* init : {"kaiming", "xavier"}) {
    std::vector<Json> on, off;
    for (int64_t i = 0; i < lab.seeds(); ++i)
      for (bool norm : {true, false})
        (norm ? on : off)
            .push_back(lab.unit(fmt::format("{}-{}-{}", init, norm ? "bn" : "plain", lab.seed(i)),
                                [&] { return look(init, norm, lab.seed(i)); }));
    for (size_t i = 0; i < on.size(); ++i) {
      // What overflowed without batch norm is more than anything with it.
      auto ratio = [&](const char* key) {
        const double plain = of({off[i]}, key)[0], normed = of({on[i]}, key)[0];
        return std::isfinite(normed) ? (std::isfinite(plain) ? plain : HUGE_VAL) / normed : 0;
      };
      ++all;
      good += ratio("means") >= 10 && ratio("kurtosis") >= 4 && ratio("max_over_median") >= 10 ? 1 : 0;
    }
    struct Row {
      const char *key, *what, *format;
    };
    for (const Row& r :
         {Row{"loss", "loss", "{:.3g}"}, Row{"means", "|mean| of the last block's channels", "{:.3g}"},
          Row{"kurtosis", "kurtosis of the middle filter's gradient", "{:.3g}"},
          Row{"max_over_median", "largest over median entry of that gradient", "{:.3g}"}}) {
      o.findings.push_back({fmt::format("{}, {} weights, with batch norm", r.what, init), "",
                            median_text(of(on, r.key), r.format)});
      o.findings.push_back(
          {fmt::format("{}, {} weights, without", r.what, init), "", median_text(of(off, r.key), r.format)});
    }
    const bool second = std::string(init) == "xavier";
    chart.series.push_back(means_of(on[0], fmt::format("{}, with batch norm", init), 0, second));
    chart.series.push_back(means_of(off[0], fmt::format("{}, without", init), 1, second));
  }
  o.verdict = verdict_of(good, all);
  o.why = fmt::format(
      "In {} of {} pairs of networks the one without batch norm had channel means ten times, kurtosis four "
      "times "
      "and outliers of the gradient ten times those of the one with it.",
      good, all);
  o.plates.push_back({"means", "The first seed, from the input to the output of the 54 blocks.", chart});
  return o;
}

const RegisterExperiment bjorck(
    {.place = 50,
     .core = true,
     .name = "bjorck-initialization",
     .paper = "Bjorck et al. 2018, sections 3.2 and 3.3 (arXiv 1806.02375)",
     .claim = "Before any training a deep network without batch norm has channel means that grow with depth "
              "and gradients with heavy tails; with it neither.",
     .rule = "ResNet-110, one batch of 128 images, He and Xavier weights, in every seed without against with "
             "batch norm: the last block's channel means at least 10 times, the kurtosis of the middle "
             "filter's gradient at least 4 times, its largest over its median entry at least 10 times.",
     .data = "cifar10",
     .extents = {{"full", "", 0, 5, 3}},
     .measure = measure});

}  // namespace
}  // namespace sigma::app
