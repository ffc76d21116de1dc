#include "apps/verbs/train_report.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "apps/flags/config.h"
#include "apps/run/environment.h"
#include "apps/verbs/shades.h"
#include "apps/verbs/summary_drawing.h"
#include "core/math.h"
#include "training/grad_cam.h"

namespace sigma::app {
namespace {

constexpr size_t kConfusions = 10, kSamples = 8, kMistakes = 24;

Picture picture_of(const Split& split, int64_t row) {
  const Shape shape = split.shape();
  Picture p{shape[2], shape[3], shape[1], {}};
  p.pixels.resize(static_cast<size_t>(p.height * p.width * p.channels));
  split.read(row, p.pixels.data());
  return p;
}

double number(const std::string& text) { return std::strtod(text.c_str(), nullptr); }

std::vector<RunReport::Measured> measured(const CsvLog& results) {
  std::vector<RunReport::Measured> all;
  for (const std::vector<std::string>& r : results.rows())
    all.push_back({number(r[0]), number(r[2]), number(r[3]), number(r[4]), number(r[5])});
  return all;
}

// The first training image of each of the first classes.
std::vector<int64_t> sample_rows(const Dataset& data) {
  std::vector<int64_t> rows;
  const int64_t* labels = data.train.labels.data<int64_t>();
  for (int64_t c = 0; c < data.classes() && rows.size() < kSamples; ++c)
    for (int64_t i = 0; i < data.train.size(); ++i)
      if (labels[i] == c) {
        rows.push_back(i);
        break;
      }
  return rows;
}

// Raw and normalized, the values of the latter between black and white.
void add_samples(RunReport& run, const Dataset& data, const Normalization& normalization) {
  const std::vector<int64_t> rows = sample_rows(data);
  if (rows.empty()) return;
  const Tensor values = normalized_images(data.train, rows, normalization);
  const Shades shades = shades_of(values);
  run.normalization = fmt::format("Normalization {}; there black is {:.3g} and white {:.3g}.",
                                  describe(normalization), shades.low, shades.high);
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto label = static_cast<size_t>(data.train.labels.data<int64_t>()[rows[i]]);
    run.samples.push_back({picture_of(data.train, rows[i]), shades.pictures[i], data.class_names.at(label)});
  }
}

// The images, and where the network looked for its wrong answers.
void add_mistakes(RunReport& run, Trainer& trainer, const std::vector<Prediction>& mistakes) {
  const Split& split = trainer.dataset().measured();
  if (mistakes.empty()) return;
  std::vector<int64_t> rows, guesses;
  for (const Prediction& m : mistakes) {
    rows.push_back(m.row);
    guesses.push_back(m.guess);
    run.mistakes.push_back({picture_of(split, m.row),
                            {},
                            m.truth,
                            m.guess,
                            m.probability,
                            split.files.empty() ? "" : split.files.at(static_cast<size_t>(m.row))});
  }
  const Tensor images = normalized_images(split, rows, trainer.setup().loader.normalization);
  if (!has_spatial_layer(trainer.model(), images.shape())) {
    run.no_heat =
        "No layer of the network gives an image with places, so there is no map of where it looked: each "
        "value of the image goes into all that the first layer computes.";
    return;
  }
  const Tensor heat = grad_cam(trainer.model(), images, guesses);
  for (size_t i = 0; i < mistakes.size(); ++i) {
    const Picture& p = run.mistakes[i].image;
    const Tensor map = index_rows(heat, {static_cast<int64_t>(i)}).reshape({p.height, p.width});
    Image image;
    image.height = p.height;
    image.width = p.width;
    image.channels = p.channels;
    image.pixels.assign(p.pixels.begin(), p.pixels.end());
    const Image over = heat_overlay(image, map);
    run.mistakes[i].heat = {over.height, over.width, over.channels, {over.pixels.begin(), over.pixels.end()}};
  }
}

}  // namespace

RunReport run_report(const Options& o, Trainer& trainer, const FitResult& r, const CsvLog& results) {
  const Dataset& data = trainer.dataset();
  const TrainSetup& setup = trainer.setup();
  const auto per_epoch = static_cast<double>(trainer.steps_per_epoch());
  RunReport run;
  run.model = model_label(setup.model);
  // Of a folder its name; the settings have the path.
  const std::filesystem::path folder(data.name);
  run.data =
      data.name.starts_with("folder:") && folder.has_filename() ? folder.filename().string() : data.name;
  run.train_images = data.train.size();
  run.validation_images = data.validation.size();
  run.test_images = data.test.size();
  run.parameters = trainer.model().parameter_count();
  run.epochs = static_cast<double>(r.progress.step) / per_epoch;
  run.seconds = r.progress.seconds;
  run.averaged = setup.ema > 0;
  run.ended_early = r.ended_early;
  run.result = {data.test.size() > 0 ? "test" : "validation", r.test.accuracy, r.test.loss, r.test.confusion};
  if (data.validation.size() > 0) run.validation_accuracy = r.validation.accuracy;
  run.class_names = data.class_names;
  for (const ClassMetrics& m : class_metrics(r.test.confusion))
    run.scores.push_back({m.precision, m.recall, m.f1, m.count});
  for (const Confusion& f : most_frequent_confusions(r.test.confusion, kConfusions))
    run.confusions.push_back({f.truth, f.guess, f.images, f.share});
  run.measured = measured(results);
  run.measured_part = data.validation.size() > 0 ? "validation" : "test";
  run.measured_some = o.eval_images > 0 && o.eval_images < data.selection().size();
  run.best_epoch = static_cast<double>(r.progress.best_step) / per_epoch;
  run.best_accuracy = r.progress.best;
  run.how_to_validate =
      "With --val 0.1 a tenth of the training images is set apart to choose by, and the test images are "
      "looked "
      "at only once.";
  add_samples(run, data, setup.loader.normalization);
  add_mistakes(run, trainer, most_certain_mistakes(r.predictions, kMistakes));
  run.network = drawing_of(run.model, trainer.model(), trace(trainer.model(), setup.input.shape(1)));
  for (const auto& [name, value] : changed_flags(o)) run.settings.emplace_back(name.substr(2), value);
  run.config = flags_json(o).dump(2);
  run.command = command_line(o);
  run.environment = environment().dump(2);
  return run;
}

}  // namespace sigma::app
