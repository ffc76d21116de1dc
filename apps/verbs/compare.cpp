// `sigma compare`: trains every arm from the same initial weights on the same samples in the same order.
#include "apps/verbs/compare.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <exception>
#include <map>
#include <mutex>
#include <thread>

#include "apps/flags/naming.h"
#include "apps/run/progress.h"
#include "apps/run/run_folder.h"
#include "apps/run/signals.h"
#include "apps/verbs/saved_model.h"
#include "apps/verbs/verbs.h"
#include "core/parallel.h"

namespace sigma::app {
namespace {

constexpr int64_t kDefaultSteps = 240;  // enough for every arm with batch norm to settle on the built-in data

using Clock = std::chrono::steady_clock;
double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// The chosen batch norm and the layer before it; the latter is there in both arms, under the same name.
struct Probe {
  std::string norm, before;
};
Probe find_probe(const TrainSetup& setup, const std::string& wanted) {
  ModulePtr model = make_model(setup.model, setup.input, true);
  Probe probe;
  std::string all;
  model->visit([&](const std::string& path, Module& m) {
    auto& children = m.named_children();
    for (size_t i = 1; i < children.size(); ++i) {
      if (!children[i].second->channel_norm()) continue;
      std::string name = join_path(path, children[i].first);
      all += (all.empty() ? "" : ", ") + name;
      if (wanted.empty() || wanted == name) probe = {name, join_path(path, children[i - 1].first)};
    }
  });
  if (probe.norm.empty())
    fail(ErrorKind::usage, "--histogram-layer", "\"{}\" is no batch norm of {}, expected one of {}", wanted,
         setup.model, all);
  return probe;
}

Histogram histogram(const Tensor& values) {
  Histogram h;
  h.share.assign(64, 0);
  Tensor v = values.to(DType::float64);
  const double* p = v.data<double>();
  for (int64_t i = 0; i < v.numel(); ++i) {
    if (!std::isfinite(p[i])) continue;
    double t = (p[i] - h.low) / (h.high - h.low) * 64;
    h.share[static_cast<size_t>(std::clamp(t, 0.0, 63.0))] += 1.0 / static_cast<double>(v.numel());
  }
  return h;
}

// What flows through the probe on some test images, in eval mode.
struct Activations {
  Tensor in, out;
};
Activations observe(Module& model, const Probe& probe, const Split& test, const Normalization& n) {
  Activations a;
  Module *before = model.find(probe.before), *norm = model.find(probe.norm);
  ScopedHooks hooks;
  hooks.add(*before,
            [&](const Module&, const Variable&, const Variable& out) { a.in = a.out = out.value(); });
  if (norm)
    hooks.add(*norm, [&](const Module&, const Variable&, const Variable& out) { a.out = out.value(); });
  std::vector<int64_t> rows;
  for (int64_t i = 0; i < std::min<int64_t>(200, test.size()); ++i) rows.push_back(i);
  NoGrad off;
  model.eval();
  model(Variable(normalized_images(test, rows, n)));
  return a;
}

ArmRun run_arm(const Comparison& c, size_t index, uint64_t seed, const Dataset& data, TrainSetup setup,
               const Probe& probe, const std::function<void(int64_t)>& tick) {
  ArmRun run;
  run.arm = index;
  run.seed = seed;
  setup.seed = seed;
  Trainer trainer(data, setup);
  const Normalization& n = setup.loader.normalization;
  double trained = 0, loss_sum = 0;
  int64_t loss_count = 0;
  auto look = [&](bool first, bool last) {
    Activations a = observe(trainer.model(), probe, data.test, n);
    if (first) run.first_in = histogram(a.in), run.first_out = histogram(a.out);
    if (last) run.last_in = histogram(a.in), run.last_out = histogram(a.out);
    std::vector<double> v = a.out.to_vector();
    std::erase_if(v, [](double x) { return !std::isfinite(x); });
    auto percentile = [&](double q) {
      if (v.empty()) return std::nan("");
      auto at = v.begin() + static_cast<std::ptrdiff_t>(q * static_cast<double>(v.size() - 1));
      std::nth_element(v.begin(), at, v.end());
      return *at;
    };
    run.p15.push_back(percentile(.15)), run.p50.push_back(percentile(.5)), run.p85.push_back(percentile(.85));
  };
  auto measure = [&](int64_t step, bool last) {
    look(step == 0, last);
    run.step.push_back(step);
    run.seconds.push_back(trained);
    run.loss.push_back(loss_count ? loss_sum / static_cast<double>(loss_count) : std::nan(""));
    run.accuracy.push_back(evaluate_or_stop(trainer.model(), data, n, c.eval_images).accuracy);
    loss_sum = 0, loss_count = 0;
  };
  measure(0, false);
  for (int64_t step = 0; step < c.steps; ++step) {
    if (int s = stop_signal()) throw Stopped{s};
    auto start = Clock::now();
    try {
      StepResult r = trainer.step();
      loss_sum += r.loss, ++loss_count;
    } catch (const Error& e) {
      if (e.kind() != ErrorKind::diverged) throw;
      run.diverged_at = step;
      measure(step, true);
      break;
    }
    trained += since(start);
    if ((step + 1) % c.eval_every == 0 || step + 1 == c.steps) measure(step + 1, step + 1 == c.steps);
    tick(1);
  }
  if (run.diverged_at >= 0) tick(c.steps - run.diverged_at);
  run.ms_per_step = 1000 * trained / static_cast<double>(std::max<int64_t>(1, trainer.steps_done()));
  EvalResult e = evaluate_or_stop(trainer.model(), data, n);
  if (run.diverged_at < 0 && !std::isfinite(e.loss)) run.diverged_at = c.steps;  // by the last update
  run.test_accuracy = e.accuracy;
  return run;
}

}  // namespace

int run_compare(const Options& o) {
  check(o);
  apply_threads(o);
  if ((!o.mean.empty() || !o.std.empty()) && split_list("--normalize", o.normalize).size() > 1)
    fail(ErrorKind::usage, "compare", "--mean and --std would make every --normalize the same; give one");
  auto folder_path = RunFolder::locate(o, "compare");
  Dataset data = load_dataset(o.data, {o.data_dir, o.limit_train, o.limit_test});
  TrainSetup base;
  base.model = o.model;
  base.input = {data.channels(), data.height(), data.width(), data.classes()};
  base.loader.batch_size = std::min(o.batch_size, data.train.size());
  base.loader.augmentation = augmentation_for(o);
  base.loader.threads = 0;
  base.loader.min_last_batch = 2;  // the arms must see the same batches, with batch norm or without
  base.init = o.init;
  base.precision = parse_precision(o.precision);
  base.label_smoothing = o.label_smoothing, base.clip_norm = o.clip_norm;

  Comparison c;
  c.options = o;
  c.model = o.model, c.data = o.data;
  bool default_length = o.epochs < 0 && o.max_steps == 0;
  c.steps = default_length ? kDefaultSteps : total_steps(o, steps_per_epoch(data.train.size(), base.loader));
  c.eval_every = o.eval_every > 0 ? o.eval_every : std::clamp<int64_t>(c.steps / 30, 1, 100);
  c.eval_images = o.eval_images;
  if (o.eval_images < 0) {  // a training step costs about three forward passes
    int64_t evals = std::max<int64_t>(1, c.steps / c.eval_every),
            images = 3 * c.steps * base.loader.batch_size / evals;
    c.eval_images = std::clamp<int64_t>(images, std::min<int64_t>(1000, data.test.size()), data.test.size());
  }
  auto lrs = split_list("--lr", o.lr);
  std::vector<TrainSetup> setups;
  for (const std::string& bn : split_list("--batch-norm", o.batch_norm))
    for (const std::string& kind : split_list("--normalize", o.normalize))
      for (const std::string& lr : lrs) {
        Arm arm{parse_switch("--batch-norm", bn), kind, parse_number("--lr", lr),
                lrs.size() > 1 ? " · lr " + lr : ""};
        TrainSetup s = base;
        s.batch_norm = arm.batch_norm;
        s.optimizer = {o.optimizer, arm.lr, o.weight_decay, hyper_values(o)};
        s.schedule = {parse_schedule(o.schedule), c.steps, o.warmup};
        c.arms.push_back(arm);
        setups.push_back(s);
      }
  for (bool bn : {true, false}) {
    base.batch_norm = bn;
    naming_flag("init", [&] { check_fit(base, data.train.size()); });
  }
  Probe probe = find_probe(base, o.histogram_layer);
  c.histogram_layer = probe.norm;
  c.parameters = make_model(base.model, base.input, true)->parameter_count();
  c.environment = environment();
  if (!o.quiet)
    std::fputs(fmt::format("{} arms x {} seeds: {} on {} ({} training, {} test images), batch {}, {} steps "
                           "each, {} threads\n",
                           c.arms.size(), o.seeds, o.model, o.data, data.train.size(), data.test.size(),
                           base.loader.batch_size, c.steps, num_threads())
                   .c_str(),
               stderr);
  Json config = flags_json(o);
  config["seeds"] = o.seeds;
  if (!o.histogram_layer.empty()) config["histogram-layer"] = o.histogram_layer;
  if (o.dry_run) {
    std::puts(config.dump(o.json ? -1 : 2).c_str());
    return 0;
  }

  std::map<std::string, Normalization> normalizations;  // whitening takes seconds: once a kind
  for (const std::string& kind : split_list("--normalize", o.normalize))
    normalizations[kind] = normalization_for(o, kind, data);
  for (size_t a = 0; a < setups.size(); ++a)
    setups[a].loader.normalization = normalizations.at(c.arms[a].normalize);

  RunFolder folder(folder_path, o, 16 << 20);
  struct Job {
    size_t arm;
    uint64_t seed;
  };
  std::vector<Job> jobs;
  for (int64_t s = 0; s < o.seeds; ++s)
    for (size_t a = 0; a < c.arms.size(); ++a) jobs.push_back({a, o.seed + static_cast<uint64_t>(s)});
  std::string finished_file = folder / "arms.json";
  std::error_code ignored;
  if (o.resume && std::filesystem::exists(finished_file, ignored)) {
    const Json saved = read_json_file(finished_file, ErrorKind::checkpoint, uint64_t{1} << 30);
    try {
      std::string differing = differing_flags(saved.at("config"), config);
      if (saved.at("fingerprint") != fingerprint(data))
        differing += "; the images or labels of the data set changed";
      if (!differing.empty())
        fail(ErrorKind::usage, "--resume", "this is not the run that was stopped: {}", differing.substr(2));
      for (const Json& j : saved.at("runs")) c.runs.push_back(ArmRun::from(j));
    } catch (const nlohmann::json::exception&) {
      fail(ErrorKind::checkpoint, finished_file, "the file is damaged; use --overwrite to start anew");
    }
    std::erase_if(jobs, [&](const Job& job) {
      return std::any_of(c.runs.begin(), c.runs.end(),
                         [&](const ArmRun& r) { return r.arm == job.arm && r.seed == job.seed; });
    });
  }
  folder.write_json("config.json", config);
  folder.write_json("env.json", c.environment);

  // The arms run side by side, one a thread; each is the same bits however many run at once.
  ProgressLine line(o.quiet);
  auto began = Clock::now();
  std::mutex mutex;
  std::atomic<size_t> next{0};
  std::atomic<int64_t> steps_done{0};
  std::exception_ptr error;
  int stopped = 0;
  int64_t total = static_cast<int64_t>(jobs.size()) * c.steps;
  std::string print = fingerprint(data);
  auto work = [&](bool alone) {
    std::optional<SerialScope> serial;
    if (!alone) serial.emplace();
    for (size_t k; (k = next.fetch_add(1)) < jobs.size();) {
      try {
        ArmRun run = run_arm(c, jobs[k].arm, jobs[k].seed, data, setups[jobs[k].arm], probe, [&](int64_t n) {
          int64_t done = steps_done.fetch_add(n) + n;
          if (done % 16 > n) return;
          std::lock_guard lock(mutex);
          double seconds = since(began);
          line.show(fmt::format(
              "compare {}/{} runs done, step {}/{} ({:.0f}%) {} steps/s ETA {}", c.runs.size(),
              c.arms.size() * static_cast<size_t>(o.seeds), done, total,
              100.0 * static_cast<double>(done) / static_cast<double>(total),
              rate_text(static_cast<double>(done) / seconds),
              seconds_text(seconds / static_cast<double>(done) * static_cast<double>(total - done))));
        });
        std::lock_guard lock(mutex);
        c.runs.push_back(std::move(run));
        Json saved{{"config", config}, {"fingerprint", print}, {"runs", Json::array()}};
        for (const ArmRun& r : c.runs) saved["runs"].push_back(r.json());
        write_file_atomic(finished_file, saved.dump());
      } catch (const Stopped& s) {
        std::lock_guard lock(mutex);
        stopped = s.signal;
        return;
      } catch (...) {
        std::lock_guard lock(mutex);
        if (!error) error = std::current_exception();
        next = jobs.size();
        return;
      }
    }
  };
  size_t workers = std::min<size_t>(static_cast<size_t>(num_threads()), jobs.size());
  std::vector<std::thread> threads;
  for (size_t i = 1; i < workers; ++i) threads.emplace_back(work, false);
  if (workers > 0) work(workers == 1);
  for (auto& t : threads) t.join();
  if (error) std::rethrow_exception(error);
  if (stopped) {
    line.finish(fmt::format("stopped by signal {}; {} runs are finished, `--resume --out {}` goes on",
                            stopped, c.runs.size(), folder.path().string()));
    return 128 + stopped;
  }
  std::sort(c.runs.begin(), c.runs.end(), [](const ArmRun& a, const ArmRun& b) {
    return std::tie(a.arm, a.seed) < std::tie(b.arm, b.seed);
  });
  c.wall_seconds = since(began);

  folder.write("results.csv", measurements_csv(c));
  folder.write("curves.svg", curves_picture(c, true));
  folder.write("curves.png", curves_picture(c, false));
  folder.write("histograms.png", histograms_picture(c, false));
  folder.write("learning_rates.png", learning_rate_picture(c, false));
  folder.write("report.html", report_html(c));
  Json s = summary_json(c);
  folder.write_json("summary.json", s);
  line.finish(fmt::format("{} runs in {}", c.runs.size(), seconds_text(c.wall_seconds)));
  if (!o.quiet) std::fputs(table_text(c).c_str(), stdout);
  if (!o.quiet)
    std::puts(
        fmt::format("report: {}", std::filesystem::absolute(folder.path() / "report.html").string()).c_str());
  if (o.json) std::puts(s.dump().c_str());
  return 0;
}

}  // namespace sigma::app
