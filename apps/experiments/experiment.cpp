#include "apps/experiments/experiment.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "apps/flags/parser.h"
#include "apps/report/comparison_parts.h"
#include "apps/run/output.h"
#include "apps/run/signals.h"
#include "apps/training/fit.h"
#include "apps/verbs/compare_run.h"
#include "apps/verbs/train_setup.h"
#include "core/file.h"
#include "core/json.h"

namespace sigma::app {
namespace {

namespace fs = std::filesystem;

std::vector<Experiment>& registered() {
  static std::vector<Experiment> all;
  return all;
}

}  // namespace

std::string words_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::reproduced:
      return "reproduced";
    case Verdict::partly:
      return "reproduced in part";
    default:
      return "not reproduced";
  }
}

Verdict verdict_of(size_t good, size_t all) {
  return good == all ? Verdict::reproduced : good > 0 ? Verdict::partly : Verdict::not_reproduced;
}

RegisterExperiment::RegisterExperiment(Experiment experiment) {
  registered().push_back(std::move(experiment));
}

std::vector<Experiment> all_experiments() {
  std::vector<Experiment> all = registered();
  std::sort(all.begin(), all.end(),
            [](const Experiment& a, const Experiment& b) { return a.place < b.place; });
  return all;
}

Laboratory::Laboratory(std::string folder, const Experiment& experiment, const Extent& extent,
                       uint64_t first_seed, std::string data_dir, std::vector<std::string> flags)
    : folder_(std::move(folder)),
      extent_(extent),
      first_seed_(first_seed),
      data_name_(experiment.data),
      data_dir_(std::move(data_dir)),
      flags_(std::move(flags)) {}

const Dataset& Laboratory::data() {
  if (!data_) data_ = load_dataset(data_name_, {.data_dir = data_dir_});
  return *data_;
}

// What the flags do not say is the extent's.
std::vector<std::string> Laboratory::line_of(const char* verb, const std::vector<std::string>& flags) const {
  std::vector<std::string> line{verb};
  line.insert(line.end(), flags.begin(), flags.end());
  line.insert(line.end(), flags_.begin(), flags_.end());
  auto otherwise = [&](const char* flag, auto value) {
    if (std::find(flags.begin(), flags.end(), flag) == flags.end())
      line.insert(line.end(), {flag, std::to_string(value)});
  };
  otherwise("--seed", first_seed_);
  if (extent_.steps > 0) otherwise("--max-steps", extent_.steps);
  if (std::string(verb) == "compare") otherwise("--seeds", seeds());
  return line;
}

Comparison Laboratory::compare(const std::string& name, const std::vector<std::string>& flags) {
  const fs::path run = fs::path(folder_) / name;
  std::vector<std::string> line = line_of("compare", flags);
  line.insert(line.end(), {"--out", run.string()});
  std::error_code ignored;
  if (fs::exists(run / "arms.json", ignored)) line.emplace_back("--resume");
  const Call call = parse_command_line(line);
  const CompareOutcome done = run_comparison(*call.options);
  if (done.signal) throw Stopped{done.signal};
  return *done.comparison;
}

Json Laboratory::trained(const std::string& name, const std::vector<std::string>& flags,
                         const std::function<Json(Module&, const EvalResult&)>& measure) {
  const std::string path = (fs::path(folder_) / (name + ".safetensors")).string();
  std::error_code ignored;
  const Json measured = unit(name, [&] {
    std::vector<std::string> line = line_of("train", flags);
    line.insert(line.end(), {"--data", data_name_});
    const Call call = parse_command_line(line);
    const Options& o = *call.options;
    Trainer trainer(data(), setup_of(o, data(), normalization_for(o, o.normalize, data())));
    FitOptions options;
    if (fs::exists(path, ignored)) go_on(trainer, options, load_checkpoint(path), path);
    FitResult result;
    try {
      result = fit(trainer, options,
                   {.on_save =
                        [&](const Checkpoint& c, SaveReason reason) {
                          if (reason != SaveReason::best && reason != SaveReason::diverged)
                            save_checkpoint(path, c);
                        },
                    .stop = [] { return stop_signal() != 0; }});
    } catch (const Error& e) {
      if (e.kind() != ErrorKind::diverged) throw;
      result.test = {};
    }
    if (result.stopped) throw Stopped{stop_signal()};
    return measure(trainer.model(), result.test);
  });
  fs::remove(path, ignored);
  return measured;
}

Json Laboratory::unit(const std::string& name, const std::function<Json()>& compute) {
  const fs::path path = fs::path(folder_) / (name + ".json");
  std::error_code ignored;
  if (fs::exists(path, ignored))
    return read_json_file(path.string(), ErrorKind::checkpoint, uint64_t{1} << 30);
  if (const int signal = stop_signal()) throw Stopped{signal};
  const std::string text = json_text(compute());
  write_file_atomic(path.string(), text);
  return parse_json(text, ErrorKind::checkpoint, path.string());  // as it will be read
}

void add_curves(Outcome& o, const Comparison& c, const std::string& name, const std::string& caption) {
  const std::vector<Chart> charts = accuracy_charts(c);
  for (size_t i = 0; i < charts.size(); ++i)
    o.plates.push_back({charts.size() == 1 ? name : fmt::format("{}-{}", name, i + 1), caption, charts[i]});
}

void add_values(Outcome& o, const Comparison& c) {
  for (const Chart& chart : value_charts(c))
    o.plates.push_back({"accuracy", "Final test accuracy by the rate; means and range.", chart});
}

double number_of(const Json& value) { return value.is_number() ? value.get<double>() : std::nan(""); }

std::vector<double> numbers_of(const Json& array) {
  std::vector<double> numbers;
  for (const Json& value : array) numbers.push_back(number_of(value));
  return numbers;
}

double median_of(std::vector<double> values) {
  if (values.empty()) return std::nan("");
  std::sort(values.begin(), values.end(),  // NaNs last
            [](double a, double b) { return a < b || (std::isnan(b) && !std::isnan(a)); });
  const size_t n = values.size();
  return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

std::string median_text(std::vector<double> values, const char* format, const char* not_finite) {
  if (values.empty()) return "";
  auto text = [&](double v) {
    return std::isfinite(v) ? fmt::format(fmt::runtime(format), v) : std::string(not_finite);
  };
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  const std::string middle = text(median_of(values));
  return values.size() == 1 || *low == *high ? middle
                                             : fmt::format("{} [{}, {}]", middle, text(*low), text(*high));
}

std::string percent_range(const std::vector<double>& shares) {
  std::vector<double> percent;
  for (double s : shares) percent.push_back(100 * s);
  return median_text(percent, "{:.2f}%");
}

std::vector<const ArmRun*> runs_where(const Comparison& c,
                                      const std::vector<std::pair<std::string, std::string>>& settings) {
  std::vector<const ArmRun*> runs;
  for (const ArmRun& r : c.runs) {
    const Arm& arm = c.arms[r.arm];
    const bool all = std::all_of(settings.begin(), settings.end(), [&](const auto& wanted) {
      const Setting* s = arm.of(wanted.first);
      return s && s->value == wanted.second;
    });
    if (all) runs.push_back(&r);
  }
  if (runs.empty())
    fail(ErrorKind::internal, "reproduce", "no run of the comparison has the settings that were asked for");
  return runs;
}

std::vector<double> accuracies(const std::vector<const ArmRun*>& runs) {
  std::vector<double> all;
  for (const ArmRun* r : runs) all.push_back(r->test_accuracy);
  return all;
}

std::vector<double> steps_to(const std::vector<const ArmRun*>& runs, double accuracy) {
  std::vector<double> all;
  for (const ArmRun* r : runs) {
    const int64_t step = r->steps_to(accuracy);
    all.push_back(step < 0 ? HUGE_VAL : static_cast<double>(step));
  }
  return all;
}

}  // namespace sigma::app
