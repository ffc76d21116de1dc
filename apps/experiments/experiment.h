// A published claim, tested: what `sigma reproduce` runs. An experiment is an entry that registers itself,
// with a function that measures and judges:
//
//   const RegisterExperiment ioffe({.name = "ioffe-mnist", .claim = "...", ..., .measure = measure_ioffe});
//
// The rule is written before the result is known, and holds for whatever comes.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "apps/report/comparison.h"
#include "apps/report/plot.h"
#include "apps/training/evaluate.h"
#include "data/dataset.h"

namespace sigma::app {

class Laboratory;

enum class Verdict : uint8_t { reproduced, partly, not_reproduced };
std::string words_of(Verdict verdict);  // "reproduced", "reproduced in part", "not reproduced"
// Of so many cases that were to hold: all, some or none do.
Verdict verdict_of(size_t good, size_t all);

// A row of an experiment's table. `published` may be empty, where a paper gives no number.
struct Finding {
  std::string what, published, ours;
};
// A chart with words below it; its numbers go to a file of this name, beside it.
struct Plate {
  std::string name, caption;
  Chart chart;
};

struct Outcome {
  Verdict verdict = Verdict::not_reproduced;
  std::string why;  // in a sentence or two, with the numbers that decided
  std::vector<Finding> findings;
  std::vector<Plate> plates;
  std::vector<std::string> notes;  // what else a reader must know, such as that a reduced size was run
};

// How much of an experiment is run. Minutes are of two cores of an EPYC of 2021 without AVX-512, quiet.
struct Extent {
  std::string name;              // "reduced", "full"
  std::string words;             // what it is: "2,000 steps a cell instead of 50,000"; empty: the whole
  int64_t steps = 0, seeds = 0;  // steps: of a random network its layers
  double minutes = 0;
};

struct Experiment {
  int place = 0;                // in lists, the smallest first
  bool core = false;            // what the rest builds on: a budget takes these first
  std::string name;             // "ioffe-mnist"
  std::string paper;            // "Ioffe and Szegedy 2015, section 4.1 (arXiv 1502.03167)"
  std::string claim;            // in one sentence, in our words
  std::string rule;             // what must hold to call it reproduced, fixed in advance
  std::string data;             // "mnist", "cifar10", or "": it needs none
  std::vector<Extent> extents;  // the smallest first
  Outcome (*measure)(Laboratory&) = nullptr;
};

// Of the program, in order.
std::vector<Experiment> all_experiments();
struct RegisterExperiment {
  explicit RegisterExperiment(Experiment experiment);
};

// What an experiment measures with. Everything it returns is kept in its folder: after a stop it is read from
// there, and the same bits come out.
class Laboratory {
 public:
  Laboratory(std::string folder, const Experiment& experiment, const Extent& extent, uint64_t first_seed,
             std::string data_dir, std::vector<std::string> flags);

  const Extent& extent() const { return extent_; }
  int64_t seeds() const { return extent_.seeds; }
  uint64_t seed(int64_t i) const { return first_seed_ + static_cast<uint64_t>(i); }

  // A comparison, in the folder `name`, by the flags of `sigma compare`; seeds and steps, where the flags say
  // none, are those of the extent. Throws Stopped for a signal.
  Comparison compare(const std::string& name, const std::vector<std::string>& flags);
  // A measurement of a network that is trained by the flags of `sigma train` on the experiment's data; steps,
  // where the flags say none, are those of the extent. A training that was stopped goes on where it was;
  // of one that diverged the accuracy is 0.
  // Throws Stopped for a signal.
  Json trained(const std::string& name, const std::vector<std::string>& flags,
               const std::function<Json(Module& model, const EvalResult& test)>& measure);
  // The experiment's data set. Throws as load_dataset does.
  const Dataset& data();
  // A measurement that is a JSON value, computed at most once. Throws Stopped for a signal that came before.
  Json unit(const std::string& name, const std::function<Json()>& compute);

 private:
  std::vector<std::string> line_of(const char* verb, const std::vector<std::string>& flags) const;

  std::string folder_;
  Extent extent_;
  uint64_t first_seed_;
  std::string data_name_, data_dir_;
  std::optional<Dataset> data_;
  std::vector<std::string> flags_;  // for every training: --data-dir, --threads, --quiet
};

// Plates of the accuracy over the steps, and by the rate.
void add_curves(Outcome& o, const Comparison& c, const std::string& name,
                const std::string& caption =
                    "Test accuracy over the steps; lines are means over the seeds, shades "
                    "their range.");
void add_values(Outcome& o, const Comparison& c);

// Of a measurement, which has null for what is not finite: NaN then.
double number_of(const Json& value);
std::vector<double> numbers_of(const Json& array);

// Median over runs and their range, as tables have it: "300 [200, 300]". Values that are not finite have a
// word.
std::string median_text(std::vector<double> values, const char* format = "{:.0f}",
                        const char* not_finite = "never");
double median_of(std::vector<double> values);
// "97.30% [97.10%, 97.40%]" of shares.
std::string percent_range(const std::vector<double>& shares);

// The runs of a comparison whose arm has these values: runs_where(c, {{"batch-norm", "on"}}).
std::vector<const ArmRun*> runs_where(const Comparison& c,
                                      const std::vector<std::pair<std::string, std::string>>& settings);
std::vector<double> accuracies(const std::vector<const ArmRun*>& runs);
std::vector<double> steps_to(const std::vector<const ArmRun*>& runs, double accuracy);  // infinite: never

}  // namespace sigma::app
