// Which rates a residual network bears, and which of them is best (Bjorck et al. 2018).
#include <algorithm>
#include <cmath>

#include "apps/experiments/experiment.h"
#include "core/text.h"

namespace sigma::app {
namespace {

const std::vector<std::string> kRates{"0.1", "0.03", "0.01", "0.003", "0.001", "0.0003"};
constexpr double kDiverged = 1e3;  // of the loss, in the paper's section 3

bool diverged(const ArmRun& run) {
  return run.diverged_at >= 0 ||
         std::any_of(run.loss.begin(), run.loss.end(), [](double loss) { return loss > kDiverged; });
}

Outcome measure(Laboratory& lab) {
  const bool full = lab.extent().name == "full";
  std::vector<std::string> flags{"--data",         "cifar10",
                                 "--normalize",    "standard",
                                 "--augment",      "flip+crop",
                                 "--init",         "kaiming",
                                 "--lr",           join(kRates, ","),
                                 "--momentum",     "0.9",
                                 "--schedule",     "constant",
                                 "--weight-decay", "5e-4",
                                 "--model",        full ? "resnet32" : "resnet20",
                                 "--batch-norm",   "on,off"};
  const std::vector<std::string> small{"--limit-train", "2000", "--limit-test", "1000", "--eval-every", "31",
                                       "--eval-images", "100",  "--batch-size", "32"};
  if (!full) flags.insert(flags.end(), small.begin(), small.end());
  const Comparison c = lab.compare("runs", flags);
  Outcome o;
  double best[2] = {0, 0}, rate_of_best[2] = {0, 0};
  size_t failed = 0, held = 0, all = 0;
  for (int norm = 0; norm < 2; ++norm)
    for (const std::string& rate : kRates) {
      const auto runs = runs_where(c, {{"batch-norm", norm ? "on" : "off"}, {"lr", rate}});
      const auto lost =
          static_cast<size_t>(std::count_if(runs.begin(), runs.end(), [](auto* r) { return diverged(*r); }));
      if (rate == "0.1") {
        all = runs.size();
        (norm ? held : failed) = norm ? all - lost : lost;
      }
      const double accuracy = lost == runs.size() ? 0 : median_of(accuracies(runs));
      if (accuracy > best[norm]) {
        best[norm] = accuracy;
        rate_of_best[norm] = std::stod(rate);
      }
      o.findings.push_back(
          {fmt::format("rate {}, {} batch norm", rate, norm ? "with" : "without"), "",
           percent_range(accuracies(runs)) + (lost ? fmt::format("; {} diverged", lost) : std::string())});
    }
  const bool low = rate_of_best[0] > 0 && rate_of_best[0] <= 0.01;
  o.verdict = verdict_of(size_t{failed == all} + size_t{held == all} + size_t{low}, 3);
  o.why = fmt::format(
      "At rate 0.1 {} of {} networks without batch norm diverged, and {} of {} with it. The best rate "
      "without is {:g} ({:.1f}%), with it {:g} ({:.1f}%).",
      failed, all, all - held, all, rate_of_best[0], 100 * best[0], rate_of_best[1], 100 * best[1]);
  add_values(o, c);
  if (!full)
    o.notes.push_back(fmt::format(
        "{} steps of 32 images say which rates a network survives, and little about which trains it best: "
        "accuracies are those of a network that has hardly begun. The paper trains ResNet-110 for 165 "
        "epochs.",
        c.steps));
  else
    o.notes.push_back("The paper trains ResNet-110 for 165 epochs, with a rate that falls.");
  return o;
}

const RegisterExperiment bjorck_rates(
    {.place = 65,
     .name = "bjorck-rates",
     .paper = "Bjorck et al. 2018, section 3 (arXiv 1806.02375)",
     .claim = "A deep residual network without batch norm diverges at the rate at which it trains with it, "
              "and does best at a small one.",
     .rule =
         "He initial weights, six rates: at 0.1 every network without batch norm diverges (a mean training "
         "loss between measurements that is above 1,000, or one that is not finite) and none with it, and "
         "the best rate without, by median test "
         "accuracy, is at most 0.01.",
     .data = "cifar10",
     .extents = {{"reduced", "ResNet-20, one epoch of 2,000 images in batches of 32", 62, 3, 3},
                 {"full", "", 3910, 3, 800}},
     .measure = measure});

}  // namespace
}  // namespace sigma::app
