// Small networks of sigmoids and rectifiers on MNIST, with and without batch norm: what Ioffe and Szegedy
// said first.
#include <algorithm>
#include <cmath>

#include "apps/experiments/experiment.h"

namespace sigma::app {
namespace {

const char* const kIoffe = "Ioffe and Szegedy 2015, section 4.1 (arXiv 1502.03167)";
using Words = std::vector<std::string>;

Words on_mnist(const Words& more) {
  Words flags{"--data",       "mnist", "--batch-size",  "60", "--normalize",  "unit",
              "--eval-every", "100",   "--eval-images", "0",  "--batch-norm", "on,off"};
  flags.insert(flags.end(), more.begin(), more.end());
  return flags;
}

// Whether it holds of the i-th run of both, for every seed.
template <class Fn>
size_t count_seeds(size_t n, Fn holds) {
  size_t count = 0;
  for (size_t i = 0; i < n; ++i) count += holds(i) ? 1 : 0;
  return count;
}

Outcome measure_ioffe(Laboratory& lab) {
  const Comparison c = lab.compare("runs", on_mnist({"--model", "sigmoid-mlp", "--lr", "0.1"}));
  const auto on = runs_where(c, {{"batch-norm", "on"}}), off = runs_where(c, {{"batch-norm", "off"}});
  const double never = static_cast<double>(c.steps);
  std::vector<double> on90 = steps_to(on, 0.9), off90 = steps_to(off, 0.9);
  const size_t good = count_seeds(on.size(), [&](size_t i) {
    return on90[i] <= std::min(off90[i], never) / 5 && on[i]->test_accuracy >= off[i]->test_accuracy + 0.03;
  });
  Outcome o;
  o.verdict = verdict_of(good, on.size());
  o.why = fmt::format(
      "In {} of {} seeds batch norm reached 90% in at most a fifth of the steps and ended at least three "
      "points higher.",
      good, on.size());
  o.findings = {
      {"steps to 90%, with batch norm", "", median_text(on90)},
      {"steps to 90%, without", "", median_text(off90)},
      {fmt::format("accuracy after {} steps, with batch norm", c.steps), "", percent_range(accuracies(on))},
      {fmt::format("accuracy after {} steps, without", c.steps), "", percent_range(accuracies(off))}};
  add_curves(o, c, "accuracy");
  o.notes.push_back(
      "The paper gives neither rate nor initial weights; the rate here is 0.1 for both, the weights are the "
      "layers' usual ones. At the best rate of each the difference is smaller: see ioffe-best-rate.");
  return o;
}

// The same network at the rate that suits each best.
Outcome measure_best_rate(Laboratory& lab) {
  const Comparison c = lab.compare("runs", on_mnist({"--model", "sigmoid-mlp", "--lr", "0.1,0.5,1,2,4"}));
  Outcome o;
  double best[2] = {0, 0}, matched[2] = {0, 0}, steps95[2] = {HUGE_VAL, HUGE_VAL};
  std::string rate[2];
  const char* const value[2] = {"off", "on"};
  for (int norm = 0; norm < 2; ++norm)
    for (const char* lr : {"0.1", "0.5", "1", "2", "4"}) {
      const auto runs = runs_where(c, {{"batch-norm", value[norm]}, {"lr", lr}});
      const double accuracy = median_of(accuracies(runs));
      o.findings.push_back(
          {fmt::format("rate {}, {} batch norm: accuracy; steps to 95%", lr, norm ? "with" : "without"), "",
           percent_range(accuracies(runs)) + "; " + median_text(steps_to(runs, 0.95))});
      if (std::string(lr) == "0.1") matched[norm] = accuracy;
      steps95[norm] = std::min(steps95[norm], median_of(steps_to(runs, 0.95)));
      if (accuracy > best[norm]) {
        best[norm] = accuracy;
        rate[norm] = lr;
      }
    }
  const double at_match = matched[1] - matched[0], at_best = best[1] - best[0];
  o.verdict = at_match > 0 && at_best < at_match / 2 ? Verdict::reproduced : Verdict::not_reproduced;
  o.why = fmt::format(
      "At rate 0.1 batch norm is {:.1f} points ahead; at the best rate of each ({} with, {} without) {:.1f} "
      "points, and 95% takes {:.0f} against {:.0f} steps.",
      100 * at_match, rate[1], rate[0], 100 * at_best, steps95[1], steps95[0]);
  add_curves(o, c, "accuracy");
  return o;
}

Outcome measure_deep(Laboratory& lab) {
  const Comparison c = lab.compare(
      "runs",
      on_mnist({"--model", "flatten, 10 x { linear 100, bn, sigmoid }, linear classes", "--lr", "0.5"}));
  const auto on = runs_where(c, {{"batch-norm", "on"}}), off = runs_where(c, {{"batch-norm", "off"}});
  const size_t good = count_seeds(
      on.size(), [&](size_t i) { return on[i]->test_accuracy >= 0.93 && off[i]->test_accuracy <= 0.15; });
  Outcome o;
  o.verdict = verdict_of(good, on.size());
  o.why = fmt::format(
      "In {} of {} seeds the ten sigmoid layers learned with batch norm (at least 93%) and not without (at "
      "most 15%).",
      good, on.size());
  o.findings = {{"accuracy with batch norm", "", percent_range(accuracies(on))},
                {"accuracy without", "", percent_range(accuracies(off))}};
  add_curves(o, c, "accuracy");
  return o;
}

Outcome measure_high_rate(Laboratory& lab) {
  const Comparison c = lab.compare(
      "runs",
      on_mnist({"--model", "flatten, 3 x { linear 100, bn, relu }, linear classes", "--lr", "0.1,1,2"}));
  Outcome o;
  size_t good = 0, all = 0;
  for (const char* lr : {"0.1", "1", "2"}) {
    const auto on = runs_where(c, {{"batch-norm", "on"}, {"lr", lr}}),
               off = runs_where(c, {{"batch-norm", "off"}, {"lr", lr}});
    if (std::string(lr) != "0.1") {
      all += on.size();
      good += count_seeds(
          on.size(), [&](size_t i) { return on[i]->test_accuracy >= 0.97 && off[i]->test_accuracy <= 0.15; });
    }
    o.findings.push_back({fmt::format("rate {}, with batch norm", lr), "", percent_range(accuracies(on))});
    o.findings.push_back({fmt::format("rate {}, without", lr), "", percent_range(accuracies(off))});
  }
  o.verdict = verdict_of(good, all);
  o.why = fmt::format(
      "At rates 1 and 2, ten and twenty times a usual one, batch norm reached 97% and the network without it "
      "stayed at chance in {} of {} pairs of runs.",
      good, all);
  add_curves(o, c, "accuracy");
  return o;
}

Outcome measure_factorial(Laboratory& lab) {
  Words flags =
      on_mnist({"--model", "flatten, 3 x { linear 100, bn, relu }, linear classes", "--lr", "0.01"});
  flags[5] = "none,unit,standard";
  const Comparison c = lab.compare("runs", flags);
  Outcome o;
  double low = 1, high = 0;
  for (const char* norm : {"on", "off"})
    for (const char* input : {"none", "unit", "standard"}) {
      const auto runs = runs_where(c, {{"batch-norm", norm}, {"normalize", input}});
      const double accuracy = median_of(accuracies(runs));
      if (std::string(norm) == "on") {
        low = std::min(low, accuracy);
        high = std::max(high, accuracy);
      }
      const auto diverged =
          std::count_if(runs.begin(), runs.end(), [](const ArmRun* r) { return r->diverged_at >= 0; });
      o.findings.push_back({fmt::format("{}, batch norm {}: accuracy; steps to 90%",
                                        std::string(input) == "none"   ? "pixels 0 to 255"
                                        : std::string(input) == "unit" ? "pixels 0 to 1"
                                                                       : "standardized pixels",
                                        norm),
                            "",
                            percent_range(accuracies(runs)) + "; " + median_text(steps_to(runs, 0.9)) +
                                (diverged ? fmt::format("; {} diverged", diverged) : "")});
    }
  const auto raw = runs_where(c, {{"batch-norm", "off"}, {"normalize", "none"}}),
             unit = runs_where(c, {{"batch-norm", "off"}, {"normalize", "unit"}}),
             standard = runs_where(c, {{"batch-norm", "off"}, {"normalize", "standard"}});
  const auto unit90 = steps_to(unit, 0.9), standard90 = steps_to(standard, 0.9);
  const size_t good = count_seeds(raw.size(), [&](size_t i) {
    return (raw[i]->diverged_at >= 0 || raw[i]->test_accuracy <= 0.15) && unit90[i] >= 2 * standard90[i];
  });
  const bool flat = high - low <= 0.005;
  o.verdict = flat && good == raw.size() ? Verdict::reproduced
              : flat || good > 0         ? Verdict::partly
                                         : Verdict::not_reproduced;
  o.why = fmt::format(
      "With batch norm the three forms of the input end within {:.2f} points of one another; without it raw "
      "pixels failed and scaled ones took at least twice the steps of standardized ones in {} of {} seeds.",
      100 * (high - low), good, raw.size());
  add_curves(o, c, "accuracy");
  return o;
}

const RegisterExperiment ioffe(
    {.place = 10,
     .core = true,
     .name = "ioffe-mnist",
     .paper = kIoffe,
     .claim = "Batch norm makes a network of sigmoids learn MNIST in far fewer steps.",
     .rule = "In every seed batch norm reaches 90% in at most a fifth of the steps (never counts as the "
             "length of the run) and ends at least 3 points higher, at the same rate.",
     .data = "mnist",
     .extents = {{"full", "", 3000, 5, 1}},
     .measure = measure_ioffe});
const RegisterExperiment best_rate(
    {.place = 15,
     .name = "ioffe-best-rate",
     .paper = "Bjorck et al. 2018 (arXiv 1806.02375), on the network of Ioffe and Szegedy 2015",
     .claim = "Much of batch norm's gain is that it bears, and does without, the right rate: at the best "
              "rate of each network the difference is smaller than at a small one.",
     .rule = "At the best of five rates the difference in median final accuracy is less than half of that at "
             "rate 0.1.",
     .data = "mnist",
     .extents = {{"reduced", "3,000 steps instead of 6,000", 3000, 3, 3}, {"full", "", 6000, 3, 6}},
     .measure = measure_best_rate});
const RegisterExperiment deep(
    {.place = 20,
     .core = true,
     .name = "deep-sigmoid",
     .paper = kIoffe,
     .claim = "Batch norm trains networks whose units saturate, where training fails without it.",
     .rule = "Ten layers of sigmoids: in every seed at least 93% with batch norm and at most 15% without.",
     .data = "mnist",
     .extents = {{"full", "", 3000, 5, 3}},
     .measure = measure_deep});
const RegisterExperiment high_rate(
    {.place = 30,
     .core = true,
     .name = "high-rate",
     .paper = "Ioffe and Szegedy 2015, sections 3.3 and 4.2 (arXiv 1502.03167)",
     .claim = "Batch norm makes rates usable at which the same network without it fails.",
     .rule = "Three layers of rectifiers at rates 1 and 2: in every seed at least 97% with batch norm and at "
             "most 15% without.",
     .data = "mnist",
     .extents = {{"full", "", 3000, 5, 3}},
     .measure = measure_high_rate});
const RegisterExperiment factorial(
    {.place = 40,
     .core = true,
     .name = "input-normalization",
     .paper = "LeCun et al. 1998, section 4.3; Ioffe and Szegedy 2015, section 2",
     .claim = "Normalizing the input matters much without batch norm and not at all with it.",
     .rule = "Rate 0.01, three forms of the input: with batch norm the medians lie within 0.5 points; "
             "without it, in every seed, raw pixels diverge or stay below 15%, and pixels in 0..1 take at "
             "least twice the steps to 90% of standardized ones.",
     .data = "mnist",
     .extents = {{"full", "", 3000, 5, 3}},
     .measure = measure_factorial});

}  // namespace
}  // namespace sigma::app
