// `sigma lr-find`: which learning rate to train with.
#include "apps/training/lr_find.h"

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

class LrFind : public Verb {
 public:
  LrFind()
      : Verb("lr-find", "sweeps the learning rate and suggests one, for the run that the other flags say",
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
    Trainer trainer(data, setup);
    RunFolder folder(path, o, 1 << 20);
    ProgressLine line(o.quiet);
    int64_t step = 0;
    const LrFindResult r = find_lr(trainer, range_, [&](const LrFindPoint& p) {
      if (stop_signal()) throw Stopped{stop_signal()};
      line.show(fmt::format("step {}/{} rate {:.3g} loss {:.4f} (smoothed {:.4f})", ++step, range_.steps,
                            p.lr, p.loss, p.smoothed));
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
    const Chart chart = chart_of(r, fmt::format("{} on {}: loss against rate", model_label(o.model), o.data));
    folder.write("lr_find.svg", to_svg({chart}));
    folder.write("lr_find.png", to_png({chart}));
    Json s;
    s["suggestion"] = parse_number("--lr", train.lr);
    s["steps"] = r.points.size();
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
