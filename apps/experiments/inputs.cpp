// What the covariance of the input does to gradient descent (LeCun et al. 1998, section 4.3).
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/experiments/experiment.h"
#include "apps/training/measures.h"
#include "core/json.h"
#include "core/math.h"
#include "core/rng.h"
#include "core/text.h"
#include "data/transforms/transforms.h"

namespace sigma::app {
namespace {

// A form of the input, and its smallest eigenvalue that is not rounding: of pixels the variance of rounding
// to 8 bits, of whitened ones anything between 0 and 1, which theirs are.
struct Form {
  const char *kind, *words;
  double (*least)(const Normalization&);
};
const Form kForms[] = {
    {"none", "pixels 0 to 255", [](const Normalization&) { return 1.0 / 12; }},
    {"unit", "pixels 0 to 1", [](const Normalization&) { return 1.0 / 12 / 255 / 255; }},
    {"standard", "standardized pixels",
     [](const Normalization& n) { return 1.0 / 12 / 255 / 255 / n.std[0] / n.std[0]; }},
    {"zca", "ZCA-whitened pixels", [](const Normalization&) { return 0.01; }},
};
constexpr int64_t kImages = 10000, kBoundSteps = 300;
constexpr double kLeft = 0.1;  // of the loss that can go

// The form of the chosen images by their own statistics, and gradient descent on a linear model of them.
Json look_at(const Dataset& data, const Form& form, int64_t steps, uint64_t seed) {
  std::vector<int64_t> rows = permutation(data.train.size(), Rng(seed, "images"));
  rows.resize(static_cast<size_t>(std::min<int64_t>(kImages, data.train.size())));
  const auto n = static_cast<int64_t>(rows.size());
  Dataset chosen{data.name, subset(data.train, rows), {}, data.class_names};
  const Normalization normalization = make_normalization(form.kind, chosen);
  const Tensor inputs = normalized_images(data.train, rows, normalization).contiguous().reshape({n, -1});
  const Tensor labels = index_rows(data.train.labels, rows);
  Tensor targets = Tensor::zeros({n, data.classes()}, DType::float64);
  for (int64_t i = 0; i < n; ++i)
    targets.mutable_data<double>()[i * data.classes() + labels.data<int64_t>()[i]] = 1;
  const InputSpectrum spectrum = input_spectrum(inputs, form.least(normalization));
  const LinearLeastSquares problem(inputs, targets);
  auto end = [&](double part) {
    const std::vector<double> loss = problem.descend(part * spectrum.rate_bound(), kBoundSteps);
    return loss.back() / loss.front();
  };
  const std::vector<double> loss = problem.descend(spectrum.rate_bound() / 2, steps);
  const double goal = problem.least() + kLeft * (loss.front() - problem.least());
  const auto there = std::find_if(loss.begin(), loss.end(), [&](double l) { return l <= goal; });
  return {{"largest", spectrum.largest},
          {"condition", spectrum.condition()},
          {"rank", spectrum.rank},
          {"bound", spectrum.rate_bound()},
          {"below", end(0.95)},
          {"above", end(1.05)},
          {"steps", there == loss.end() ? -1 : there - loss.begin()}};
}

std::vector<double> of(const std::vector<Json>& seeds, const char* key) {
  std::vector<double> values;
  for (const Json& s : seeds) {
    const double v = number_of(s.at(key));
    values.push_back(v == -1 || !std::isfinite(v) ? HUGE_VAL : v);
  }
  return values;
}

Outcome measure_covariance(Laboratory& lab) {
  Outcome o;
  std::vector<std::vector<double>> steps;
  size_t bounds = 0, all = 0, ordered = 0;
  for (const Form& form : kForms) {
    std::vector<Json> seeds;
    for (int64_t i = 0; i < lab.seeds(); ++i)
      seeds.push_back(lab.unit(fmt::format("{}-{}", form.kind, lab.seed(i)),
                               [&] { return look_at(lab.data(), form, lab.extent().steps, lab.seed(i)); }));
    const std::vector<double> below = of(seeds, "below"), above = of(seeds, "above");
    for (size_t i = 0; i < seeds.size(); ++i) {
      ++all;
      bounds += below[i] < 1 && above[i] > 1e3 ? 1 : 0;
    }
    steps.push_back(of(seeds, "steps"));
    const std::string name = form.words;
    o.findings.push_back(
        {name + ": largest eigenvalue of E[x x']", "", median_text(of(seeds, "largest"), "{:.4g}")});
    o.findings.push_back({name + ": condition number", "", median_text(of(seeds, "condition"), "{:.3g}")});
    o.findings.push_back(
        {name + ": bound of the rate", "2 / largest", median_text(of(seeds, "bound"), "{:.3g}")});
    o.findings.push_back(
        {fmt::format("{}: loss over the first, {} steps at 0.95 of the bound", name, kBoundSteps), "below 1",
         median_text(below, "{:.3g}")});
    o.findings.push_back(
        {fmt::format("{}: the same at 1.05 of it", name), "grows", median_text(above, "{:.3g}")});
    o.findings.push_back(
        {fmt::format("{}: steps until a tenth of the loss is left", name), "", median_text(steps.back())});
  }
  for (size_t i = 0; i < steps[0].size(); ++i)
    ordered += steps[3][i] < steps[2][i] && steps[2][i] < steps[1][i] ? 1 : 0;
  o.verdict = verdict_of(bounds + ordered, all + steps[0].size());
  o.why = fmt::format(
      "In {} of {} cases gradient descent fell at 0.95 of the bound and rose at 1.05 of it. Half the bound "
      "leaves a tenth of the loss after {} steps of pixels 0 to 1, {} of standardized and {} of whitened "
      "ones.",
      bounds, all, median_text(steps[1]), median_text(steps[2]), median_text(steps[3]));
  o.notes.push_back(fmt::format(
      "A linear model of the ten classes by least squares, from weights of 0, on {} training images that the "
      "seed chooses, in forms made of these same images: whitened by all 60,000 their eigenvalues were not "
      "1, which was a mistake of a first version. The Hessian is E[x x']. Directions that vary less than the "
      "rounding of pixels to 8 bits are not counted in condition numbers. A scale changes the bound and "
      "nothing else: the first two forms take the same steps.",
      kImages));
  return o;
}

const std::vector<std::string> kRates{"0.03", "0.1", "0.3", "1", "3"};

// Mean training loss since the measurement before the last; of a run that diverged infinite.
std::vector<double> last_losses(const std::vector<const ArmRun*>& runs) {
  std::vector<double> all;
  for (const ArmRun* r : runs)
    all.push_back(r->diverged_at >= 0 || r->loss.empty() || !std::isfinite(r->loss.back()) ? HUGE_VAL
                                                                                           : r->loss.back());
  return all;
}

Outcome measure_whitened(Laboratory& lab) {
  const Comparison c =
      lab.compare("runs", {"--data",         "mnist",
                           "--batch-size",   "60",
                           "--normalize",    "standard,zca",
                           "--model",        "flatten, 3 x { linear 100, bn, relu }, linear classes",
                           "--lr",           join(kRates, ","),
                           "--schedule",     "constant",
                           "--momentum",     "0",
                           "--weight-decay", "0",
                           "--batch-norm",   "on,off",
                           "--eval-every",   "100",
                           "--eval-images",  "1000"});
  Outcome o;
  // By batch norm and form of the input, of the best rate.
  std::vector<double> best[2][2];
  std::string best_rate[2][2];
  for (int norm = 0; norm < 2; ++norm)
    for (int zca = 0; zca < 2; ++zca)
      for (const std::string& rate : kRates) {
        const auto runs = runs_where(
            c, {{"batch-norm", norm ? "on" : "off"}, {"normalize", zca ? "zca" : "standard"}, {"lr", rate}});
        const std::vector<double> losses = last_losses(runs);
        if (best[norm][zca].empty() || median_of(losses) < median_of(best[norm][zca])) {
          best[norm][zca] = losses;
          best_rate[norm][zca] = rate;
        }
        o.findings.push_back(
            {fmt::format("{}, rate {}, {} batch norm: training loss; test accuracy",
                         zca ? "ZCA-whitened" : "standardized", rate, norm ? "with" : "without"),
             "", median_text(losses, "{:.4f}", "diverged") + "; " + percent_range(accuracies(runs))});
      }
  size_t good = 0;
  for (size_t i = 0; i < best[0][0].size(); ++i) good += best[0][1][i] < best[0][0][i] ? 1 : 0;
  o.verdict = verdict_of(good, best[0][0].size());
  auto told = [&](int norm) {
    return fmt::format("{} whitened (rate {}) and {} standardized (rate {})",
                       median_text(best[norm][1], "{:.4f}", "diverged"), best_rate[norm][1],
                       median_text(best[norm][0], "{:.4f}", "diverged"), best_rate[norm][0]);
  };
  o.why = fmt::format(
      "Without batch norm whitened pixels had the smaller training loss in {} of {} seeds, each at its best "
      "rate: {}. With batch norm: {}.",
      good, best[0][0].size(), told(0), told(1));
  add_values(o, c);
  o.notes.push_back(
      "What is compared is how fast the training loss falls. Whitening makes noise as large as everything "
      "else, which test accuracy shows. The rates 1 and 3 were added after a first look, in which 0.3, the "
      "largest, was the best of whitened pixels; it is still.");
  return o;
}

const RegisterExperiment input_covariance(
    {.place = 42,
     .name = "input-covariance",
     .paper = "LeCun, Kanter and Solla 1991; LeCun et al. 1998, section 4.3",
     .claim = "Gradient descent bears rates up to 2 over the largest eigenvalue of the input's covariance, "
              "and the worse conditioned that is, the more steps it takes.",
     .rule =
         "Four forms of MNIST's pixels, in every seed: after 300 steps at 0.95 of the bound the loss of a "
         "linear model is below, at 1.05 of it more than 1,000 times, what it was; and at half the bound "
         "a tenth of the loss that can go is left after fewer steps of whitened than of standardized "
         "pixels, of those than of pixels in 0..1.",
     .data = "mnist",
     .extents = {{"full", "", 2000, 5, 2}},
     .measure = measure_covariance});
const RegisterExperiment whitened(
    {.place = 44,
     .name = "whitened-input",
     .paper = "LeCun et al. 1998, section 4.3",
     .claim = "Networks learn faster from inputs that are decorrelated, too, than from standardized ones.",
     .rule = "Three layers of rectifiers on MNIST, 500 steps, five rates: in every seed the mean training "
             "loss of the last 100 steps without batch norm is smaller with ZCA-whitened than with "
             "standardized pixels, each at the rate that is best for it by the median.",
     .data = "mnist",
     .extents = {{"full", "", 500, 5, 2}},
     .measure = measure_whitened});

}  // namespace
}  // namespace sigma::app
