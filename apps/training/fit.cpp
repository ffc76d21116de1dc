#include "training/fit.h"

#include <chrono>
#include <cmath>
#include <numeric>

#include "training/checkpoint_schema.h"

namespace sigma {
namespace {

using Clock = std::chrono::steady_clock;

class Run {
 public:
  Run(Trainer& trainer, const FitOptions& options, const FitCallbacks& callbacks)
      : trainer_(trainer),
        data_(trainer.dataset()),
        options_(options),
        callbacks_(callbacks),
        total_(trainer.setup().schedule.total_steps),
        per_epoch_(trainer.steps_per_epoch()),
        eval_every_(options.eval_every > 0 ? options.eval_every : per_epoch_),
        save_every_(options.save_every > 0 ? options.save_every : per_epoch_),
        progress_(options.progress),
        fingerprint_(options.fingerprint) {
    SIGMA_CHECK(
        options.eval_every >= 0 && options.eval_images >= 0 && options.save_every >= 0 &&
            options.patience >= 0,
        "fit",
        "expected eval_every, eval_images, save_every and patience of at least 0, got {}, {}, {} and {}",
        options.eval_every, options.eval_images, options.save_every, options.patience);
    SIGMA_CHECK(progress_.step == trainer.steps_done(), "fit",
                "the progress is of step {}, the trainer has done {}", progress_.step, trainer.steps_done());
  }

  FitResult run() {
    if (progress_.frozen.empty()) progress_.frozen = frozen_state(trainer_.model()).sha256;
    if (progress_.step == 0) save(SaveReason::begin);
    began_ = Clock::now();
    started_ = true;
    try {
      // A run that ends early, or has ended already, was not measured with all images just now.
      if (loop() && measured_.count < data_.selection().size()) measure_held_out(0);
      check_frozen();
      finish();
      save(result_.stopped ? SaveReason::stopped : SaveReason::end);
    } catch (const Error& e) {
      if (e.kind() == ErrorKind::diverged && callbacks_.on_save)
        callbacks_.on_save(checkpoint(), SaveReason::diverged);
      throw;
    }
    result_.progress = progress_;
    result_.progress.seconds += seconds();
    result_.seen = seen_;
    result_.seconds = seconds();
    return result_;
  }

 private:
  double seconds() const {
    return started_ ? std::chrono::duration<double>(Clock::now() - began_).count() : 0;
  }
  bool asked_to_stop() {
    if (!result_.stopped && callbacks_.stop && callbacks_.stop()) result_.stopped = true;
    return result_.stopped;
  }

  // False when it was asked to stop.
  bool loop() {
    while (true) {
      const int64_t at = progress_.step;
      const bool epoch_end = at > 0 && at % per_epoch_ == 0;
      const bool due = at > 0 && (epoch_end || at % eval_every_ == 0 || at == total_);
      if (due && progress_.evaluated_step < at && !measure(epoch_end || at == total_)) return false;
      if (epoch_end && at < total_ && is_out_of_patience()) return result_.ended_early = true;
      if (at > 0 && at < total_ && at % save_every_ == 0 && saved_step_ != at) save(SaveReason::regular);
      if (at >= total_) return true;
      if (asked_to_stop()) return false;
      step();
    }
  }

  bool is_out_of_patience() const {
    return options_.patience > 0 && progress_.step - progress_.best_step >= options_.patience * per_epoch_;
  }

  // Both the weights that are trained and their average.
  void check_frozen() {
    auto check = [&] {
      if (frozen_state(trainer_.model()).sha256 != progress_.frozen)
        fail(ErrorKind::internal, "fit", "frozen parameters or buffers have changed");
    };
    check();
    const Trainer::Measured weights(trainer_);
    check();
  }

  void step() {
    const int64_t index = progress_.step;
    const StepResult r = trainer_.step();
    ++progress_.step;
    progress_.epoch_loss += r.loss * static_cast<double>(r.count);
    progress_.epoch_correct += r.correct;
    progress_.epoch_count += r.count;
    seen_ += r.count;
    if (callbacks_.on_step) callbacks_.on_step({r, index, progress_, seen_, seconds()});
  }

  EvalResult evaluated(const Split& split, int64_t images) {
    const Trainer::Measured weights(trainer_);
    predictions_.clear();
    auto keep = [&](const EvalBatch& batch) {
      for (const Prediction& p : predictions_of(batch)) predictions_.push_back(p);
    };
    EvalResult e = evaluate(trainer_.model(), split, trainer_.setup().loader.normalization, data_.classes(),
                            {.limit = images, .stop = [&] { return asked_to_stop(); }, .on_batch = keep});
    if (!e.stopped && !std::isfinite(e.loss))
      refuse_divergence(validates() ? "the validation loss" : "the test loss", first_bad_layer_in(split));
    return e;
  }

  // False when it was asked to stop.
  bool measure_held_out(int64_t images) {
    EvalResult e = evaluated(data_.selection(), images);
    if (e.stopped) return false;
    measured_ = std::move(e);
    return true;
  }

  bool validates() const { return data_.validation.size() > 0; }

  // The test part is looked at once where the choice was made on another one.
  void finish() {
    if (validates()) result_.validation = measured_;
    result_.test = measured_;
    if (!result_.stopped && validates() && data_.test.size() > 0) {
      EvalResult e = evaluated(data_.test, 0);
      if (!e.stopped) result_.test = std::move(e);
    }
    result_.predictions = std::move(predictions_);
  }

  bool measure(bool whole_epoch) {
    const int64_t at = progress_.step;
    refuse_divergence(trainer_.bad_weight());
    if (!measure_held_out(at == total_ ? 0 : options_.eval_images)) return false;
    const double count = static_cast<double>(std::max<int64_t>(1, progress_.epoch_count)),
                 time = std::max(1e-9, seconds());
    const TrainSetup& setup = trainer_.setup();
    Measurement m{.step = at,
                  .epoch = static_cast<double>(at) / static_cast<double>(per_epoch_),
                  .train_loss = progress_.epoch_loss / count,
                  .train_accuracy = static_cast<double>(progress_.epoch_correct) / count,
                  .test = measured_,
                  .lr = setup.schedule.at(at - 1, setup.optimizer.lr),
                  .seconds = progress_.seconds + seconds(),
                  .images_per_s = static_cast<double>(seen_) / time,
                  .wait_percent = 100 * trainer_.wait_seconds() / time,
                  .best = measured_.accuracy > progress_.best};
    if (callbacks_.on_measure) callbacks_.on_measure(m);
    progress_.train_loss = m.train_loss;
    if (whole_epoch) {
      progress_.epoch_loss = 0;
      progress_.epoch_correct = progress_.epoch_count = 0;
    }
    progress_.evaluated_step = at;
    if (m.best) {
      progress_.best = m.test.accuracy;
      progress_.best_step = at;
      if (callbacks_.on_save) callbacks_.on_save(checkpoint(), SaveReason::best);
    }
    return true;
  }

  // Neither the last nor the best checkpoint may hold a network that is lost.
  void refuse_divergence(const std::string& what, const std::string& where = "") {
    if (!what.empty())
      fail(ErrorKind::diverged, fmt::format("step {}", progress_.step), "after it {} is not finite{}", what,
           where);
  }

  std::string first_bad_layer_in(const Split& split) {
    constexpr int64_t kBatch = 250;
    for (int64_t at = 0; at < split.size(); at += kBatch) {
      std::vector<int64_t> rows(static_cast<size_t>(std::min(kBatch, split.size() - at)));
      std::iota(rows.begin(), rows.end(), at);
      const std::string where =
          trainer_.first_bad_layer(normalized_images(split, rows, trainer_.setup().loader.normalization));
      if (!where.empty()) return ", " + where;
    }
    return "";
  }

  Checkpoint checkpoint() {
    if (fingerprint_.empty()) fingerprint_ = fingerprint(data_);  // a look at every pixel
    Progress p = progress_;
    p.seconds += seconds();
    return checkpoint_of(trainer_, {.progress = p, .config = options_.config, .fingerprint = fingerprint_});
  }

  void save(SaveReason reason) {
    refuse_divergence(trainer_.bad_weight());
    saved_step_ = progress_.step;
    if (callbacks_.on_save) callbacks_.on_save(checkpoint(), reason);
  }

  Trainer& trainer_;
  const Dataset& data_;
  const FitOptions& options_;
  const FitCallbacks& callbacks_;
  const int64_t total_, per_epoch_, eval_every_, save_every_;
  Progress progress_;
  std::string fingerprint_;
  FitResult result_;
  EvalResult measured_;                  // the last
  std::vector<Prediction> predictions_;  // of the images that were looked at last
  int64_t saved_step_ = -1, seen_ = 0;
  Clock::time_point began_{};
  bool started_ = false;
};

}  // namespace

FitResult fit(Trainer& trainer, const FitOptions& options, const FitCallbacks& callbacks) {
  return Run(trainer, options, callbacks).run();
}

void go_on(Trainer& trainer, FitOptions& options, const Checkpoint& c, const std::string& path) {
  if (!c.run) fail(ErrorKind::checkpoint, path, "it is of no run: there is nothing to go on with");
  const TrainSetup& s = trainer.setup();
  if (c.run->optimizer != s.optimizer.name)
    fail(ErrorKind::checkpoint, path, "its optimizer is {}, expected {}", c.run->optimizer, s.optimizer.name);
  check_progress(c.run->progress, s.schedule.total_steps, trainer.steps_per_epoch(), s.loader.batch_size,
                 path);
  if (options.fingerprint.empty()) options.fingerprint = fingerprint(trainer.dataset());
  if (!c.run->fingerprint.empty() && c.run->fingerprint != options.fingerprint)
    fail(ErrorKind::usage, path, "the images or labels of the data set changed");
  try {
    trainer.restore(c.weights, c.run->state, c.run->progress.step);
  } catch (const Error& e) { fail(ErrorKind::checkpoint, path, "{}", e.what()); }
  if (frozen_state(trainer.model()).sha256 != c.run->progress.frozen && !c.run->progress.frozen.empty())
    fail(ErrorKind::checkpoint, path, "its frozen layers are not those that the run began with");
  options.progress = c.run->progress;
}

}  // namespace sigma
