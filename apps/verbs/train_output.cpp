#include "apps/verbs/train_output.h"

#include <nlohmann/json.hpp>

#include "apps/report/csv.h"
#include "apps/report/plot.h"
#include "apps/run/output.h"
#include "apps/run/signals.h"
#include "apps/verbs/outcomes.h"
#include "apps/verbs/train_report.h"
#include "core/text.h"

namespace sigma::app {
namespace {

// What whitening adds to a checkpoint.
uint64_t bytes_of(const Normalization& n) { return n.whitening ? n.whitening->matrix.bytes() : 0; }

// Three checkpoints of weights and state, and what a rename needs.
uint64_t bytes_needed(const Trainer& t) {
  return 64 * static_cast<uint64_t>(t.model().parameter_count()) +
         3 * bytes_of(t.setup().loader.normalization) + (1 << 20);
}

double percent(int64_t part, int64_t whole) {
  return 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

std::vector<double> column(const CsvLog& log, size_t i, double factor = 1) {
  std::vector<double> v;
  for (auto& row : log.rows()) v.push_back(factor * std::strtod(row[i].c_str(), nullptr));
  return v;
}

}  // namespace

TrainOutput::TrainOutput(const Options& o, const Dataset& data, Trainer& trainer,
                         std::filesystem::path folder)
    : options_(o),
      data_(data),
      trainer_(trainer),
      total_(trainer.setup().schedule.total_steps),
      folder_(std::move(folder), o, bytes_needed(trainer)),
      line_(o.quiet) {}

void TrainOutput::begin(const Json& config, const Progress& progress) {
  first_step_ = progress.step;
  // First: with it, the folder is a run that --resume can go on with.
  folder_.write_json("config.json", config);
  const std::vector<std::string> header{
      "epoch", "step",    "train_loss",   "train_accuracy", part() + "_loss", part() + "_accuracy",
      "lr",    "seconds", "images_per_s", "data_percent"};
  results_ = CsvLog(folder_ / "results.csv", header, 1, progress.step);
  steps_ = CsvLog(folder_ / "steps.csv", {"step", "epoch", "loss", "accuracy", "lr"}, 0, progress.step);
  folder_.write_json("env.json", environment());
}

void TrainOutput::show_step(const StepEvent& e) {
  const StepResult& r = e.step;
  const int64_t per_epoch = trainer_.steps_per_epoch(), step = e.progress.step;
  steps_.row({std::to_string(step), std::to_string(e.index / per_epoch + 1), fmt::format("{:.6g}", r.loss),
              fmt::format("{:.4f}", static_cast<double>(r.correct) / static_cast<double>(r.count)),
              fmt::format("{:.6g}", r.lr)});
  if (!line_.due()) return;
  const Progress& p = e.progress;
  const double rate = static_cast<double>(e.seen) / e.seconds;
  const double eta = e.seconds / static_cast<double>(step - first_step_) * static_cast<double>(total_ - step);
  line_.show(fmt::format(
      "epoch {}/{} [{}/{}] loss {:.4f} (avg {:.4f}) acc {:.1f}% lr {:#.3g} {} img/s data {:.0f}% ETA {}",
      e.index / per_epoch + 1, (total_ + per_epoch - 1) / per_epoch, e.index % per_epoch + 1, per_epoch,
      r.loss, p.epoch_loss / static_cast<double>(p.epoch_count), percent(p.epoch_correct, p.epoch_count),
      r.lr, rate_text(rate), 100 * trainer_.wait_seconds() / e.seconds, seconds_text(eta)));
}

void TrainOutput::show_measurement(const Measurement& m) {
  results_.row({fmt::format("{:.4g}", m.epoch), std::to_string(m.step), fmt::format("{:.6g}", m.train_loss),
                fmt::format("{:.5f}", m.train_accuracy), fmt::format("{:.6g}", m.test.loss),
                fmt::format("{:.5f}", m.test.accuracy), fmt::format("{:.6g}", m.lr),
                fmt::format("{:.2f}", m.seconds), fmt::format("{:.0f}", m.images_per_s),
                fmt::format("{:.1f}", m.wait_percent)});
  tolerate("row of results.csv", m.step, [&] { results_.flush(); });
  line_.finish(
      fmt::format("epoch {:.3g} step {} train loss {:.4f} acc {:.2f}% | {} loss {:.4f} acc {:.2f}% | {}",
                  m.epoch, m.step, m.train_loss, 100 * m.train_accuracy, part(), m.test.loss,
                  100 * m.test.accuracy, seconds_text(m.seconds)));
}

// A disk that is full for a while must not end a long run: the third failure in a row does.
template <class Fn>
void TrainOutput::tolerate(const char* what, int64_t step, Fn write) {
  try {
    write();
    failures_ = 0;
  } catch (const Error& e) {
    const bool must = step == 0 || step >= total_ || stop_signal();
    if (e.kind() != ErrorKind::io || ++failures_ >= 3 || must) throw;
    warn(fmt::format("no {} at step {}: {}", what, step, e.what()));
  }
}

void TrainOutput::save(const Checkpoint& c, SaveReason reason) {
  const int64_t step = c.run->progress.step;
  switch (reason) {
    case SaveReason::best:
      return tolerate("best checkpoint", step,
                      [&] { save_checkpoint(folder_ / "weights/best.safetensors", c); });
    case SaveReason::diverged:
      save_checkpoint(folder_ / fmt::format("weights/diverged-{}.safetensors", step), c);
      return write_tables();
    case SaveReason::end:  // also of a run that ends early
      steps_.flush();
      return save_checkpoint(folder_ / "weights/last.safetensors", c, true);
    default:
      return tolerate("checkpoint", step, [&] {
        steps_.flush();
        save_checkpoint(folder_ / "weights/last.safetensors", c, true);
      });
  }
}

void TrainOutput::write_tables() {
  steps_.flush();
  results_.flush();
  // Step losses averaged over windows, so that the curve can be read.
  std::vector<double> x = column(steps_, 0), loss = column(steps_, 2), wx, wl;
  const size_t window = std::max<size_t>(1, x.size() / 200);
  for (size_t i = 0; i + window <= x.size(); i += window) {
    double sum = 0;
    for (size_t k = 0; k < window; ++k) sum += loss[i + k];
    wx.push_back(x[i + window - 1]);
    wl.push_back(sum / static_cast<double>(window));
  }
  const std::string norm = norm_of(trainer_.setup()).kind();
  const std::string title = fmt::format("{} on {}, {}", model_label(trainer_.setup().model), data_.name,
                                        norm == "batch"  ? "batch norm on"
                                        : norm == "none" ? "batch norm off"
                                                         : "norm " + norm);
  Chart l{title + ": loss", "training step", "cross-entropy (nats)"};
  l.series = {{"training", wx, wl, {}, {}, palette(0)},
              {part(), column(results_, 1), column(results_, 4), {}, {}, palette(1)}};
  Chart a{title + ": accuracy", "training step", "accuracy (%)"};
  a.series = {{"training", column(results_, 1), column(results_, 3, 100), {}, {}, palette(0)},
              {part(), column(results_, 1), column(results_, 5, 100), {}, {}, palette(1)}};
  folder_.write("curves.svg", to_svg({l, a}, 2));
  folder_.write("curves.png", to_png({l, a}, 2));
}

void TrainOutput::write_confusion(const EvalResult& test) {
  std::vector<std::string> names;  // folder names may be anything
  for (const std::string& name : data_.class_names) names.push_back(csv_cell(name));
  std::string table = "true\\predicted," + join(names, ",") + "\n";
  for (size_t i = 0; i < test.confusion.size(); ++i)
    table += fmt::format("{},{}\n", names[i], join(test.confusion[i], ","));
  folder_.write("confusion.csv", table);
  folder_.write("confusion.png",
                to_png(Matrix{data_.test.size() > 0 ? "Test images by class" : "Validation images by class",
                              "predicted", "true", data_.class_names, test.confusion}));
}

// What the network says of each image of the part that is measured in the end.
void TrainOutput::write_outcomes(const FitResult& r) {
  folder_.write("metrics.csv", metrics_csv(r.test, data_.class_names));
  folder_.write("predictions.csv", predictions_csv(r.predictions, data_.measured(), data_.class_names));
  const Trainer::Measured weights(trainer_);
  try {
    folder_.write("report.html", report_html(run_report(options_, trainer_, r, results_)));
  } catch (const Error& e) {  // pictures must not cost a run its result
    if (e.kind() == ErrorKind::io) throw;
    warn(fmt::format("no report.html: {}", e.what()));
  }
}

Json TrainOutput::summary(const FitResult& r) const {
  const Trainer::Measured weights(trainer_);
  const Progress& p = r.progress;
  Json s;
  const bool validates = data_.validation.size() > 0, tests = data_.test.size() > 0;
  s["test_accuracy"] = tests ? Json(r.test.accuracy) : Json();
  if (validates) {
    s["validation_accuracy"] = r.validation.accuracy;
    s["best_validation_accuracy"] = std::max(p.best, r.validation.accuracy);
    s["validation_loss"] = r.validation.loss;
  } else {
    s["best_test_accuracy"] = std::max(p.best, r.test.accuracy);
  }
  s["best_chosen_on"] = part();
  s["test_loss"] = tests ? Json(r.test.loss) : Json();
  const Json metrics = metrics_json(r.test, data_.class_names);
  s["macro_f1"] = metrics.at("macro").at("f1");
  s["weighted_f1"] = metrics.at("weighted").at("f1");
  if (metrics.contains("top5_accuracy")) s["top5_accuracy"] = metrics.at("top5_accuracy");
  s["train_loss"] = p.train_loss ? Json(*p.train_loss) : Json();
  s["epochs"] = static_cast<double>(p.step) / static_cast<double>(trainer_.steps_per_epoch());
  s["steps"] = p.step;
  s["seconds"] = p.seconds;
  s["images_per_s"] = r.seen ? static_cast<double>(r.seen) / r.seconds : 0.0;
  s["parameters"] = trainer_.model().parameter_count();
  s["seed"] = trainer_.setup().seed;
  s["weights_sha256"] = weights_sha256(trainer_.model());
  if (options_.patience > 0) {
    s["best_step"] = p.best_step;
    s["ended_early"] = r.ended_early;
  }
  if (!p.extended_at.empty()) s["extended_at"] = p.extended_at;
  const FrozenState frozen = frozen_state(trainer_.model());  // fit() has compared it
  if (!frozen.layers.empty())
    s["frozen"] = {{"layers", frozen.layers}, {"values", frozen.values}, {"sha256", frozen.sha256}};
  if (options_.skip_bad) {
    s["skipped"] = Json::array();
    for (const Dataset::Skipped& k : data_.skipped)
      s["skipped"].push_back({{"file", printable(k.file)}, {"reason", printable(k.reason)}});
    s["skipped_count"] = data_.skipped.size();
  }
  return s;
}

void TrainOutput::finish(const FitResult& r) {
  write_tables();
  write_confusion(r.test);
  write_outcomes(r);
  const Json s = summary(r);
  folder_.write_json("summary.json", s);
  if (const FrozenState frozen = frozen_state(trainer_.model()); !frozen.layers.empty())
    say(fmt::format("frozen, and the same bit for bit as the run began: {} ({} values)",
                    join(frozen.layers, ", "), frozen.values));
  if (r.ended_early)
    say(fmt::format("ended early: no better {} accuracy in {} epochs since step {}", part(),
                    options_.patience, r.progress.best_step));
  std::string accuracy = fmt::format("{} accuracy {:.2f}%", data_.test.size() > 0 ? "test" : "validation",
                                     100 * r.test.accuracy);
  if (data_.test.size() > 0 && data_.validation.size() > 0)
    accuracy += fmt::format(", validation accuracy {:.2f}%", 100 * r.validation.accuracy);
  line_.finish(fmt::format(
      "{} after {} steps in {}; best.safetensors was chosen on the {} images; results in {}", accuracy,
      r.progress.step, seconds_text(r.progress.seconds), part(), folder_.path().string()));
  if (options_.json) print_json(s);
}

}  // namespace sigma::app
