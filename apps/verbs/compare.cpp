// `sigma compare`: trains every arm from the same initial weights on the same samples in the same order.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "apps/flags/config.h"
#include "apps/flags/flag_lists.h"
#include "apps/flags/verb.h"
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

class Compare : public Verb {
 public:
  Compare()
      : Verb("compare", "trainings side by side, over seeds, with a report: batch norm, or anything else",
             kData | kModel | kNormalize | kTraining | kRun | kResume | kThreads | kLists) {
    use("--freeze");
    example("compare",
            "batch norm on and off, on raw and scaled pixels of the built-in digits, about a minute");
    example("compare --data mnist --model mlp --lr 0.01,0.1 --seeds 5", "several rates, five seeds each");
    example("compare --optimizer sgd,adamw --batch-norm on --normalize standard",
            "two optimizers, each with its own defaults, or with the --lr and so on that are given");
    example("compare --batch-size 4,16,64 --epochs 2 --normalize unit",
            "batches of three sizes that all see the same number of images");
    example("compare --model a.net,b.net,lenet5 --normalize standard",
            "networks of your own beside a demo network; texts are separated by semicolons");
  }

  void set_defaults(Options& o) const override {
    o.model = "lenet5";
    o.several["--batch-norm"] = {"on", "off"};
    o.several["--normalize"] = {"none", "unit", "standard"};
    o.normalize = "none";
    o.batch_size = 64;
    o.lr = "0.1";
    o.hyper["momentum"] = 0;
    o.weight_decay = 0;
    o.schedule = "constant";
  }

  int run(const Options& o) override {
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
      return 0;
    }
    normalize(plan, data);
    add_pictures(plan, data);
    RunFolder folder(path, o, (16 << 20) + 16 * static_cast<uint64_t>(c.parameters * num_threads()));
    const Finished finished(folder, config, fingerprint(data));
    if (o.resume) c.runs = finished.load(c.arms.size());
    folder.write_json("config.json", config);
    folder.write("env.json", c.environment + "\n");
    if (c.runs.empty()) finished.save(c.runs);
    return train(o, plan, data, folder, finished);
  }

 private:
  static void announce(const Options& o, const Plan& plan, const Dataset& data) {
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

  static void print_dry_run(const Options& o, Json config, const Comparison& c) {
    if (o.json) {
      config["arms"] = summary_json(c).at("arms");
    } else if (!o.quiet) {
      for (const Arm& arm : c.arms) note("  " + arm.label());
    }
    print_json(config, o.json ? -1 : 2);
  }

  static int train(const Options& o, Plan& plan, const Dataset& data, const RunFolder& folder,
                   const Finished& finished) {
    Comparison& c = plan.comparison;
    const auto began = std::chrono::steady_clock::now();
    install_signal_handlers();
    Workers workers(plan, data, folder, finished, jobs_of(plan, o.seed), o);
    if (int s = workers.run()) {
      workers.line().finish(
          fmt::format("stopped by signal {}; {} of {} runs are finished, `--resume --out {}` goes on", s,
                      c.runs.size(), c.arms.size() * static_cast<size_t>(o.seeds), folder.path().string()));
      return 128 + s;
    }
    c.wall_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    workers.line().finish(fmt::format("{} runs in {}", c.runs.size(), seconds_text(c.wall_seconds)));
    std::sort(c.runs.begin(), c.runs.end(), [](const ArmRun& a, const ArmRun& b) {
      return std::tie(a.arm, a.seed) < std::tie(b.arm, b.seed);
    });
    write(o, c, folder);
    return 0;
  }

  static void write(const Options& o, const Comparison& c, const RunFolder& folder) {
    folder.write("results.csv", measurements_csv(c));
    folder.write("curves.svg", curves_picture(c, true));
    folder.write("curves.png", curves_picture(c, false));
    if (const std::string p = activations_picture(c, false); !p.empty()) folder.write("activations.png", p);
    if (const std::string p = values_picture(c, false); !p.empty()) folder.write("values.png", p);
    folder.write("report.html", report_html(c));
    const Json s = summary_json(c);
    folder.write_json("summary.json", s);
    if (!o.quiet) {
      print(table_text(c));
      print("report: " + std::filesystem::absolute(folder.path() / "report.html").string());
    }
    if (o.json) print_json(s);
  }
};

const RegisterVerb<Compare> register_compare(20);

}  // namespace
}  // namespace sigma::app
