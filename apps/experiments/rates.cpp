// Which rates train, and which batches.
#include <algorithm>
#include <cmath>

#include "apps/experiments/experiment.h"
#include "core/text.h"

namespace sigma::app {
namespace {

const std::vector<std::string> kRates{"0.01", "0.03", "0.1", "0.3", "1", "3", "10", "30"};

bool trained(const ArmRun& r) {
  return r.diverged_at < 0 && !r.loss.empty() && r.loss.back() < std::log(10.0) / 2;
}

Outcome measure_rates(Laboratory& lab) {
  const Comparison c = lab.compare(
      "runs", {"--data", "mnist", "--model", "lenet5", "--batch-size", "64", "--normalize", "standard",
               "--batch-norm", "on,off", "--lr", join(kRates, ","), "--eval-every", "50"});
  Outcome o;
  std::vector<double> largest[2];
  double best[2] = {0, 0};
  std::string best_rate[2];
  for (int norm = 0; norm < 2; ++norm) {
    largest[norm].assign(static_cast<size_t>(lab.seeds()), 0);
    for (const std::string& rate : kRates) {
      const auto runs = runs_where(c, {{"batch-norm", norm ? "on" : "off"}, {"lr", rate}});
      for (size_t i = 0; i < runs.size(); ++i)
        if (trained(*runs[i])) largest[norm][i] = std::max(largest[norm][i], std::stod(rate));
      const double accuracy = median_of(accuracies(runs));
      if (accuracy > best[norm]) {
        best[norm] = accuracy;
        best_rate[norm] = rate;
      }
      o.findings.push_back({fmt::format("rate {}, {} batch norm", rate, norm ? "with" : "without"), "",
                            percent_range(accuracies(runs))});
    }
  }
  size_t good = 0;
  for (size_t i = 0; i < largest[0].size(); ++i)
    good += largest[1][i] >= 5 * largest[0][i] && largest[1][i] > 0 ? 1 : 0;
  o.findings.push_back({"largest rate that trains, with batch norm", "", median_text(largest[1], "{:g}")});
  o.findings.push_back({"largest rate that trains, without", "", median_text(largest[0], "{:g}")});
  o.verdict = verdict_of(good, largest[0].size());
  o.why = fmt::format(
      "The largest rate that trains is {} with batch norm and {} without. Each at its best rate, {} and {}, "
      "they end "
      "at {:.2f}% and {:.2f}%.",
      median_text(largest[1], "{:g}"), median_text(largest[0], "{:g}"), best_rate[1], best_rate[0],
      100 * best[1], 100 * best[0]);
  add_values(o, c);
  return o;
}

const std::vector<int64_t> kBatches{2, 4, 8, 32, 128};

Outcome measure_batches(Laboratory& lab) {
  Outcome o;
  Chart chart{"", "images a step", "final test accuracy (%)", {}};
  chart.log_x = true;
  std::vector<double> medians[2];
  for (int64_t batch : kBatches) {
    // The rate in proportion to the batch; each sees the same images.
    const Comparison c = lab.compare(fmt::format("batch-{}", batch),
                                     {"--data",
                                      "cifar10",
                                      "--limit-train",
                                      lab.extent().name == "full" ? "10000" : "2000",
                                      "--limit-test",
                                      "5000",
                                      "--normalize",
                                      "standard",
                                      "--batch-norm",
                                      "on",
                                      "--model",
                                      "conv 32, bn, relu, maxpool 2, conv 64, bn, relu, maxpool 2, conv 64, "
                                      "bn, relu, globalavgpool, flatten, linear classes",
                                      "--norm",
                                      "batch,group:8",
                                      "--batch-size",
                                      std::to_string(batch),
                                      "--lr",
                                      fmt::format("{:g}", 0.1 * static_cast<double>(batch) / 128),
                                      "--momentum",
                                      "0.9",
                                      "--schedule",
                                      "cosine",
                                      "--epochs",
                                      std::to_string(lab.extent().steps),
                                      "--max-steps",
                                      "0"});
    for (int group = 0; group < 2; ++group) {
      const auto runs = runs_where(c, {{"norm", group ? "group:8" : "batch"}});
      medians[group].push_back(100 * median_of(accuracies(runs)));
      o.findings.push_back({fmt::format("batches of {}, {} norm", batch, group ? "group" : "batch"), "",
                            percent_range(accuracies(runs))});
    }
  }
  for (int group = 0; group < 2; ++group) {
    Series line;
    line.label = group ? "group norm, 8 groups" : "batch norm";
    line.color = palette(static_cast<size_t>(group));
    for (int64_t b : kBatches) line.x.push_back(static_cast<double>(b));
    line.y = medians[group];
    chart.series.push_back(line);
  }
  const double small = medians[1].front() - medians[0].front(), large = medians[1].back() - medians[0].back();
  const bool wins = small > 1, behind = large < 0;
  o.verdict = verdict_of(size_t{wins} + size_t{behind}, 2);
  o.why = fmt::format(
      "Group norm is {:.1f} points {} batch norm with two images a step, and {:.1f} points {} with 128.",
      std::abs(small), small > 0 ? "ahead of" : "behind", std::abs(large), large > 0 ? "ahead" : "behind");
  o.plates.push_back({"accuracy", "Medians over the seeds; every run sees the same images.", chart});
  o.notes.push_back(
      "A network of three convolutions on a part of CIFAR-10 stands in for the paper's ResNets.");
  return o;
}

const RegisterExperiment rates(
    {.place = 60,
     .core = true,
     .name = "largest-rate",
     .paper = "Ioffe and Szegedy 2015, section 4.2.1; Bjorck et al. 2018, section 3.1",
     .claim = "The largest learning rate that trains is several times larger with batch norm.",
     .rule = "LeNet-5 on MNIST, eight rates: in every seed the largest with a final training loss below "
             "ln(10) / 2 is at least five times that without batch norm.",
     .data = "mnist",
     .extents = {{"full", "", 300, 5, 4}},
     .measure = measure_rates});
const RegisterExperiment batches(
    {.place = 240,
     .name = "group-norm-batches",
     .paper = "Wu and He 2018 (arXiv 1803.08494)",
     .claim = "Group norm is better than batch norm with small batches, and a little worse with large ones.",
     .rule = "By medians over the seeds group norm is more than one point ahead with 2 images a step, and "
             "behind with 128.",
     .data = "cifar10",
     .extents = {{"reduced", "one epoch of 2,000 images", 1, 3, 3}, {"full", "", 5, 3, 60}},
     .measure = measure_batches});

}  // namespace
}  // namespace sigma::app
