#include "apps/verbs/compare_run.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "apps/flags/config.h"
#include "apps/flags/flag_lists.h"
#include "apps/run/output.h"
#include "apps/run/signals.h"
#include "apps/verbs/compare_pictures.h"
#include "apps/verbs/compare_workers.h"
#include "apps/verbs/load_data.h"
#include "core/parallel.h"

namespace sigma::app {
namespace {

// "16", "16 to 64".
template <class Fn>
std::string range_over(const std::vector<Arm>& arms, Fn of) {
  const auto [low, high] = std::minmax_element(arms.begin(), arms.end(),
                                               [&](const Arm& a, const Arm& b) { return of(a) < of(b); });
  return of(*low) == of(*high) ? fmt::format("{}", of(*low)) : fmt::format("{} to {}", of(*low), of(*high));
}

void announce(const Options& o, const Plan& plan, const Dataset& data) {
  const Comparison& c = plan.comparison;
  note(
      fmt::format("{} arms x {} seeds: {} on {} ({} training, {} {} images), batch {}, {} steps each, "
                  "{} threads",
                  c.arms.size(), c.seeds, c.model, o.data, data.train.size(), data.measured().size(),
                  c.measured, range_over(c.arms, [](const Arm& a) { return a.batch_size; }),
                  range_over(c.arms, [](const Arm& a) { return a.steps; }), num_threads()));
  if (plan.left_out > 0)
    note(fmt::format("left out, as another arm is trained in the same way: {} of the {} combinations",
                     plan.left_out, plan.left_out + c.arms.size()));
}

void print_dry_run(const Options& o, Json config, const Comparison& c) {
  if (o.json) {
    config["arms"] = summary_json(c).at("arms");
  } else if (!o.quiet) {
    for (const Arm& arm : c.arms) note("  " + arm.label());
  }
  print_json(config, o.json ? -1 : 2);
}

void write(const Comparison& c, const RunFolder& folder) {
  folder.write("results.csv", measurements_csv(c));
  folder.write("curves.svg", curves_picture(c, true));
  folder.write("curves.png", curves_picture(c, false));
  if (const std::string p = activations_picture(c, false); !p.empty()) folder.write("activations.png", p);
  if (const std::string p = values_picture(c, false); !p.empty()) folder.write("values.png", p);
  folder.write("report.html", report_html(c));
  folder.write_json("summary.json", summary_json(c));
}

// The signal that stopped it, or 0.
int train(const Options& o, Plan& plan, const Dataset& data, const RunFolder& folder,
          const Finished& finished) {
  Comparison& c = plan.comparison;
  const auto began = std::chrono::steady_clock::now();
  install_signal_handlers();
  Workers workers(plan, data, folder, finished, jobs_of(plan, o.seed), o);
  if (int s = workers.run()) {
    workers.line().finish(
        fmt::format("stopped by signal {}; {} of {} runs are finished, `--resume --out {}` goes on", s,
                    c.runs.size(), c.arms.size() * static_cast<size_t>(o.seeds), folder.path().string()));
    return s;
  }
  c.wall_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  workers.line().finish(fmt::format("{} runs in {}", c.runs.size(), seconds_text(c.wall_seconds)));
  std::sort(c.runs.begin(), c.runs.end(), [](const ArmRun& a, const ArmRun& b) {
    return std::tie(a.arm, a.seed) < std::tie(b.arm, b.seed);
  });
  return 0;
}

}  // namespace

CompareOutcome run_comparison(const Options& o) {
  apply_threads(o);
  if ((!o.mean.empty() || !o.std.empty()) && is_list(o, "--normalize"))
    fail(ErrorKind::usage, "compare", "--mean and --std would make every --normalize the same; give one");
  const std::filesystem::path path = RunFolder::locate(o, "compare");
  DatasetOptions wanted = dataset_options(o);
  for (const Options& arm : arms_of(o)) wanted.originals |= augmentation_for(arm).crop;
  Dataset data = load_data(o.data, wanted, o);
  const bool validates = data.validation.size() > 0;
  if (validates) {
    data.test = std::move(data.validation);
    data.validation = {};
  }
  Plan plan = plan_for(o, data);
  Comparison& c = plan.comparison;
  if (validates) c.measured = "validation";
  if (!o.quiet) announce(o, plan, data);
  const Json config = flags_json(o);
  if (o.dry_run) {
    print_dry_run(o, config, c);
    return {{}, path, 0};
  }
  normalize(plan, data);
  add_pictures(plan, data);
  RunFolder folder(path, o, (16 << 20) + 16 * static_cast<uint64_t>(c.parameters * num_threads()));
  const Finished finished(folder, config, fingerprint(data));
  if (o.resume) c.runs = finished.load(c.arms.size());
  folder.write_json("config.json", config);
  folder.write("env.json", c.environment + "\n");
  if (c.runs.empty()) finished.save(c.runs);
  if (const int signal = train(o, plan, data, folder, finished)) return {{}, path, signal};
  write(c, folder);
  return {std::move(c), path, 0};
}

}  // namespace sigma::app
