// `sigma lr-find`: which learning rate to train with.
#include "apps/training/lr_find.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/flags/config.h"
#include "apps/flags/verb.h"
#include "apps/report/csv.h"
#include "apps/report/plot.h"
#include "apps/run/output.h"
#include "apps/run/progress.h"
#include "apps/run/run_folder.h"
#include "apps/run/signals.h"
#include "apps/verbs/train_setup.h"
#include "core/parallel.h"

namespace sigma::app {
namespace {

namespace fs = std::filesystem;

// To two digits: the sweep knows no more.
std::string rate_of(double lr) { return fmt::format("{:.2g}", lr); }

Chart chart_of(const LrFindResult& r, const std::string& title) {
  Series losses, average, mark;
  for (const LrFindPoint& p : r.points) {
    for (Series* s : {&losses, &average}) s->x.push_back(p.lr);
    losses.y.push_back(p.loss);
    average.y.push_back(p.smoothed);
  }
  // Exploding losses would leave the rest of the curve flat.
  const double top = 1.5 * r.points.front().smoothed;
  losses.label = "a step";
  losses.color = palette(1);
  average.label = "smoothed";
  average.color = palette(0);
  mark = {"suggestion: " + rate_of(r.suggestion),
          {r.suggestion, r.suggestion},
          {0, top},
          {},
          {},
          palette(2),
          true};
  for (double& y : losses.y) y = std::min(y, top);
  for (double& y : average.y) y = std::min(y, top);
  Chart chart{title, "learning rate", "cross-entropy (nats)", {losses, average, mark}};
  chart.log_x = true;
  chart.y_min = 0;
  chart.y_max = top;
  return chart;
}

Chart trials_chart(const LrFindResult& r) {
  std::vector<LrTrial> trials = r.trials;
  std::sort(trials.begin(), trials.end(), [](const LrTrial& a, const LrTrial& b) { return a.lr < b.lr; });
  Series losses;
  double top = 0;
  for (const LrTrial& t : trials) {
    if (!std::isfinite(t.loss)) continue;
    losses.x.push_back(t.lr);
    losses.y.push_back(t.loss);
    top = std::max(top, t.loss);
  }
  losses.label = "a short run's end";
  losses.color = palette(0);
  const Series mark = {"suggestion: " + rate_of(r.suggestion),
                       {r.suggestion, r.suggestion},
                       {0, 1.1 * top},
                       {},
                       {},
                       palette(2),
                       true};
  Chart chart{"short runs from the first weights", "learning rate", "cross-entropy (nats)", {losses, mark}};
  chart.log_x = true;
  chart.y_min = 0;
  chart.y_max = 1.1 * top;
  return chart;
}

class LrFind : public Verb {
 public:
  LrFind()
      : Verb("lr-find",
             "suggests a learning rate for the run that the other flags say, by a sweep and short runs",
             kData | kModel | kNormalize | kTraining | kRun | kThreads) {
    use("--checkpoint", "start from this network: its layers, weights and normalization");
    use("--freeze");
    example("lr-find --data mnist --model cnn --optimizer adamw",
            "a rate for the run that `train` with these flags would be");
    use("--lr", "is what is looked for: the suggestion takes its place");
    flag("--lowest", range_.lowest, "the first rate of the sweep", kIdentity, {above(0, "above 0")});
    flag("--highest", range_.highest, "the last", kIdentity, {above(0, "above 0"), finite("a number")});
    flag("--steps", range_.steps, "from the one to the other, exponentially", kIdentity,
         {at_least(20), at_most(100000)});
    flag("--trials", range_.trials, "short runs around what the sweep suggests, at most; 0: the sweep alone",
         kIdentity, {at_least(0), at_most(100)});
    flag("--trial-steps", range_.trial_steps, "of each; less where the run that is meant has fewer",
         kIdentity, {at_least(20), at_most(1000000)});
  }

  int run(const Options& given) override {
    install_signal_handlers();
    if (range_.lowest >= range_.highest)
      fail(ErrorKind::usage, "--lowest", "expected less than --highest, {}, got {}", range_.highest,
           range_.lowest);
    Start from = start_of(given);
    Options& o = from.options;
    apply_threads(o);
    const fs::path path = RunFolder::locate(o, "lr-find");
    if (from.network) keep_inputs(path, o, {o.checkpoint});
    const Dataset data = training_data(from);
    o.lr = "1";  // rates of the sweep are multiples of it
    const TrainSetup setup = setup_of(o, from, data);
    if (!o.quiet)
      note(fmt::format("{} on {}: {} training images, rates {} to {} in {} steps of {} images, {} threads",
                       model_label(o.model), o.data, data.train.size(), range_.lowest, range_.highest,
                       range_.steps, setup.loader.batch_size, num_threads()));
    if (o.dry_run) {
      print_json(flags_json(o, own_flags()), o.json ? -1 : 2);
      return 0;
    }
    RunFolder folder(path, o, 1 << 20);
    ProgressLine line(o.quiet);
    const auto make = [&] { return std::make_unique<Trainer>(data, setup); };
    const LrFindResult r = find_lr(make, range_, [&](const LrFindEvent& e) {
      if (stop_signal()) throw Stopped{stop_signal()};
      const LrFindPoint& p = e.point;
      line.show(e.trial == 0 ? fmt::format("sweep: step {}/{} rate {:.3g} loss {:.4f} (smoothed {:.4f})",
                                           e.step, range_.steps, p.lr, p.loss, p.smoothed)
                             : fmt::format("short run {} with rate {:.3g}: step {} loss {:.4f}", e.trial,
                                           p.lr, e.step, p.loss));
      return true;
    });
    write(o, folder, r);
    return 0;
  }

 private:
  void write(const Options& o, const RunFolder& folder, const LrFindResult& r) {
    Options train = o;
    train.verb = "train";
    train.lr = rate_of(r.suggestion);
    const std::string command = command_line(train);
    folder.write_json("config.json", flags_json(o, own_flags()));
    folder.write_json("env.json", environment());
    CsvLog table(folder / "lr_find.csv", {"step", "lr", "loss", "smoothed"}, 0, 0);
    for (size_t i = 0; i < r.points.size(); ++i) {
      const LrFindPoint& p = r.points[i];
      table.row({std::to_string(i + 1), fmt::format("{:.6g}", p.lr), fmt::format("{:.6g}", p.loss),
                 fmt::format("{:.6g}", p.smoothed)});
    }
    table.flush();
    std::vector<Chart> charts = {
        chart_of(r, fmt::format("{} on {}: loss against rate", model_label(o.model), o.data))};
    Json trials = Json::array();
    if (!r.trials.empty()) {
      CsvLog short_runs(folder / "trials.csv", {"trial", "lr", "loss"}, 0, 0);
      for (size_t i = 0; i < r.trials.size(); ++i) {
        const LrTrial& t = r.trials[i];
        const bool ended = std::isfinite(t.loss);
        short_runs.row(
            {std::to_string(i + 1), fmt::format("{:.6g}", t.lr), ended ? fmt::format("{:.6g}", t.loss) : ""});
        trials.push_back({{"lr", t.lr}, {"loss", ended ? Json(t.loss) : Json(nullptr)}});
      }
      short_runs.flush();
      charts.push_back(trials_chart(r));
    }
    folder.write("lr_find.svg", to_svg(charts));
    folder.write("lr_find.png", to_png(charts));
    Json s;
    s["suggestion"] = parse_number("--lr", train.lr);
    s["steps"] = r.points.size();
    s["trials"] = trials;
    s["exploded"] = r.exploded;
    s["last_lr"] = r.points.back().lr;
    s["command"] = command;
    folder.write_json("summary.json", s);
    if (!o.quiet) {
      print(fmt::format("suggested rate: {}\n{}\npicture: {}", train.lr, command,
                        fs::absolute(folder.path() / "lr_find.png").string()));
    }
    if (o.json) print_json(s);
  }

  LrFindOptions range_;
};

const RegisterVerb<LrFind> register_lr_find(130);

}  // namespace
}  // namespace sigma::app
