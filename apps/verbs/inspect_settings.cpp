// What momentum and eps do.
#include <algorithm>
#include <cmath>

#include "apps/report/words.h"
#include "apps/training/measures.h"
#include "apps/verbs/inspect_parts.h"

namespace sigma::app {
namespace {

double median(const std::vector<double>& v) {
  return percentiles(Tensor::from<double>(v, {static_cast<int64_t>(v.size())}), {50})[0];
}

// Mean of the second half.
double settled(const std::vector<double>& v) {
  double sum = 0;
  for (size_t i = v.size() / 2; i < v.size(); ++i) sum += v[i];
  return sum / static_cast<double>(v.size() - v.size() / 2);
}

std::string after(const std::vector<double>& v, size_t batches) {
  return batches <= v.size() ? number_text(v[batches - 1]) : "";
}

}  // namespace

InspectSection momentum_section(const Inspection& r) {
  InspectSection s;
  s.name = "momentum";
  s.title = "What momentum does";
  s.words = {
      fmt::format("The weights stay as they are, and {} batches pass {}. Running statistics that begin with "
                  "0 and 1 come nearer "
                  "to the population's, which are the averages over {} other batches. A small momentum "
                  "forgets its beginning "
                  "slowly, as (1 - m) to the power of the number of batches; a large one follows every batch "
                  "and so keeps the "
                  "batches' noise, sqrt(m / (2 - m)) of it. With momentum None each batch counts alike: the "
                  "average only gets "
                  "better, as long as the weights do not move.",
                  r.rest_batches, r.layer, r.population_batches)};
  s.numbers.header = {"batch", "momentum", "mean_error", "var_error", "floor"};
  s.table.header = {"momentum",  "error of the mean after 1 batch", "10", "100",
                    "last half", "noise that remains, computed"};
  std::vector<Series> means, vars;
  for (size_t i = 0; i < r.momenta.size(); ++i) {
    const MomentumTrace& m = r.momenta[i];
    const std::string name = momentum_text(m.momentum);
    Series mean{"m = " + name, {}, {}, {}, {}, palette(i)};
    for (size_t t = 0; t < m.mean_error.size(); ++t) {
      mean.x.push_back(static_cast<double>(t + 1));
      s.numbers.rows.push_back({std::to_string(t + 1), name, fmt::format("{:.9g}", m.mean_error[t]),
                                fmt::format("{:.9g}", m.var_error[t]), fmt::format("{:.9g}", m.floor)});
    }
    Series var = mean;
    mean.y = m.mean_error;
    var.y = m.var_error;
    means.push_back(mean);
    vars.push_back(var);
    s.table.rows.push_back({name, after(m.mean_error, 1), after(m.mean_error, 10), after(m.mean_error, 100),
                            number_text(settled(m.mean_error)), m.momentum ? number_text(m.floor) : ""});
  }
  for (bool of_mean : {true, false}) {
    Chart chart{of_mean ? "error of the running mean" : "error of the running variance", "batches",
                of_mean ? "error (deviations of the input)" : "error (share of the variance)",
                of_mean ? means : vars};
    chart.log_y = true;
    s.charts.push_back(chart);
  }
  s.captions = {
      "Root mean square over the channels, in standard deviations of the channel.",
      fmt::format(
          "Root mean square over the channels of running variance / variance - 1. An epoch has {} batches.",
          r.epoch_batches)};
  return s;
}

InspectSection eps_section(const Inspection& r) {
  InspectSection s;
  s.name = "eps";
  s.title = "What eps does";
  const auto [low, high] = std::minmax_element(r.variance.begin(), r.variance.end());
  s.words = {
      fmt::format("Batch norm divides by sqrt(v + eps). Where eps is small beside the variance v of a "
                  "channel, the normalized "
                  "values have the deviation 1; where it is not, sqrt(v / (v + eps)), and the channel fades. "
                  "The layer's eps is "
                  "{:g}; the variances of its {} channels lie between {} and {}. Without eps a constant "
                  "channel would be divided "
                  "by 0, and one of variance v has its gradients multiplied by 1 / sqrt(v).",
                  r.eps, r.variance.size(), number_text(*low), number_text(*high))};
  s.numbers.header = {"eps", "channel", "variance", "deviation", "formula", "slope"};
  s.table.header = {"eps", "deviation after, smallest variance", "median", "largest variance",
                    "largest 1 / sqrt(v + eps)"};
  const auto smallest = static_cast<size_t>(low - r.variance.begin()),
             largest = static_cast<size_t>(high - r.variance.begin());
  Series lines[3] = {
      {fmt::format("channel {}, variance {}", smallest, number_text(*low)), {}, {}, {}, {}, palette(1)},
      {"median of the channels", {}, {}, {}, {}, palette(0)},
      {fmt::format("channel {}, variance {}", largest, number_text(*high)), {}, {}, {}, {}, palette(2)}};
  Series slope{"", {}, {}, {}, {}, palette(1)};
  for (const EpsEffect& e : r.eps_effects) {
    const double values[3] = {e.deviation[smallest], median(e.deviation), e.deviation[largest]};
    for (size_t i = 0; i < 3; ++i) {
      lines[i].x.push_back(e.eps);
      lines[i].y.push_back(values[i]);
    }
    slope.x.push_back(e.eps);
    slope.y.push_back(*std::max_element(e.slope.begin(), e.slope.end()));
    s.table.rows.push_back({fmt::format("{:g}", e.eps), fmt::format("{:.4f}", values[0]),
                            fmt::format("{:.4f}", values[1]), fmt::format("{:.4f}", values[2]),
                            number_text(slope.y.back())});
    for (size_t c = 0; c < e.deviation.size(); ++c)
      s.numbers.rows.push_back({fmt::format("{:g}", e.eps), std::to_string(c),
                                fmt::format("{:.9g}", r.variance[c]), fmt::format("{:.9g}", e.deviation[c]),
                                fmt::format("{:.9g}", std::sqrt(r.variance[c] / (r.variance[c] + e.eps))),
                                fmt::format("{:.9g}", e.slope[c])});
  }
  Chart deviation{
      "deviation of normalized values", "eps", "standard deviation", {lines[0], lines[1], lines[2]}};
  deviation.log_x = true;
  deviation.y_min = 0;
  deviation.y_max = 1.05;
  Series mark{
      fmt::format("eps of the layer, {:g}", r.eps), {r.eps, r.eps}, {0, 1.05}, {}, {}, palette(6), true};
  if (r.eps > 0) deviation.series.push_back(mark);
  Chart slopes{"what gradients are multiplied by, at most", "eps", "1 / sqrt(v + eps)", {slope}};
  slopes.log_x = slopes.log_y = true;
  s.charts = {deviation, slopes};
  s.captions = {"Measured through batch norm itself; eps.csv has the formula beside it.",
                "Of the channel with the smallest variance."};
  return s;
}

}  // namespace sigma::app
