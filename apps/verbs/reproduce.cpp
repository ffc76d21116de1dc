// `sigma reproduce`: published claims, tested on this machine.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "apps/experiments/page.h"
#include "apps/experiments/plan.h"
#include "apps/flags/config.h"
#include "apps/flags/verb.h"
#include "apps/report/words.h"
#include "apps/run/environment.h"
#include "apps/run/output.h"
#include "apps/run/signals.h"
#include "core/file.h"
#include "core/text.h"

namespace sigma::app {
namespace {

namespace fs = std::filesystem;

constexpr double kLong = 60;  // minutes: longer ones are not a part of --all alone

// "90s", "60m", "2h", "45" (minutes), in minutes.
double parse_budget(const std::string& text) {
  std::string number = text;
  double unit = 1;
  if (!number.empty() && std::string_view("smh").find(number.back()) != std::string_view::npos) {
    unit = number.back() == 's' ? 1 / 60.0 : number.back() == 'h' ? 60 : 1;
    number.pop_back();
  }
  const double minutes = unit * parse_number("--budget", number);
  if (!(minutes > 0 && std::isfinite(minutes)))
    fail(ErrorKind::usage, "--budget", "expected a time above 0, such as 60m or 2h, got \"{}\"",
         printable(text));
  return minutes;
}

class Reproduce : public Verb {
 public:
  Reproduce()
      : Verb("reproduce", "tests published claims about batch norm on this machine, with a verdict each",
             kThreads) {
    use("--data-dir");
    use("--seed", "of the first run; the others count on from it");
    use("--dry-run");
    words("experiment", names_, "which; without one and without --all: lists them", false);
    flag("--all", all_, "every experiment that the budget allows");
    flag("--budget", budget_, "time for all of them, as 60m or 2h: the largest sizes that fit it", kPlain);
    flag("--full", full_, "the largest size of each, however long it takes");
    flag("--folder", folder_, "where pages and measurements go; what is there is not measured again");
    example("reproduce", "the claims, what they cost and what came of them");
    example("reproduce rank-collapse", "one of them: its page is runs/reproduce/rank-collapse/index.html");
    example("reproduce --all --budget 60m", "as much as an hour allows");
  }

  int run(const Options& o) override {
    if (!all_ && names_.empty()) return list(o);
    std::vector<Job> jobs = plan();
    if (o.dry_run) {
      for (const Job& j : jobs)
        note(fmt::format("{:22} {:8} about {}", j.experiment.name, j.extent.name,
                         time_text(60 * j.extent.minutes)));
      return 0;
    }
    apply_threads(o);
    install_signal_handlers();
    for (size_t i = 0; i < jobs.size(); ++i) {
      double left = 0;
      for (size_t k = i; k < jobs.size(); ++k) left += jobs[k].extent.minutes;
      if (!o.quiet)
        note(fmt::format("{} of {}: {} ({}); about {} left", i + 1, jobs.size(), jobs[i].experiment.name,
                         jobs[i].extent.name, time_text(60 * left)));
      try {
        test(o, jobs[i]);
      } catch (const Error& e) {
        if (e.kind() != ErrorKind::io || jobs[i].experiment.data.empty() || !all_) throw;
        note(fmt::format("{} left out: {}", jobs[i].experiment.name, e.what()));
      }
    }
    write_file_atomic((fs::path(folder_) / "index.html").string(), index_html(tested_so_far()));
    if (!o.quiet) print("index: " + fs::absolute(fs::path(folder_) / "index.html").string());
    return 0;
  }

 private:
  using Job = Planned;

  // The chosen experiments with their sizes; what is left out is told.
  std::vector<Job> plan() const {
    std::vector<Experiment> chosen;
    std::vector<std::string> known;
    for (const Experiment& e : all_experiments()) {
      known.push_back(e.name);
      if (all_ || std::find(names_.begin(), names_.end(), e.name) != names_.end()) chosen.push_back(e);
    }
    for (const std::string& name : names_)
      if (std::find(known.begin(), known.end(), name) == known.end())
        fail(ErrorKind::usage, "reproduce", "unknown experiment \"{}\", expected one of {}", printable(name),
             join(known, ", "));
    if (!budget_.empty()) return within_budget(chosen);
    std::vector<Job> jobs;
    for (const Experiment& e : chosen) {
      const Extent& extent = full_ || !all_ ? e.extents.back() : e.extents.front();
      if (all_ && !full_ && extent.minutes > kLong)
        note(fmt::format("{} left out: it takes {}; --full, or its name, runs it", e.name,
                         time_text(60 * extent.minutes)));
      else
        jobs.push_back({e, extent});
    }
    return jobs;
  }

  std::vector<Job> within_budget(const std::vector<Experiment>& chosen) const {
    BudgetPlan plan = plan_within(parse_budget(budget_), chosen);
    for (const auto& [e, left] : plan.left_out)
      note(fmt::format("{} left out: its {} are more than the {} that are left when it is its turn", e.name,
                       time_text(60 * e.extents.front().minutes), time_text(60 * left)));
    return plan.jobs;
  }

  fs::path folder_of(const Options& o, const Job& job) const {
    return fs::path(folder_) / job.experiment.name /
           (job.extent.name + (o.seed ? fmt::format("-seed-{}", o.seed) : ""));
  }

  void test(const Options& o, const Job& job) const {
    const fs::path folder = folder_of(o, job), page = fs::path(folder_) / job.experiment.name;
    fs::create_directories(folder);
    std::vector<std::string> flags{"--threads", std::to_string(o.threads)};
    if (!o.data_dir.empty()) flags.insert(flags.end(), {"--data-dir", o.data_dir});
    if (o.quiet) flags.emplace_back("--quiet");
    const auto began = std::chrono::steady_clock::now();
    Laboratory laboratory(folder.string(), job.experiment, job.extent, o.seed, o.data_dir, flags);
    Tested t{job.experiment, job.extent, job.experiment.measure(laboratory), 0, {}, environment().dump(2)};
    t.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    for (const Tested& before : tested_so_far())  // what was read again took no time
      if (before.experiment.name == job.experiment.name && before.extent.name == job.extent.name)
        t.seconds = std::max(t.seconds, before.seconds);
    t.command = fmt::format("sigma reproduce {}{}{}", job.experiment.name,
                            job.extent.name == job.experiment.extents.back().name ? "" : " --budget 1s",
                            o.seed ? fmt::format(" --seed {}", o.seed) : "");
    for (const Plate& p : t.outcome.plates) {
      write_file_atomic((page / (p.name + ".csv")).string(), chart_csv(p.chart));
      write_file_atomic((page / (p.name + ".png")).string(), to_png({p.chart}));
    }
    write_file_atomic((page / "index.html").string(), experiment_html(t));
    write_file_atomic((page / "result.json").string(), outcome_json(t).dump(2) + "\n");
    if (!o.quiet)
      print(fmt::format("{}: {}. {}", job.experiment.name, words_of(t.outcome.verdict), t.outcome.why));
    if (o.json) print_json(outcome_json(t));
  }

  std::vector<Tested> tested_so_far() const {
    std::vector<Tested> all;
    for (const Experiment& e : all_experiments()) {
      const fs::path path = fs::path(folder_) / e.name / "result.json";
      std::error_code ignored;
      if (fs::exists(path, ignored))
        all.push_back(
            tested_from(read_json_file(path.string(), ErrorKind::checkpoint, 1 << 24), e, path.string()));
    }
    return all;
  }

  int list(const Options& o) const {
    const std::vector<Tested> tested = tested_so_far();
    Json all = Json::array();
    for (const Experiment& e : all_experiments()) {
      const auto last = std::find_if(tested.begin(), tested.end(),
                                     [&](const Tested& t) { return t.experiment.name == e.name; });
      const std::string verdict = last == tested.end() ? "" : words_of(last->outcome.verdict);
      const double minutes = e.extents.back().minutes;
      all.push_back({{"name", e.name},
                     {"claim", e.claim},
                     {"paper", e.paper},
                     {"rule", e.rule},
                     {"minutes", minutes},
                     {"verdict", verdict}});
      if (o.quiet || o.json) continue;
      print(fmt::format("{}  ({}{}{})\n    {}\n    {}", e.name, e.data.empty() ? "" : e.data + ", ",
                        "about " + time_text(60 * minutes), verdict.empty() ? "" : "; last time: " + verdict,
                        e.claim, e.paper));
    }
    if (o.json) print_json({{"experiments", all}});
    return 0;
  }

  std::vector<std::string> names_;
  bool all_ = false, full_ = false;
  std::string budget_, folder_ = "runs/reproduce";
};

const RegisterVerb<Reproduce> register_reproduce(140);

}  // namespace
}  // namespace sigma::app
