// Why deep residual networks need batch norm, and how they do without: what their branches add to what passes
// by, and networks whose branches begin at zero.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/experiments/experiment.h"
#include "apps/experiments/slope.h"
#include "apps/training/initial_weights.h"
#include "apps/training/measures.h"
#include "core/json.h"
#include "core/rng.h"
#include "core/text.h"
#include "layers/init.h"

namespace sigma::app {
namespace {

using Words = std::vector<std::string>;

constexpr int64_t kWidth = 256, kSamples = 256;

// Mean squares of branch and skip by block, before any training.
Json variances(Laboratory& lab, bool norm, uint64_t seed) {
  return lab.unit(fmt::format("{}-{}", norm ? "bn" : "plain", seed), [&] {
    TrainSetup setup;
    setup.model = fmt::format(
        "flatten, linear {0} bias=off, {1} x residual {{ bn, relu, linear {0} bias=off, bn, relu, linear "
        "{0} bias=off }}, linear classes",
        kWidth, lab.extent().steps);
    setup.input = {1, 1, kWidth, 10};
    setup.batch_norm = norm;
    setup.init = "kaiming";
    setup.seed = seed;
    const ModulePtr model = make_network(setup);
    initialize_weights(*model, setup, {});
    Tensor x = Tensor::empty({kSamples, 1, 1, kWidth});
    init::normal(x, 0, 1, Rng(seed, "samples"));
    const BranchVariances v = branch_variances(*model, x);
    return Json{{"branch", v.branch}, {"skip", v.skip}};
  });
}

// Of one seed: skip and the ratio by block, and the slope of each over the deeper half of the blocks, of the
// logarithms where it says so.
struct Growth {
  std::vector<double> block, skip, ratio;
  explicit Growth(const Json& measured) : skip(numbers_of(measured.at("skip"))) {
    const std::vector<double> branch = numbers_of(measured.at("branch"));
    for (size_t l = 0; l < skip.size(); ++l) {
      block.push_back(static_cast<double>(l + 1));
      ratio.push_back(branch[l] / skip[l]);
    }
  }
  static std::vector<double> deeper(const std::vector<double>& all) {
    return {all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2), all.end()};
  }
  static std::vector<double> logs(std::vector<double> values) {
    for (double& v : values) v = std::log(v);
    return values;
  }
  double linear() const { return slope_of(deeper(block), deeper(skip)); }
  double exponential() const { return slope_of(deeper(block), logs(deeper(skip))) / std::log(2.0); }
  double power_of_ratio() const { return slope_of(logs(deeper(block)), logs(deeper(ratio))); }
};

Outcome measure_variances(Laboratory& lab) {
  Outcome o;
  Chart ratios{"", "residual block", "mean square of the branch over that of the skip path", {}},
      skips{"", "residual block", "mean square of the skip path", {}};
  ratios.log_y = skips.log_y = true;
  std::vector<double> linear, power, doublings;
  for (int64_t i = 0; i < lab.seeds(); ++i)
    for (bool norm : {true, false}) {
      const Growth g(variances(lab, norm, lab.seed(i)));
      if (norm) {
        linear.push_back(g.linear());
        power.push_back(g.power_of_ratio());
      } else {
        doublings.push_back(g.exponential());
      }
      if (i > 0) continue;
      for (Chart* chart : {&ratios, &skips}) {
        Series line;
        line.label = norm ? "with batch norm" : "without";
        line.color = palette(norm ? 0 : 1);
        line.x = g.block;
        line.y = chart == &ratios ? g.ratio : g.skip;
        chart->series.push_back(line);
      }
    }
  const Slope growth = over_seeds(linear), exponent = over_seeds(power), doubling = over_seeds(doublings);
  o.findings = {
      {"with batch norm: growth of the skip path's mean square a block (mean, 95% interval)", "1",
       growth.text()},
      {"with batch norm: power of the block with which branch over skip changes (mean, 95% interval)", "-1",
       exponent.text()},
      {"without: doublings of the skip path's mean square a block (mean, 95% interval)", "1",
       doubling.text()}};
  const bool shrinks = exponent.low > -1.1 && exponent.high < -0.9;
  const bool explodes = doubling.low > 0.9 && doubling.high < 1.1;
  o.verdict = verdict_of(size_t{shrinks} + size_t{explodes}, 2);
  o.why = fmt::format(
      "With batch norm a branch's share of the variance changes with the block to the power {}; without "
      "it the variance doubles {} times a block.",
      exponent.text("{:.2f}"), doubling.text("{:.2f}"));
  o.plates = {{"ratio", "The first seed.", ratios}, {"skip", "The first seed.", skips}};
  o.notes.push_back(fmt::format(
      "Blocks of two linear layers of width {}, each after batch norm (or not) and ReLU, He's weights, "
      "{} Gaussian samples.",
      kWidth, kSamples));
  return o;
}

// A residual network after He et al. 2016, section 4.2, for images of 32x32, whose branches, beginning and
// end are those of an arm.
struct Kind {
  const char *name, *words, *first, *second, *last;  // around the convolutions of a branch
  const char *stem, *shortcut, *head;                // after the stem and shortcuts, before the last layer
  const char *bias, *init;
  Words more;
};
const std::vector<Kind> kKinds{
    {"batch-norm", "batch norm", "", "bn, relu, ", ", bn", ", bn", ", bn", "", "off", "kaiming", {}},
    {"plain", "no normalization", "", "relu, ", "", "", "", "", "on", "kaiming", {}},
    {"skipinit", "SkipInit", "", "relu, ", ", scale 0", "", "", "", "on", "kaiming", {}},
    {"fixup",
     "Fixup",
     "shift, ",
     "shift, relu, shift, ",
     ", scale, shift",
     ", shift",
     "",
     "shift, ",
     "off",
     "fixup",
     {"--lr-scale", "*scale*=0.1,*shift*=0.1"}}};

std::string network_of_kind(const Kind& k, int64_t blocks, int64_t width, int64_t stride) {
  auto body = [&](const char* more) {
    return fmt::format("{}conv c{} bias={}, {}conv c bias={}{}", k.first, more, k.bias, k.second, k.bias,
                       k.last);
  };
  return fmt::format(
      "let block(c) = {{ residual {{ {} }}, relu }}\n"
      "let down(c) = {{ residual {{ {} }} {{ conv c 1 stride=2 bias={}{} }}, relu }}\n"
      "conv {} stride={} bias={}{}, relu\n"
      "{} x block({})\ndown({}), {} x block({})\ndown({}), {} x block({})\n"
      "globalavgpool, flatten, {}linear classes",
      body(""), body(" stride=2"), k.bias, k.shortcut, width, stride, k.bias, k.stem, blocks, width,
      2 * width, blocks - 1, 2 * width, 4 * width, blocks - 1, 4 * width, k.head);
}

const Words kRates{"0.02", "0.1"};

// Of the runs of a kind, by rate, those of the better one.
std::vector<const ArmRun*> at_best_rate(const Comparison& c, std::string& rate) {
  std::vector<const ArmRun*> best;
  for (const std::string& r : kRates) {
    const auto runs = runs_where(c, {{"lr", r}});
    if (!best.empty() && median_of(accuracies(runs)) <= median_of(accuracies(best))) continue;
    best = runs;
    rate = r;
  }
  return best;
}

Comparison train_kind(Laboratory& lab, const Kind& k) {
  const bool full = lab.extent().name == "full";
  Words flags = split(
      fmt::format(
          "--data cifar10 --normalize standard --batch-norm on --weight-decay 5e-4 --decay weights "
          "--momentum 0.9 --schedule one-cycle --lr {} --init {} {}",
          join(kRates, ","), k.init,
          full ? "--batch-size 128 --augment flip+crop"
               : "--batch-size 64 --limit-train 5000 --limit-test 1000 --eval-every 100 --eval-images 500"),
      ' ');
  flags.insert(flags.end(), {"--model", full ? network_of_kind(k, 9, 16, 1) : network_of_kind(k, 9, 8, 4)});
  flags.insert(flags.end(), k.more.begin(), k.more.end());
  return lab.compare(k.name, flags);
}

Outcome measure_skipinit(Laboratory& lab) {
  Outcome o;
  Chart chart{"", "step", "test accuracy (%)", {}};
  std::vector<std::vector<double>> ends;
  for (const Kind& k : kKinds) {
    const Comparison c = train_kind(lab, k);
    for (const std::string& rate : kRates) {
      const auto runs = runs_where(c, {{"lr", rate}});
      const auto lost = std::count_if(runs.begin(), runs.end(), [](auto* r) { return r->diverged_at >= 0; });
      o.findings.push_back(
          {fmt::format("{}, rate {}", k.words, rate), "",
           percent_range(accuracies(runs)) + (lost ? fmt::format("; {} diverged", lost) : "")});
    }
    std::string rate;
    const auto best = at_best_rate(c, rate);
    ends.push_back(accuracies(best));
    Series line;
    line.label = fmt::format("{}, rate {}", k.words, rate);
    line.color = palette(chart.series.size());
    for (size_t i = 0; i < best[0]->step.size(); ++i) {
      line.x.push_back(static_cast<double>(best[0]->step[i]));
      line.y.push_back(100 * best[0]->accuracy[i]);
    }
    chart.series.push_back(line);
  }
  size_t good = 0, all = 0;
  const double bn = median_of(ends[0]);
  for (size_t kind : {size_t{2}, size_t{3}}) {
    bool above = true;
    for (size_t i = 0; i < ends[kind].size(); ++i) above = above && ends[kind][i] >= ends[1][i] + 0.05;
    good += size_t{above} + size_t{median_of(ends[kind]) >= bn - 0.05};
    all += 2;
  }
  o.verdict = verdict_of(good, all);
  o.why = fmt::format("Each at the better of two rates: batch norm {}, SkipInit {}, Fixup {}, nothing {}.",
                      percent_range(ends[0]), percent_range(ends[2]), percent_range(ends[3]),
                      percent_range(ends[1]));
  o.plates.push_back({"accuracy", "The first seed, each at the better of its rates.", chart});
  o.notes.push_back(
      "All begin with He's weights. A rectifier follows each sum, as in He et al. 2016; De and Smith "
      "have theirs at the beginning of the branch. Shortcuts that change the shape are 1x1 convolutions.");
  return o;
}

const RegisterExperiment branch_variance(
    {.place = 250,
     .name = "branch-variance",
     .paper = "De and Smith 2020, section 3 (arXiv 2002.10444)",
     .claim =
         "Before training batch norm shrinks what a residual branch adds, as one over the block, and the "
         "variance grows linearly; without it the variance doubles with each block.",
     .rule = "100 blocks, the deeper half of them, by 95% intervals over the seeds: branch over skip changes "
             "as the block to a power between -1.1 and -0.9 with batch norm; without it the skip path "
             "doubles 0.9 to 1.1 times a block.",
     .extents = {{"full", "", 100, 10, 0.5}},
     .measure = measure_variances});
const RegisterExperiment skipinit(
    {.place = 260,
     .name = "skipinit",
     .paper = "De and Smith 2020 (arXiv 2002.10444); Zhang et al. 2019 (arXiv 1901.09321)",
     .claim = "Deep residual networks train without normalization where their branches begin at zero: by "
              "a learned scalar (SkipInit) or by Fixup's initial weights.",
     .rule = "27 blocks, each network at the better of two rates: SkipInit and Fixup end, in every seed, at "
             "least 5 points above the network without either, and by medians at most 5 points below batch "
             "norm.",
     .data = "cifar10",
     .extents = {{"reduced", "8 to 32 channels at a quarter of the resolution, 5,000 images, 400 steps of 64",
                  400, 3, 3},
                 {"full", "", 3900, 3, 2500}},
     .measure = measure_skipinit});

}  // namespace
}  // namespace sigma::app
