// A network that learns with nothing but the scales and shifts of its batch norms.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "apps/experiments/experiment.h"
#include "apps/training/measures.h"
#include "core/json.h"
#include "core/text.h"
#include "layers/networks/models.h"

namespace sigma::app {
namespace {

// What learns, as rates by layer.
struct Part {
  const char *name, *words, *rates;
};
const std::vector<Part> kParts{
    {"affine", "gamma and beta alone", "*=0,*bn*=1,*downsample.1=1"},
    {"all", "all parameters", ""},
    {"filters", "as many and more elsewhere: the filters of one convolution", "*=0,layer1.0.conv1=1"},
    {"head", "the last layer alone", "*=0,fc=1"}};

// ResNet-20; at a quarter of the resolution where the extent is reduced.
std::string network_for(const Extent& extent) {
  std::string text = model_text("resnet20");
  const std::string stem = "conv1: conv 16";
  const size_t at = text.find(stem);
  SIGMA_CHECK(at != std::string::npos, "affine-only", "expected resnet20 to begin with {}", stem);
  if (extent.name != "full") text.insert(at + stem.size(), " stride=4");
  return text;
}

Outcome measure(Laboratory& lab) {
  const bool full = lab.extent().name == "full";
  Outcome o;
  std::vector<std::vector<double>> accuracy(kParts.size()), off(kParts.size());
  for (int64_t i = 0; i < lab.seeds(); ++i)
    for (size_t p = 0; p < kParts.size(); ++p) {
      std::vector<std::string> flags = split(
          fmt::format(
              "--normalize standard --batch-size {} --lr 0.1 --momentum 0.9 --schedule one-cycle --init "
              "kaiming --augment {} --seed {}",
              full ? 128 : 64, full ? "flip+crop" : "none", lab.seed(i)),
          ' ');
      flags.insert(flags.end(), {"--model", network_for(lab.extent())});
      if (*kParts[p].rates) flags.insert(flags.end(), {"--lr-scale", kParts[p].rates});
      const Json result =
          lab.trained(fmt::format("{}-{}", kParts[p].name, lab.seed(i)), flags,
                      [](Module& model, const EvalResult& test) {
                        return Json{{"accuracy", test.accuracy}, {"off", switched_off(model)}};
                      });
      accuracy[p].push_back(number_of(result.at("accuracy")));
      off[p].push_back(number_of(result.at("off")));
    }
  for (size_t p = 0; p < kParts.size(); ++p)
    o.findings.push_back({fmt::format("accuracy, {}", kParts[p].words), p == 0 ? "82% (866 layers)" : "",
                          percent_range(accuracy[p])});
  for (size_t p : {0, 1})
    o.findings.push_back({fmt::format("features switched off (gamma below 0.01), {}", kParts[p].words),
                          p == 0 ? "about a third" : "", percent_range(off[p])});
  size_t above = 0, below = 0;
  for (size_t i = 0; i < accuracy[0].size(); ++i) {
    above += accuracy[0][i] >= std::max(accuracy[2][i], accuracy[3][i]) + 0.05 ? 1 : 0;
    below += accuracy[0][i] < accuracy[1][i] ? 1 : 0;
  }
  const size_t n = accuracy[0].size();
  o.verdict = verdict_of(size_t{above == n} + size_t{below == n}, 2);
  o.why = fmt::format(
      "With gamma and beta alone the network came to {}, with the last layer alone to {}, with one "
      "convolution alone to {}, with everything to {}; {} of the features were switched off.",
      percent_range(accuracy[0]), percent_range(accuracy[3]), percent_range(accuracy[2]),
      percent_range(accuracy[1]), percent_range(off[0]));
  o.notes.push_back(
      "ResNet-20 has 1,568 gammas and betas, the convolution that learns alone 2,304 weights, the last "
      "layer 650 numbers. What does not learn has a rate of 0; the statistics of every batch norm go on. "
      "The paper draws gamma from 0 to 1 where ours begins at 1, and trains 160 epochs.");
  return o;
}

const RegisterExperiment affine(
    {.place = 270,
     .name = "affine-only",
     .paper = "Frankle, Schwab and Morcos 2021 (arXiv 2003.00152)",
     .claim = "A residual network learns with gamma and beta of its batch norms alone, all else at "
              "random values; it switches features off.",
     .rule = "In every seed gamma and beta alone end at least 5 points above the last layer alone and above "
             "more parameters elsewhere, and below all parameters. The share of features switched off is "
             "shown and decides nothing.",
     .data = "cifar10",
     .extents = {{"reduced", "a quarter of the resolution, 200 steps of 64", 200, 3, 2},
                 {"full", "", 15640, 3, 1700}},
     .measure = measure});

}  // namespace
}  // namespace sigma::app
