// What batch norm does to random networks, before any training: ranks, orthogonality, gradients.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/experiments/experiment.h"
#include "apps/experiments/slope.h"
#include "apps/training/measures.h"
#include "autograd/ops.h"
#include "core/json.h"
#include "layers/activations.h"
#include "layers/batch_norm.h"
#include "layers/init.h"
#include "layers/linear.h"

namespace sigma::app {
namespace {

// Layers of one width, each x -> act(norm(W x)), on Gaussian samples.
struct Chain {
  int64_t width = 128, samples = 128, depth = 200;
  bool norm = true, relu = false, orthogonal = false;
  std::string name(uint64_t seed) const {
    return fmt::format("chain-{}-{}-{}{}{}{}-{}", width, samples, depth, norm ? "-bn" : "",
                       relu ? "-relu" : "", orthogonal ? "-orthogonal" : "", seed);
  }
};

// What goes through the layers: h_0 ... h_depth.
Variables forward(const Chain& chain, uint64_t seed) {
  Tensor x = Tensor::empty({chain.samples, chain.width});
  init::normal(x, 0, 1, Rng(seed, "samples"));
  Variables h{Variable(x, true)};
  for (int64_t l = 0; l < chain.depth; ++l) {
    Linear linear(chain.width, chain.width, {.bias = false});
    const Rng rng(seed, fmt::format("layer/{}", l));
    Tensor& weight = linear.weight.mutable_value();
    if (chain.orthogonal)
      init::orthogonal(weight, rng);
    else
      init::kaiming_normal(weight, rng, chain.relu ? std::sqrt(2.0) : 1.0);
    Variable y = linear(h.back());
    if (chain.norm) {
      BatchNorm1d norm(chain.width);
      norm.train();
      y = norm(y);
    }
    h.push_back(chain.relu ? relu(y) : y);
  }
  return h;
}

std::vector<int64_t> depths_of(const Chain& chain) {
  std::vector<int64_t> depths{0, 1, 2, 3, 5, 7};
  for (int64_t d = 10; d <= chain.depth; d += std::max<int64_t>(5, chain.depth / 20)) depths.push_back(d);
  std::erase_if(depths, [&](int64_t d) { return d > chain.depth; });
  return depths;
}

// By depth, the rank and the orthogonality gap.
Json representations(Laboratory& lab, const Chain& chain, uint64_t seed) {
  return lab.unit(chain.name(seed), [&] {
    const NoGrad off;
    const Variables h = forward(chain, seed);
    Json result{{"rank", Json::array()}, {"gap", Json::array()}};
    for (int64_t d : depths_of(chain)) {
      const Tensor& t = h[static_cast<size_t>(d)].value();
      result["rank"].push_back(trace_rank(t));
      result["gap"].push_back(orthogonality_gap(t));
    }
    return result;
  });
}

// log ||d L / d h_l||^2 by layer, of L = <h_depth, a random matrix>.
Json gradients(Laboratory& lab, const Chain& chain, uint64_t seed) {
  return lab.unit("gradient-" + chain.name(seed), [&] {
    const Variables h = forward(chain, seed);
    Tensor r = Tensor::empty(h.back().value().shape());
    init::normal(r, 0, 1, Rng(seed, "cotangent"));
    Json result = Json::array();
    for (const Variable& g : grad({h.back()}, h, {Variable(r)})) {
      double squares = 0;
      for (double v : g.value().to_vector()) squares += v * v;
      result.push_back(std::log(squares));
    }
    return result;
  });
}

// A line of medians over seeds with their range, of one key of the measurements.
Series line_over_depth(const std::vector<Json>& seeds, const char* key, const std::vector<int64_t>& depths,
                       const std::string& label, size_t color) {
  Series line;
  line.label = label;
  line.color = palette(color);
  for (size_t i = 0; i < depths.size(); ++i) {
    std::vector<double> values;
    for (const Json& s : seeds) values.push_back(s.at(key).at(i).get<double>());
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    line.x.push_back(static_cast<double>(depths[i]));
    line.y.push_back(median_of(values));
    line.low.push_back(*low);
    line.high.push_back(*high);
  }
  return line;
}

std::vector<double> last_of(const std::vector<Json>& seeds, const char* key) {
  std::vector<double> values;
  for (const Json& s : seeds) values.push_back(s.at(key).back().get<double>());
  return values;
}

std::vector<Json> all_seeds(Laboratory& lab, const Chain& chain) {
  std::vector<Json> all;
  for (int64_t i = 0; i < lab.seeds(); ++i) all.push_back(representations(lab, chain, lab.seed(i)));
  return all;
}

Outcome measure_rank(Laboratory& lab) {
  Outcome o;
  Chart chart{"", "depth (layers)", "rank of the representations (trace rank)", {}};
  chart.log_y = true;
  bool holds = true;
  std::string numbers;
  size_t color = 0;
  for (bool relu : {false, true})
    for (bool norm : {true, false}) {
      const Chain chain{.depth = lab.extent().steps, .norm = norm, .relu = relu};
      const auto seeds = all_seeds(lab, chain);
      const std::vector<double> last = last_of(seeds, "rank");
      const double bound = std::sqrt(static_cast<double>(chain.width)) / 2;
      for (double rank : last) holds = holds && (norm ? rank >= bound : rank < bound);
      const std::string label =
          fmt::format("{}, {} batch norm", relu ? "ReLU" : "linear", norm ? "with" : "without");
      chart.series.push_back(line_over_depth(seeds, "rank", depths_of(chain), label, color++));
      o.findings.push_back(
          {fmt::format("{}: rank after {} layers of width {}", label, chain.depth, chain.width),
           norm ? fmt::format("of the order of {:.0f}", 2 * bound) : "1", median_text(last, "{:.2f}")});
    }
  std::vector<double> slopes;
  for (int64_t i = 0; i < lab.seeds(); ++i) {
    std::vector<double> x, y;
    for (int64_t width : {32, 64, 128, 256}) {
      const Chain chain{.width = width, .samples = width, .depth = 100};
      x.push_back(std::log(static_cast<double>(width)));
      y.push_back(std::log(representations(lab, chain, lab.seed(i)).at("rank").back().get<double>()));
    }
    slopes.push_back(slope_of(x, y));
  }
  const Slope exponent = over_seeds(slopes);
  o.findings.push_back(
      {"exponent of the rank in the width, linear with batch norm, 32 to 256 (mean, 95% interval)",
       "at least 0.5", exponent.text()});
  const bool grows = exponent.low >= 0.5;
  o.verdict = holds && grows   ? Verdict::reproduced
              : holds || grows ? Verdict::partly
                               : Verdict::not_reproduced;
  o.why = fmt::format(
      "After {} layers the rank {} in every seed; with batch norm it grows as the width to the power {}.",
      lab.extent().steps,
      holds ? "stayed above half the root of the width with batch norm and fell below it without"
            : "was not on the side of half the root of the width that the claim says",
      exponent.text("{:.2f}"));
  o.plates.push_back({"rank", "Medians over the seeds and their range; 128 samples, width 128.", chart});
  return o;
}

Outcome measure_orthogonality(Laboratory& lab) {
  Outcome o;
  Chart chart{"", "depth (layers)", "orthogonality gap", {}};
  chart.log_y = true;
  std::vector<double> rates, exponents;
  const std::vector<int64_t> widths{64, 128, 256, 512};
  size_t color = 0;
  std::vector<std::vector<double>> plateaus(widths.size());
  for (size_t w = 0; w < widths.size(); ++w) {
    const Chain chain{.width = widths[w], .samples = 16, .depth = 60};
    const auto seeds = all_seeds(lab, chain);
    chart.series.push_back(
        line_over_depth(seeds, "gap", depths_of(chain), fmt::format("width {}", widths[w]), color++));
    for (const Json& s : seeds) {
      const auto gaps = s.at("gap").get<std::vector<double>>();
      plateaus[w].push_back(gaps.back());
    }
    o.findings.push_back({fmt::format("gap after {} layers of width {}", chain.depth, chain.width),
                          "falls with the width", median_text(plateaus[w], "{:.3f}")});
  }
  for (size_t i = 0; i < plateaus[0].size(); ++i) {
    std::vector<double> x, y;
    for (size_t w = 0; w < widths.size(); ++w) {
      x.push_back(std::log(static_cast<double>(widths[w])));
      y.push_back(std::log(plateaus[w][i]));
    }
    exponents.push_back(slope_of(x, y));
  }
  const Slope exponent = over_seeds(exponents);
  // From nearly parallel samples: how fast the gap decays before the plateau.
  for (int64_t i = 0; i < lab.seeds(); ++i) {
    const Json gaps = lab.unit(fmt::format("parallel-{}", lab.seed(i)), [&] {
      const NoGrad off;
      const Chain chain{.width = 512, .samples = 16, .depth = 20};
      Tensor x = Tensor::empty({chain.samples, chain.width}), common = Tensor::empty({1, chain.width});
      init::normal(x, 0, 0.05, Rng(lab.seed(i), "samples"));
      init::normal(common, 0, 1, Rng(lab.seed(i), "direction"));
      Variable h(add(x, common));
      Json result = Json::array({orthogonality_gap(h.value())});
      for (int64_t l = 0; l < chain.depth; ++l) {
        Linear linear(chain.width, chain.width, {.bias = false});
        init::kaiming_normal(linear.weight.mutable_value(), Rng(lab.seed(i), fmt::format("layer/{}", l)),
                             1.0);
        BatchNorm1d norm(chain.width);
        norm.train();
        h = norm(linear(h));
        result.push_back(orthogonality_gap(h.value()));
      }
      return result;
    });
    const auto g = gaps.get<std::vector<double>>();
    rates.push_back(std::log(g[1] / g[0]));
  }
  const Slope rate = over_seeds(rates);
  o.findings.push_back(
      {"exponent of the plateau in the width (mean, 95% interval)", "below 0", exponent.text()});
  o.findings.push_back(
      {"log of the gap's change in the first layer, from nearly parallel samples (mean, 95% interval)",
       "below 0", rate.text()});
  const bool falls = exponent.high < 0, decays = rate.high < 0;
  o.verdict = falls && decays   ? Verdict::reproduced
              : falls || decays ? Verdict::partly
                                : Verdict::not_reproduced;
  o.why = fmt::format(
      "The gap comes down to a plateau that falls as the width to the power {}; from nearly parallel samples "
      "one layer changes it by a factor of {:.2f}.",
      exponent.text("{:.2f}"), std::exp(rate.value));
  o.plates.push_back(
      {"gap", "Linear layers with batch norm, 16 samples; medians over the seeds and their range.", chart});
  return o;
}

// log ||gradient||^2 a layer towards the input, by seed: the slope over the half of the layers at the output,
// where what flows through the network no longer depends on how the samples began.
std::vector<double> gradient_slopes(Laboratory& lab, const Chain& chain, Series* line) {
  std::vector<double> slopes;
  for (int64_t i = 0; i < lab.seeds(); ++i) {
    const auto logs = gradients(lab, chain, lab.seed(i)).get<std::vector<double>>();
    std::vector<double> back, y;  // layers from the output
    for (size_t l = logs.size(); l-- > 0;) {
      back.push_back(static_cast<double>(logs.size() - 1 - l));
      y.push_back(logs[l]);
    }
    if (line && i == 0) {
      line->x = back;
      line->y = y;
    }
    const size_t half = back.size() / 2;
    back.resize(half);
    y.resize(half);
    slopes.push_back(slope_of(back, y));
  }
  return slopes;
}

Outcome measure_explosion(Laboratory& lab) {
  Outcome o;
  Chart chart{"", "layers back from the output", "log of the gradient's squared norm", {}};
  Slope with, without;
  for (bool norm : {true, false}) {
    const Chain chain{.width = 512, .samples = 256, .depth = lab.extent().steps, .norm = norm, .relu = true};
    Series line;
    line.label = norm ? "with batch norm" : "without";
    line.color = palette(norm ? 0 : 1);
    const Slope slope = over_seeds(gradient_slopes(lab, chain, &line));
    (norm ? with : without) = slope;
    chart.series.push_back(line);
    o.findings.push_back(
        {fmt::format("factor of the squared gradient a ReLU layer, {} (mean, 95% interval)", line.label),
         norm ? "1.467 = pi / (pi - 1)" : "1",
         fmt::format("{:.3f} [{:.3f}, {:.3f}]", std::exp(slope.value), std::exp(slope.low),
                     std::exp(slope.high))});
  }
  const double factor = std::exp(with.value);
  const bool explodes = with.low > 0, exact = std::abs(factor / 1.467 - 1) <= 0.1;
  o.verdict = explodes && exact ? Verdict::reproduced : explodes ? Verdict::partly : Verdict::not_reproduced;
  o.why = fmt::format(
      "Towards the input the squared gradient grows by {:.3f} a layer with batch norm, and by {:.3f} "
      "without.",
      factor, std::exp(without.value));
  o.plates.push_back({"gradient", "The first seed: width 512, 256 samples.", chart});
  return o;
}

Outcome measure_orthogonal_weights(Laboratory& lab) {
  Outcome o;
  Chart chart{"", "layers back from the output", "log of the gradient's squared norm", {}};
  Slope slopes[2];
  for (bool orthogonal : {true, false}) {
    const Chain chain{.width = 128, .samples = 128, .depth = lab.extent().steps, .orthogonal = orthogonal};
    Series line;
    line.label = orthogonal ? "orthogonal weights" : "Gaussian weights";
    line.color = palette(orthogonal ? 0 : 1);
    slopes[orthogonal ? 1 : 0] = over_seeds(gradient_slopes(lab, chain, &line));
    chart.series.push_back(line);
    o.findings.push_back(
        {fmt::format("growth of the log squared gradient a layer, {} (mean, 95% interval)", line.label),
         orthogonal ? "0" : "above 0", slopes[orthogonal ? 1 : 0].text("{:.4f}")});
  }
  const bool bounded = slopes[1].high < slopes[0].low / 10;
  const bool smaller = slopes[1].high < slopes[0].low;
  o.verdict = bounded ? Verdict::reproduced : smaller ? Verdict::partly : Verdict::not_reproduced;
  o.why = fmt::format(
      "Through linear layers with batch norm the log of the squared gradient grows by {:.4f} a layer with "
      "orthogonal weights, by {:.4f} with Gaussian ones.",
      slopes[1].value, slopes[0].value);
  o.plates.push_back({"gradient", "The first seed: width 128, 128 samples.", chart});
  return o;
}

const RegisterExperiment rank(
    {200,
     "rank-collapse",
     "Daneshmand et al. 2020 (arXiv 2003.01652)",
     "Without batch norm the representations of a random network collapse with depth to rank one; with it "
     "their rank stays of "
     "the order of the root of the width.",
     "After 200 layers of width 128, linear and ReLU, in every seed: at least half the root of the width "
     "with batch norm, less "
     "without; and the exponent of the rank in the width is at least 0.5, by its 95% interval.",
     "",
     {{"full", "", 200, 10, 1.5}},
     measure_rank});
const RegisterExperiment orthogonality({210,
                                        "orthogonality-gap",
                                        "Daneshmand et al. 2021 (arXiv 2106.03970)",
                                        "With batch norm the representations of a random network become "
                                        "orthogonal with depth, up to a gap that falls with the "
                                        "width.",
                                        "The exponent of the gap after 60 layers in the width is below 0, "
                                        "and from nearly parallel samples the gap falls in the first "
                                        "layer, both by their 95% intervals.",
                                        "",
                                        {{"full", "", 60, 10, 1.5}},
                                        measure_orthogonality});
const RegisterExperiment explosion({220,
                                    "gradient-explosion",
                                    "Yang et al. 2019 (arXiv 1902.08129)",
                                    "Batch norm itself makes the gradients of a deep random network explode, "
                                    "by a factor that no initial variance removes.",
                                    "The slope of the log squared gradient over 60 ReLU layers is above 0 by "
                                    "its 95% interval, and the factor a layer lies within "
                                    "a tenth of pi / (pi - 1).",
                                    "",
                                    {{"reduced", "15 layers and 3 seeds", 15, 3, 0.1},
                                     {"full", "", 60, 10, 2}},
                                    measure_explosion});
const RegisterExperiment orthogonal_weights(
    {230,
     "orthogonal-weights",
     "Meterez et al. 2024 (arXiv 2310.02012)",
     "With orthogonal weights and linear layers batch norm leaves gradients bounded at any depth.",
     "The growth of the log squared gradient a layer with orthogonal weights is less than a tenth of that "
     "with Gaussian weights, by "
     "their 95% intervals.",
     "",
     {{"reduced", "20 layers and 3 seeds", 20, 3, 0.1}, {"full", "", 100, 10, 0.5}},
     measure_orthogonal_weights});

}  // namespace
}  // namespace sigma::app
