// What batch norm does to random networks, before any training: ranks, orthogonality, gradients.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>

#include "apps/experiments/experiment.h"
#include "apps/experiments/slope.h"
#include "apps/training/measures.h"
#include "autograd/ops.h"
#include "core/json.h"
#include "core/math.h"
#include "layers/activations.h"
#include "layers/batch_norm.h"
#include "layers/init.h"
#include "layers/linear.h"

namespace sigma::app {
namespace {

// Layers of one width, each x -> act(norm(W x)), on Gaussian samples, or on ones that nearly share a
// direction.
struct Chain {
  int64_t width = 128, samples = 128, depth = 200;
  bool norm = true, relu = false, orthogonal = false, parallel = false;
  std::string name(uint64_t seed) const {
    return fmt::format("chain-{}-{}-{}{}{}{}{}-{}", width, samples, depth, norm ? "-bn" : "",
                       relu ? "-relu" : "", orthogonal ? "-orthogonal" : "", parallel ? "-parallel" : "",
                       seed);
  }
};

Tensor samples_of(const Chain& chain, uint64_t seed) {
  Tensor x = Tensor::empty({chain.samples, chain.width});
  init::normal(x, 0, chain.parallel ? 0.05 : 1, Rng(seed, "samples"));
  if (!chain.parallel) return x;
  Tensor common = Tensor::empty({1, chain.width});
  init::normal(common, 0, 1, Rng(seed, "direction"));
  return add(x, common);
}

// What goes through the layers: h_0 ... h_depth.
Variables forward(const Chain& chain, uint64_t seed) {
  Variables h{Variable(samples_of(chain, seed), true)};
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
      result.push_back(2 * std::log(norm2(g.value())));
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
    for (const Json& s : seeds) values.push_back(number_of(s.at(key).at(i)));
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
  for (const Json& s : seeds) values.push_back(number_of(s.at(key).back()));
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
      y.push_back(std::log(number_of(representations(lab, chain, lab.seed(i)).at("rank").back())));
    }
    slopes.push_back(slope_of(x, y));
  }
  const Slope exponent = over_seeds(slopes);
  o.findings.push_back(
      {"exponent of the rank in the width, linear with batch norm, 32 to 256 (mean, 95% interval)",
       "at least 0.5", exponent.text()});
  const bool grows = exponent.low >= 0.5;
  o.verdict = verdict_of(size_t{holds} + size_t{grows}, 2);
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
    const Chain chain{.width = widths[w], .samples = 16, .depth = lab.extent().steps};
    const auto seeds = all_seeds(lab, chain);
    chart.series.push_back(
        line_over_depth(seeds, "gap", depths_of(chain), fmt::format("width {}", widths[w]), color++));
    plateaus[w] = last_of(seeds, "gap");
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
  // How fast it decays before the plateau.
  for (const Json& seed : all_seeds(lab, {.width = 512, .samples = 16, .depth = 1, .parallel = true})) {
    const std::vector<double> gaps = numbers_of(seed.at("gap"));
    rates.push_back(std::log(gaps[1] / gaps[0]));
  }
  const Slope rate = over_seeds(rates);
  o.findings.push_back(
      {"exponent of the plateau in the width (mean, 95% interval)", "below 0", exponent.text()});
  o.findings.push_back(
      {"log of the gap's change in the first layer, from nearly parallel samples (mean, 95% interval)",
       "below 0", rate.text()});
  const bool falls = exponent.high < 0, decays = rate.high < 0;
  o.verdict = verdict_of(size_t{falls} + size_t{decays}, 2);
  o.why = fmt::format(
      "The gap comes down to a plateau that falls as the width to the power {}; from nearly parallel samples "
      "one layer changes it by a factor of {:.2f}.",
      exponent.text("{:.2f}"), std::exp(rate.value));
  o.plates.push_back(
      {"gap", "Linear layers with batch norm, 16 samples; medians over the seeds and their range.", chart});
  return o;
}

// log ||gradient||^2 a layer towards the input, over the seeds: the slope over the half of the layers at the
// output, where what flows through the network no longer depends on how the samples began. The first seed is
// drawn.
Slope gradient_slope(Laboratory& lab, const Chain& chain, const std::string& label, Chart& chart) {
  std::vector<double> slopes;
  for (int64_t i = 0; i < lab.seeds(); ++i) {
    std::vector<double> back, y = numbers_of(gradients(lab, chain, lab.seed(i)));
    std::reverse(y.begin(), y.end());
    for (size_t l = 0; l < y.size(); ++l) back.push_back(static_cast<double>(l));  // layers from the output
    if (i == 0) {
      Series line;
      line.label = label;
      line.color = palette(chart.series.size());
      line.x = back;
      line.y = y;
      chart.series.push_back(std::move(line));
    }
    back.resize(back.size() / 2);
    y.resize(back.size());
    slopes.push_back(slope_of(back, y));
  }
  return over_seeds(slopes);
}

Chart gradient_chart() {
  return {"", "layers back from the output", "log of the gradient's squared norm", {}};
}

Outcome measure_explosion(Laboratory& lab) {
  constexpr double kPublished = std::numbers::pi / (std::numbers::pi - 1);
  Outcome o;
  Chart chart = gradient_chart();
  auto measured = [&](bool norm, const std::string& label, const std::string& published) {
    const Chain chain{.width = 512, .samples = 256, .depth = lab.extent().steps, .norm = norm, .relu = true};
    Slope factor = gradient_slope(lab, chain, label, chart);
    for (double* v : {&factor.value, &factor.low, &factor.high}) *v = std::exp(*v);
    o.findings.push_back(
        {fmt::format("factor of the squared gradient a ReLU layer, {} (mean, 95% interval)", label),
         published, factor.text()});
    return factor;
  };
  const Slope with = measured(true, "with batch norm", fmt::format("{:.3f} = pi / (pi - 1)", kPublished)),
              without = measured(false, "without", "1");
  const bool explodes = with.low > 1, exact = std::abs(with.value / kPublished - 1) <= 0.1;
  o.verdict = verdict_of(explodes ? 1 + size_t{exact} : 0, 2);
  o.why = fmt::format(
      "Towards the input the squared gradient grows by {:.3f} a layer with batch norm, and by {:.3f} "
      "without.",
      with.value, without.value);
  o.plates.push_back({"gradient", "The first seed: width 512, 256 samples.", chart});
  return o;
}

Outcome measure_orthogonal_weights(Laboratory& lab) {
  Outcome o;
  Chart chart = gradient_chart();
  auto measured = [&](bool orthogonal, const std::string& label, const std::string& published) {
    const Chain chain{.depth = lab.extent().steps, .orthogonal = orthogonal};
    const Slope slope = gradient_slope(lab, chain, label, chart);
    o.findings.push_back(
        {fmt::format("growth of the log squared gradient a layer, {} (mean, 95% interval)", label), published,
         slope.text("{:.4f}")});
    return slope;
  };
  const Slope orthogonal = measured(true, "orthogonal weights", "0"),
              gaussian = measured(false, "Gaussian weights", "above 0");
  o.verdict =
      verdict_of(size_t{orthogonal.high < gaussian.low} + size_t{orthogonal.high < gaussian.low / 10}, 2);
  o.why = fmt::format(
      "Through linear layers with batch norm the log of the squared gradient grows by {:.4f} a layer with "
      "orthogonal weights, by {:.4f} with Gaussian ones.",
      orthogonal.value, gaussian.value);
  o.plates.push_back({"gradient", "The first seed: width 128, 128 samples.", chart});
  return o;
}

const RegisterExperiment rank(
    {.place = 200,
     .name = "rank-collapse",
     .paper = "Daneshmand et al. 2020 (arXiv 2003.01652)",
     .claim = "Without batch norm the representations of a random network collapse with depth to rank one; "
              "with it their rank stays of the order of the root of the width.",
     .rule = "After 200 layers of width 128, linear and ReLU, in every seed: at least half the root of the "
             "width with batch norm, less without; and the exponent of the rank in the width is at least "
             "0.5, by its 95% interval.",
     .extents = {{"full", "", 200, 10, 1.5}},
     .measure = measure_rank});
const RegisterExperiment orthogonality(
    {.place = 210,
     .name = "orthogonality-gap",
     .paper = "Daneshmand et al. 2021 (arXiv 2106.03970)",
     .claim = "With batch norm the representations of a random network become orthogonal with depth, up to a "
              "gap that falls with the width.",
     .rule = "The exponent of the gap after 60 layers in the width is below 0, and from nearly parallel "
             "samples the gap falls in the first layer, both by their 95% intervals.",
     .extents = {{"full", "", 60, 10, 1.5}},
     .measure = measure_orthogonality});
const RegisterExperiment explosion(
    {.place = 220,
     .name = "gradient-explosion",
     .paper = "Yang et al. 2019 (arXiv 1902.08129)",
     .claim = "Batch norm itself makes the gradients of a deep random network explode, by a factor that no "
              "initial variance removes.",
     .rule = "The slope of the log squared gradient, over the half at the output of 60 ReLU layers, is above "
             "0 by its 95% interval, and the factor a layer lies within a tenth of pi / (pi - 1).",
     .extents = {{"reduced", "15 layers and 3 seeds", 15, 3, 0.1}, {"full", "", 60, 10, 2}},
     .measure = measure_explosion});
const RegisterExperiment orthogonal_weights(
    {.place = 230,
     .name = "orthogonal-weights",
     .paper = "Meterez et al. 2024 (arXiv 2310.02012)",
     .claim = "With orthogonal weights and linear layers batch norm leaves gradients bounded at any depth.",
     .rule = "The growth of the log squared gradient a layer, over the half at the output of 100, with "
             "orthogonal weights is less than a tenth of that with Gaussian weights, by their 95% intervals.",
     .extents = {{"reduced", "20 layers and 3 seeds", 20, 3, 0.1}, {"full", "", 100, 10, 0.5}},
     .measure = measure_orthogonal_weights});

}  // namespace
}  // namespace sigma::app
