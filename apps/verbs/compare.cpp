// `sigma compare`: trains every arm from the same initial weights on the same samples in the same order.
#include <algorithm>
#include <atomic>
#include <exception>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <system_error>
#include <thread>

#include "apps/flags/config.h"
#include "apps/flags/naming.h"
#include "apps/flags/verb.h"
#include "apps/run/output.h"
#include "apps/run/progress.h"
#include "apps/run/run_folder.h"
#include "apps/run/signals.h"
#include "apps/verbs/compare_arm.h"
#include "apps/verbs/load_data.h"
#include "core/file.h"
#include "core/parallel.h"
#include "core/text.h"

namespace sigma::app {
namespace {

constexpr int64_t kDefaultSteps = 240;  // enough for every arm with batch norm to settle on the built-in data
constexpr std::chrono::seconds kSaveEvery{30};  // what a run may lose that is killed

using Clock = std::chrono::steady_clock;
double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// One arm with one seed that is not finished.
struct Job {
  size_t arm;
  uint64_t seed;
  std::string file() const { return fmt::format("weights/arm-{}-seed-{}.safetensors", arm, seed); }
};

// What is to be done: the arms, how each is trained, and what is looked at.
struct Plan {
  Comparison comparison;
  std::vector<TrainSetup> setups;  // of the arms
  Probe probe;
};

TrainSetup base_setup(const Options& o, const Dataset& data) {
  TrainSetup s;
  s.model = o.model;
  s.norm = o.norm;
  s.input = {data.channels(), data.height(), data.width(), data.classes()};
  s.loader.batch_size = std::min(o.batch_size, data.train.size());
  complete_data_setup(o, data, s);
  s.loader.threads = 0;
  s.loader.min_last_batch = 2;  // the arms must see the same batches, with batch norm or without
  s.init = o.init;
  s.precision = parse_precision(o.precision);
  s.label_smoothing = o.label_smoothing;
  s.clip_norm = o.clip_norm;
  s.ema = o.ema;
  return s;
}

// Test images for the measurements on the way: a training step costs about three forward passes.
int64_t images_to_measure(const Options& o, const Comparison& c, int64_t test_images) {
  if (o.eval_images >= 0) return o.eval_images;
  const int64_t evals = std::max<int64_t>(1, c.steps / c.eval_every),
                images = 3 * c.steps * c.batch_size / evals;
  return std::clamp<int64_t>(images, std::min<int64_t>(1000, test_images), test_images);
}

Plan plan_for(const Options& o, const Dataset& data) {
  Plan plan;
  TrainSetup base = base_setup(o, data);
  Comparison& c = plan.comparison;
  c.model = model_label(o.model);
  c.data = o.data;
  c.schedule = o.schedule;
  c.command = command_line(o);
  c.seeds = o.seeds;
  c.batch_size = base.loader.batch_size;
  const bool default_length = o.epochs < 0 && o.max_steps == 0;
  c.steps = default_length ? kDefaultSteps : total_steps(o, steps_per_epoch(data.train.size(), base.loader));
  c.eval_every = o.eval_every > 0 ? o.eval_every : std::clamp<int64_t>(c.steps / 30, 1, 100);
  c.eval_images = images_to_measure(o, c, data.measured().size());
  const std::vector<std::string> lrs = split_list("--lr", o.lr),
                                 kinds = split_list("--normalize", o.normalize),
                                 batch_norms = split_list("--batch-norm", o.batch_norm);
  for (const std::string& bn : batch_norms)
    for (const std::string& kind : kinds)
      for (const std::string& lr : lrs) {
        Arm arm{parse_switch("--batch-norm", bn), kind, parse_number("--lr", lr), {}};
        if (batch_norms.size() > 1)
          arm.settings.push_back({"batch-norm", bn, arm.batch_norm ? "batch norm" : "no batch norm"});
        if (kinds.size() > 1) arm.settings.push_back({"normalize", kind, kind});
        if (lrs.size() > 1) arm.settings.push_back({"lr", lr, "lr " + lr});
        TrainSetup s = base;
        s.batch_norm = arm.batch_norm;
        s.optimizer = optimizer_setup(o, arm.lr);
        s.schedule = {parse_schedule(o.schedule), c.steps, o.warmup};
        c.arms.push_back(arm);
        plan.setups.push_back(s);
      }
  for (int64_t i = 0; i < c.steps; ++i) c.rates.push_back(plan.setups[0].schedule.at(i, c.arms[0].lr));
  for (bool bn : {true, false}) {
    base.batch_norm = bn;
    naming_flag("init", [&] { check_fit(base, data.train.size()); });
  }
  naming_flag("lr-scale", [&] {  // of the arms there are
    for (const TrainSetup& s : plan.setups) parameter_groups(*make_network(s), s.optimizer);
  });
  plan.probe = find_probe(base, o.histogram_layer);
  c.histogram_layer = plan.probe.norm;
  c.parameters = make_model(base.model, base.input, Norm(base.norm))->parameter_count();
  c.environment = json_text(environment(), 2);
  return plan;
}

// The runs that are finished, in arms.json, with what tells whether it is the same comparison.
class Finished {
 public:
  Finished(const RunFolder& folder, Json config, std::string fingerprint)
      : path_(folder / "arms.json"), config_(std::move(config)), fingerprint_(std::move(fingerprint)) {}

  // Those of a run that is resumed.
  std::vector<ArmRun> load() const {
    constexpr ErrorKind kind = ErrorKind::checkpoint;
    std::error_code ignored;
    if (!std::filesystem::exists(path_, ignored)) return {};
    const Json saved = read_json_file(path_, kind, uint64_t{1} << 30);
    std::string differing = differing_flags(json_object(saved, "config", kind, path_), config_);
    if (json_get<std::string>(saved, "fingerprint", kind, path_) != fingerprint_)
      differing += "; the images or labels of the data set changed";
    if (!differing.empty())
      fail(ErrorKind::usage, "--resume", "this is not the run that was stopped: {}", differing.substr(2));
    std::vector<ArmRun> runs;
    for (const Json& j : json_array(saved, "runs", kind, path_)) runs.push_back(ArmRun::from(j, path_));
    return runs;
  }
  void save(const std::vector<ArmRun>& runs) const {
    Json saved{{"config", config_}, {"fingerprint", fingerprint_}, {"runs", Json::array()}};
    for (const ArmRun& r : runs) saved["runs"].push_back(r.json());
    write_file_atomic(path_, json_text(saved));
  }

 private:
  std::string path_;
  Json config_;
  std::string fingerprint_;
};

// Trains the jobs side by side, one a thread; each is the same bits however many run at once.
class Workers {
 public:
  Workers(Plan& plan, const Dataset& data, const RunFolder& folder, const Finished& finished,
          std::vector<Job> jobs, const Options& o)
      : plan_(plan),
        data_(data),
        folder_(folder),
        finished_(finished),
        jobs_(std::move(jobs)),
        resume_(o.resume),
        line_(o.quiet) {
    total_ = static_cast<int64_t>(jobs_.size()) * plan.comparison.steps;
  }

  // The signal that asked to stop, or 0.
  int run() {
    const size_t wanted = std::min<size_t>(static_cast<size_t>(num_threads()), jobs_.size());
    std::vector<std::thread> threads;
    try {
      for (size_t i = 1; i < wanted; ++i) threads.emplace_back([this] { work(false); });
    } catch (const std::system_error&) {}  // those that there are do all of it
    if (wanted > 0) work(threads.empty());
    for (auto& t : threads) t.join();
    if (error_) std::rethrow_exception(error_);
    return stopped_;
  }
  ProgressLine& line() { return line_; }

 private:
  void work(bool alone) {
    std::optional<SerialScope> serial;
    if (!alone) serial.emplace();
    for (size_t k; !failed_ && (k = next_.fetch_add(1)) < jobs_.size();) {
      try {
        train(jobs_[k]);
      } catch (const Stopped& s) {
        std::lock_guard lock(mutex_);
        stopped_ = s.signal;
        return;
      } catch (...) {
        std::lock_guard lock(mutex_);
        if (!error_) error_ = std::current_exception();
        failed_ = true;
        return;
      }
    }
  }

  void train(const Job& job) {
    ArmTraining arm(plan_.comparison, job.arm, job.seed, data_, plan_.setups[job.arm], plan_.probe);
    const std::string file = folder_ / job.file();
    take_up(arm, file);
    int64_t counted = arm.steps_done();
    tick(counted, counted);
    auto saved = Clock::now();
    auto between = [&](int64_t step) {
      tick(step - counted, 0);
      counted = step;
      if (int s = stop_signal()) throw Stopped{s};
      if (failed_) throw Stopped{0};
      if (Clock::now() - saved < kSaveEvery) return;
      saved = Clock::now();
      try {
        arm.save(file);
      } catch (const Error& e) {
        if (e.kind() != ErrorKind::io) throw;
        warn(e.what());
      }
    };
    try {
      ArmRun done = arm.run(between);
      finish(std::move(done), file, plan_.comparison.steps - counted);
    } catch (const Stopped&) {
      arm.save(file);
      throw;
    }
  }

  // What a run that is resumed had done of an arm. A damaged file costs that arm's work, no more.
  void take_up(ArmTraining& arm, const std::string& file) const {
    std::error_code ignored;
    if (!resume_ || !std::filesystem::exists(file, ignored)) return;
    try {
      arm.load(file);
    } catch (const Error& e) {
      if (e.kind() != ErrorKind::checkpoint && e.kind() != ErrorKind::io) throw;
      warn(fmt::format("{}; this arm begins again", e.what()));
    }
  }

  void finish(ArmRun run, const std::string& file, int64_t steps_left) {
    tick(steps_left, 0);
    std::lock_guard lock(mutex_);
    plan_.comparison.runs.push_back(std::move(run));
    finished_.save(plan_.comparison.runs);
    std::error_code ignored;
    std::filesystem::remove(file, ignored);
  }

  // Steps that were done now, `before` of them in an earlier process.
  void tick(int64_t steps, int64_t before) {
    std::lock_guard lock(mutex_);
    done_ += steps;
    before_ += before;
    if (done_ == before_ || !line_.due()) return;
    const Comparison& c = plan_.comparison;
    const double seconds = since(began_), now = static_cast<double>(done_ - before_);
    line_.show(fmt::format("compare {}/{} runs done, step {}/{} ({:.0f}%) {} steps/s ETA {}", c.runs.size(),
                           c.arms.size() * static_cast<size_t>(c.seeds), done_, total_,
                           100.0 * static_cast<double>(done_) / static_cast<double>(total_),
                           rate_text(now / seconds),
                           seconds_text(seconds / now * static_cast<double>(total_ - done_))));
  }

  Plan& plan_;
  const Dataset& data_;
  const RunFolder& folder_;
  const Finished& finished_;
  std::vector<Job> jobs_;
  bool resume_;
  ProgressLine line_;
  Clock::time_point began_ = Clock::now();
  std::mutex mutex_;  // of all that follows, and of the runs
  std::atomic<size_t> next_{0};
  std::atomic<bool> failed_{false};  // another one has
  int64_t done_ = 0, before_ = 0, total_ = 0;
  std::exception_ptr error_;
  int stopped_ = 0;
};

class Compare : public Verb {
 public:
  Compare()
      : Verb("compare", "batch norm on and off x input normalization, over seeds, with a report",
             kData | kModel | kNormalize | kTraining | kRun | kResume | kThreads | kLists) {
    example("compare", "the built-in digits, about a minute");
    example("compare --data mnist --model mlp --lr 0.01,0.1 --seeds 5", "several rates, five seeds each");
  }

  void set_defaults(Options& o) const override {
    o.model = "lenet5";
    o.batch_norm = "on,off";
    o.normalize = "none,unit,standard";
    o.batch_size = 64;
    o.lr = "0.1";
    o.hyper["momentum"] = 0;
    o.weight_decay = 0;
    o.schedule = "constant";
  }

  int run(const Options& o) override {
    apply_threads(o);
    if ((!o.mean.empty() || !o.std.empty()) && split_list("--normalize", o.normalize).size() > 1)
      fail(ErrorKind::usage, "compare", "--mean and --std would make every --normalize the same; give one");
    const std::filesystem::path path = RunFolder::locate(o, "compare");
    Dataset data = load_data(o.data, dataset_options(o), o);
    if (data.validation.size() > 0) {
      if (!o.quiet)
        note(fmt::format("measured on the {} validation images: they are what is called test here",
                         data.validation.size()));
      data.test = std::move(data.validation);
      data.validation = {};
    }
    Plan plan = plan_for(o, data);
    Comparison& c = plan.comparison;
    if (!o.quiet)
      note(
          fmt::format("{} arms x {} seeds: {} on {} ({} training, {} test images), batch {}, {} steps each, "
                      "{} threads",
                      c.arms.size(), o.seeds, model_label(o.model), o.data, data.train.size(),
                      data.measured().size(), c.batch_size, c.steps, num_threads()));
    const Json config = flags_json(o);
    if (o.dry_run) {
      print_json(config, o.json ? -1 : 2);
      return 0;
    }
    std::map<std::string, Normalization> normalizations;  // whitening takes seconds: once a kind
    for (const std::string& kind : split_list("--normalize", o.normalize))
      normalizations[kind] = normalization_for(o, kind, data);
    for (size_t a = 0; a < plan.setups.size(); ++a)
      plan.setups[a].loader.normalization = normalizations.at(c.arms[a].normalize);

    RunFolder folder(path, o, (16 << 20) + 16 * static_cast<uint64_t>(c.parameters * num_threads()));
    const Finished finished(folder, config, fingerprint(data));
    if (o.resume) c.runs = finished.load();
    folder.write_json("config.json", config);
    folder.write("env.json", c.environment + "\n");
    if (c.runs.empty()) finished.save(c.runs);
    return train(o, plan, data, folder, finished);
  }

 private:
  static int train(const Options& o, Plan& plan, const Dataset& data, const RunFolder& folder,
                   const Finished& finished) {
    Comparison& c = plan.comparison;
    std::vector<Job> jobs;
    for (int64_t s = 0; s < o.seeds; ++s)
      for (size_t a = 0; a < c.arms.size(); ++a) jobs.push_back({a, o.seed + static_cast<uint64_t>(s)});
    std::erase_if(jobs, [&](const Job& job) {
      return std::any_of(c.runs.begin(), c.runs.end(),
                         [&](const ArmRun& r) { return r.arm == job.arm && r.seed == job.seed; });
    });
    const auto began = Clock::now();
    install_signal_handlers();
    Workers workers(plan, data, folder, finished, jobs, o);
    if (int s = workers.run()) {
      workers.line().finish(
          fmt::format("stopped by signal {}; {} of {} runs are finished, `--resume --out {}` goes on", s,
                      c.runs.size(), c.arms.size() * static_cast<size_t>(o.seeds), folder.path().string()));
      return 128 + s;
    }
    c.wall_seconds = since(began);
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
    folder.write("histograms.png", histograms_picture(c, false));
    folder.write("learning_rates.png", learning_rate_picture(c, false));
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
