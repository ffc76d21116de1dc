// `sigma train`: one network, checkpoints, exact resume.

#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>

#include "apps/flags/config.h"
#include "apps/flags/verb.h"
#include "apps/report/csv.h"
#include "apps/report/plot.h"
#include "apps/run/output.h"
#include "apps/run/progress.h"
#include "apps/run/run_folder.h"
#include "apps/run/signals.h"
#include "apps/training/checkpoint.h"
#include "apps/training/fine_tune.h"
#include "core/parallel.h"
#include "core/text.h"

namespace sigma::app {
namespace {

using Clock = std::chrono::steady_clock;
double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// What whitening adds to a checkpoint.
uint64_t bytes_of(const Normalization& n) { return n.whitening ? n.whitening->matrix.bytes() : 0; }

// What a run has to carry from one process to the next, beside the weights.
struct Progress {
  int64_t step = 0, evaluated_step = 0, epoch_count = 0, epoch_correct = 0;
  double epoch_loss = 0, best = -1, seconds = 0;
  std::optional<double> train_loss;  // as last measured
  Json json() const {
    return {{"step", step},
            {"evaluated_step", evaluated_step},
            {"epoch_count", epoch_count},
            {"epoch_correct", epoch_correct},
            {"epoch_loss", epoch_loss},
            {"best", best},
            {"seconds", seconds},
            {"train_loss", train_loss ? Json(*train_loss) : Json()}};
  }
  static Progress from(const Json& j) {
    Progress p{j.at("step"),       j.at("evaluated_step"), j.at("epoch_count"), j.at("epoch_correct"),
               j.at("epoch_loss"), j.at("best"),           j.at("seconds"),     {}};
    if (j.contains("train_loss") && !j["train_loss"].is_null()) p.train_loss = j["train_loss"].get<double>();
    return p;
  }
};

class TrainRun {
 public:
  TrainRun(const Options& o, const Dataset& data, TrainSetup setup, std::filesystem::path folder)
      : options_(o),
        data_(data),
        trainer_(data, std::move(setup)),
        total_(trainer_.setup().schedule.total_steps),
        eval_every_(o.eval_every > 0 ? o.eval_every : trainer_.steps_per_epoch()),
        save_every_(o.save_every > 0 ? o.save_every : trainer_.steps_per_epoch()),
        folder_(std::move(folder), o,
                64 * static_cast<uint64_t>(trainer_.model().parameter_count()) +
                    3 * bytes_of(trainer_.setup().loader.normalization) + (1 << 20)),
        line_(o.quiet) {}

  int run() {
    config_ = flags_json(options_);
    start();
    folder_.write_json("config.json",
                       config_);  // first: with it, the folder is a run that --resume can go on with
    std::vector<std::string> header{"epoch",         "step", "train_loss", "train_accuracy", "test_loss",
                                    "test_accuracy", "lr",   "seconds",    "images_per_s",   "data_percent"};
    results_ = CsvLog(folder_ / "results.csv", header, 1, progress_.step);
    steps_ = CsvLog(folder_ / "steps.csv", {"step", "epoch", "loss", "accuracy", "lr"}, 0, progress_.step);
    folder_.write_json("env.json", environment());
    if (progress_.step == 0) save();
    began_ = Clock::now();
    started_ = true;
    first_step_ = progress_.step;
    install_signal_handlers();
    try {
      loop();
    } catch (const Stopped& s) {
      save();
      write_tables();
      line_.finish(fmt::format("stopped by signal {} at step {}; `--resume --out {}` goes on", s.signal,
                               progress_.step, folder_.path().string()));
      return 128 + s.signal;
    } catch (const Error& e) {
      if (e.kind() == ErrorKind::diverged) {
        Checkpoint c = checkpoint();
        save_checkpoint(folder_ / fmt::format("weights/diverged-{}.safetensors", progress_.step),
                        std::move(c), false);
        write_tables();
      }
      throw;
    }
    return finish();
  }

 private:
  void start() {
    if (!options_.resume) return;
    std::string last = folder_ / "weights/last.safetensors",
                previous = folder_ / "weights/last-previous.safetensors";
    std::optional<Checkpoint> c;
    bool damaged = false;
    try {
      c = load_checkpoint(last);
    } catch (const Error& e) {
      std::error_code ignored;
      bool nothing = !std::filesystem::exists(last, ignored) && !std::filesystem::exists(previous, ignored);
      if (nothing) return;  // stopped before the first checkpoint: begin again
      if (!std::filesystem::exists(previous, ignored)) throw;
      warn(fmt::format("{}; resuming from last-previous.safetensors", e.what()));
      c = load_checkpoint(previous);
      damaged = true;
    }
    try {
      std::string differing = differing_flags(c->meta.at("config"), config_);
      if (c->meta.at("fingerprint") != fingerprint(data_))
        differing += "; the images or labels of the data set changed";
      if (!differing.empty())
        fail(ErrorKind::usage, "--resume", "this is not the run that was stopped: {}", differing.substr(2));
      progress_ = Progress::from(c->meta.at("progress"));
    } catch (const nlohmann::json::exception&) {
      fail(ErrorKind::checkpoint, last, "metadata: a value is missing or of another type than expected");
    }
    try {
      trainer_.restore(c->content, progress_.step);
    } catch (const Error& e) { fail(ErrorKind::checkpoint, last, "{}", e.what()); }
    // The next checkpoint keeps the last as the previous one; that must not be the damaged one.
    std::error_code ignored;
    if (damaged) std::filesystem::rename(previous, last, ignored);
  }

  void loop() {
    while (true) {
      int64_t per_epoch = trainer_.steps_per_epoch(), at = progress_.step;
      bool epoch_end = at > 0 && at % per_epoch == 0;
      bool measure = at > 0 && (epoch_end || at % eval_every_ == 0 || at == total_);
      if (measure && progress_.evaluated_step < at) measure_now(epoch_end || at == total_);
      if (at > 0 && at < total_ && at % save_every_ == 0 && saved_step_ != at) save();
      if (at >= total_) return;
      if (int s = stop_signal()) throw Stopped{s};
      StepResult r = trainer_.step();
      ++progress_.step;
      progress_.epoch_loss += r.loss * static_cast<double>(r.count);
      progress_.epoch_correct += r.correct;
      progress_.epoch_count += r.count;
      seen_ += r.count;
      steps_.row({std::to_string(progress_.step), std::to_string(at / per_epoch + 1),
                  fmt::format("{:.6g}", r.loss),
                  fmt::format("{:.4f}", static_cast<double>(r.correct) / static_cast<double>(r.count)),
                  fmt::format("{:.6g}", r.lr)});
      show(r, at);
    }
  }

  void show(const StepResult& r, int64_t at) {
    if (!line_.due()) return;
    int64_t per_epoch = trainer_.steps_per_epoch();
    double seconds = since(began_), rate = static_cast<double>(seen_) / seconds;
    double eta = seconds / static_cast<double>(progress_.step - first_step_) *
                 static_cast<double>(total_ - progress_.step);
    line_.show(fmt::format(
        "epoch {}/{} [{}/{}] loss {:.4f} (avg {:.4f}) acc {:.1f}% lr {:#.3g} {} img/s data {:.0f}% ETA {}",
        at / per_epoch + 1, (total_ + per_epoch - 1) / per_epoch, at % per_epoch + 1, per_epoch, r.loss,
        progress_.epoch_loss / static_cast<double>(progress_.epoch_count),
        100.0 * static_cast<double>(progress_.epoch_correct) / static_cast<double>(progress_.epoch_count),
        r.lr, rate_text(rate), 100 * trainer_.wait_seconds() / seconds, seconds_text(eta)));
  }

  void measure_now(bool whole_epoch) {
    int64_t per_epoch = trainer_.steps_per_epoch(), at = progress_.step;
    bool last = at == total_;
    refuse_divergence(trainer_.bad_weight());
    EvalResult e = evaluate(trainer_.model(), data_.test, trainer_.setup().loader.normalization,
                            data_.classes(), last ? 0 : options_.eval_images);
    if (!std::isfinite(e.loss)) refuse_divergence("the test loss", first_bad_layer_in_test());
    final_ = e;
    double seconds = progress_.seconds + since(began_),
           count = static_cast<double>(std::max<int64_t>(1, progress_.epoch_count));
    double train_loss = progress_.epoch_loss / count,
           train_accuracy = static_cast<double>(progress_.epoch_correct) / count;
    double wait = 100 * trainer_.wait_seconds() / std::max(1e-9, since(began_));
    results_.row({fmt::format("{:.4g}", static_cast<double>(at) / static_cast<double>(per_epoch)),
                  std::to_string(at), fmt::format("{:.6g}", train_loss),
                  fmt::format("{:.5f}", train_accuracy), fmt::format("{:.6g}", e.loss),
                  fmt::format("{:.5f}", e.accuracy),
                  fmt::format("{:.6g}", trainer_.setup().schedule.at(at - 1, trainer_.setup().optimizer.lr)),
                  fmt::format("{:.2f}", seconds),
                  fmt::format("{:.0f}", static_cast<double>(seen_) / std::max(1e-9, since(began_))),
                  fmt::format("{:.1f}", wait)});
    tolerate("row of results.csv", [&] { results_.flush(); });
    line_.finish(
        fmt::format("epoch {:.3g} step {} train loss {:.4f} acc {:.2f}% | test loss {:.4f} acc {:.2f}% | {}",
                    static_cast<double>(at) / static_cast<double>(per_epoch), at, train_loss,
                    100 * train_accuracy, e.loss, 100 * e.accuracy, seconds_text(seconds)));
    progress_.train_loss = train_loss;
    if (whole_epoch) progress_.epoch_loss = 0, progress_.epoch_correct = progress_.epoch_count = 0;
    progress_.evaluated_step = at;
    if (e.accuracy > progress_.best) {
      progress_.best = e.accuracy;
      tolerate("best checkpoint",
               [&] { save_checkpoint(folder_ / "weights/best.safetensors", checkpoint(), false); });
    }
  }

  // Neither the last nor the best checkpoint may hold a network that is lost.
  void refuse_divergence(const std::string& what, const std::string& where = "") {
    if (!what.empty())
      fail(ErrorKind::diverged, fmt::format("step {}", progress_.step),
           "after it {} is not finite{}; try a smaller --lr, batch normalization or --normalize standard",
           what, where);
  }

  std::string first_bad_layer_in_test() {
    constexpr int64_t kBatch = 250;
    for (int64_t at = 0; at < data_.test.size(); at += kBatch) {
      std::vector<int64_t> rows(static_cast<size_t>(std::min(kBatch, data_.test.size() - at)));
      std::iota(rows.begin(), rows.end(), at);
      std::string where = trainer_.first_bad_layer(
          normalized_images(data_.test, rows, trainer_.setup().loader.normalization));
      if (!where.empty()) return ", " + where;
    }
    return "";
  }

  Checkpoint checkpoint() {
    Checkpoint c;
    c.content.tensors = trainer_.state();
    put_model(c, trainer_.setup(), data_);
    Progress p = progress_;
    p.seconds += started_ ? since(began_) : 0;
    c.meta["progress"] = p.json();
    c.meta["config"] = config_;
    if (fingerprint_.empty()) fingerprint_ = fingerprint(data_);
    c.meta["fingerprint"] = fingerprint_;
    return c;
  }

  // A disk that is full for a while must not end a long run: the third failure in a row does.
  template <class Fn>
  void tolerate(const char* what, Fn write) {
    try {
      write();
      failures_ = 0;
    } catch (const Error& e) {
      bool must = progress_.step == 0 || progress_.step >= total_ || stop_signal();
      if (e.kind() != ErrorKind::io || ++failures_ >= 3 || must) throw;
      warn(fmt::format("no {} at step {}: {}", what, progress_.step, e.what()));
    }
  }

  void save() {
    refuse_divergence(trainer_.bad_weight());
    tolerate("checkpoint", [&] {
      steps_.flush();
      save_checkpoint(folder_ / "weights/last.safetensors", checkpoint(), true);
      saved_step_ = progress_.step;
    });
  }

  void write_tables() {
    steps_.flush();
    results_.flush();
    auto column = [&](const CsvLog& log, size_t i, double factor = 1) {
      std::vector<double> v;
      for (auto& row : log.rows()) v.push_back(factor * std::strtod(row[i].c_str(), nullptr));
      return v;
    };
    // Step losses averaged over windows, so that the curve can be read.
    std::vector<double> x = column(steps_, 0), loss = column(steps_, 2), wx, wl;
    size_t window = std::max<size_t>(1, x.size() / 200);
    for (size_t i = 0; i + window <= x.size(); i += window) {
      double sum = 0;
      for (size_t k = 0; k < window; ++k) sum += loss[i + k];
      wx.push_back(x[i + window - 1]), wl.push_back(sum / static_cast<double>(window));
    }
    std::string title = fmt::format("{} on {}, batch norm {}", trainer_.setup().model, data_.name,
                                    trainer_.setup().batch_norm ? "on" : "off");
    Chart l{title + ": loss", "training step", "cross-entropy (nats)"};
    l.series = {{"training", wx, wl, {}, {}, palette(0)},
                {"test", column(results_, 1), column(results_, 4), {}, {}, palette(1)}};
    Chart a{title + ": accuracy", "training step", "accuracy (%)"};
    a.series = {{"training", column(results_, 1), column(results_, 3, 100), {}, {}, palette(0)},
                {"test", column(results_, 1), column(results_, 5, 100), {}, {}, palette(1)}};
    folder_.write("curves.svg", to_svg({l, a}, 2));
    folder_.write("curves.png", to_png({l, a}, 2));
  }

  int finish() {
    if (final_.count == 0)
      final_ = evaluate(trainer_.model(), data_.test, trainer_.setup().loader.normalization, data_.classes());
    save();
    write_tables();
    std::vector<std::string> names;  // folder names may be anything
    for (const std::string& name : data_.class_names) names.push_back(csv_cell(name));
    std::string table = "true\\predicted," + join(names, ",") + "\n";
    for (size_t i = 0; i < final_.confusion.size(); ++i)
      table += fmt::format("{},{}\n", names[i], join(final_.confusion[i], ","));
    folder_.write("confusion.csv", table);
    folder_.write("confusion.png", to_png(Matrix{"Test images by class", "predicted", "true",
                                                 data_.class_names, final_.confusion}));
    double seconds = progress_.seconds + since(began_);
    Json s;
    s["test_accuracy"] = final_.accuracy;
    s["best_test_accuracy"] = std::max(progress_.best, final_.accuracy);
    s["test_loss"] = final_.loss;
    s["train_loss"] = progress_.train_loss ? Json(*progress_.train_loss) : Json();
    s["epochs"] = static_cast<double>(progress_.step) / static_cast<double>(trainer_.steps_per_epoch());
    s["steps"] = progress_.step;
    s["seconds"] = seconds;
    s["images_per_s"] = seen_ ? static_cast<double>(seen_) / since(began_) : 0.0;
    s["parameters"] = trainer_.model().parameter_count();
    s["seed"] = trainer_.setup().seed;
    s["weights_sha256"] = weights_sha256(trainer_.model());
    folder_.write_json("summary.json", s);
    line_.finish(fmt::format("test accuracy {:.2f}% after {} steps in {}; results in {}",
                             100 * final_.accuracy, progress_.step, seconds_text(seconds),
                             folder_.path().string()));
    if (options_.json) print_json(s);
    return 0;
  }

  const Options& options_;
  const Dataset& data_;
  Trainer trainer_;
  int64_t total_, eval_every_, save_every_, saved_step_ = -1, seen_ = 0, first_step_ = 0;
  int failures_ = 0;
  RunFolder folder_;
  ProgressLine line_;
  Json config_;
  std::string fingerprint_;
  CsvLog results_, steps_;
  Progress progress_;
  EvalResult final_;
  Clock::time_point began_{};
  bool started_ = false;
};

int run_train(const Options& given) {
  Start from = start_of(given);
  const Options& o = from.options;
  apply_threads(o);
  std::filesystem::path folder = RunFolder::locate(o, "train");
  if (from.network) keep_inputs(folder, o, {o.checkpoint});
  Dataset data = from.network ? dataset_for(*from.network, o, o.limit_train)
                              : load_dataset(o.data, {o.data_dir, o.limit_train, o.limit_test});
  TrainSetup s;
  s.model = o.model;
  s.input = {data.channels(), data.height(), data.width(), data.classes()};
  s.batch_norm = parse_switch("--batch-norm", o.batch_norm);
  s.init = o.init;
  s.loader.batch_size = std::min(o.batch_size, data.train.size());
  s.loader.min_last_batch = s.batch_norm ? 2 : 1;  // one image has no batch statistics
  if (from.network) {
    s.loader.normalization = from.network->normalization;
    s.factors = from.network->factors;
    s.weights = std::make_shared<StateDict>(from.network->model->state_dict());
  } else {
    s.loader.normalization = normalization_for(o, o.normalize, data);
  }
  s.loader.augmentation = augmentation_for(o);
  s.optimizer = {o.optimizer, parse_number("--lr", o.lr), o.weight_decay, hyper_values(o)};
  s.precision = parse_precision(o.precision);
  s.label_smoothing = o.label_smoothing;
  s.clip_norm = o.clip_norm;
  s.seed = o.seed;
  check_fit(s, data.train.size());
  int64_t per_epoch = steps_per_epoch(data.train.size(), s.loader);
  s.schedule = {parse_schedule(o.schedule), total_steps(o, per_epoch), o.warmup};
  if (!o.quiet)
    note(fmt::format(
        "{} on {}: {} training and {} test images {}x{}x{}, {} classes; normalize {}; {} steps, "
        "{} threads",
        o.model, o.data, data.train.size(), data.test.size(), s.input.channels, s.input.height, s.input.width,
        data.classes(), describe(s.loader.normalization), s.schedule.total_steps, num_threads()));
  if (o.dry_run) {
    print_json(flags_json(o), o.json ? -1 : 2);
    return 0;
  }
  return TrainRun(o, data, s, folder).run();
}

class Train : public Verb {
 public:
  Train()
      : Verb("train", "train one network",
             kData | kModel | kNormalize | kTraining | kRun | kResume | kThreads | kSave) {
    use("--checkpoint", "start from this network: its layers, weights and normalization");
  }
  int run(const Options& o) override { return run_train(o); }
};

const RegisterVerb<Train> registered(10);

}  // namespace

}  // namespace sigma::app
