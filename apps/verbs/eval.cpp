// `sigma eval`: how good a checkpoint is, class by class and image by image.
#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "apps/flags/verb.h"
#include "apps/report/plot.h"
#include "apps/run/output.h"
#include "apps/run/signals.h"
#include "apps/verbs/outcomes.h"
#include "apps/verbs/saved_model.h"
#include "core/file.h"

namespace sigma::app {
namespace {

void print_confusion(const EvalResult& e, const std::vector<std::string>& names) {
  size_t wide = 9;
  for (auto& c : names) wide = std::max(wide, c.size());
  print("confusion matrix, rows are true classes:");
  for (size_t i = 0; i < e.confusion.size(); ++i) {
    std::string line = fmt::format("{:>{}}", names[i], wide);
    for (int64_t k : e.confusion[i]) line += fmt::format(" {:>5}", k);
    print(line);
  }
}

void write_files(const std::filesystem::path& folder, const Outcomes& all, const Dataset& data,
                 const std::vector<std::string>& names) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) fail(ErrorKind::io, folder.string(), "cannot create the folder: {}", error.message());
  auto write = [&](const char* name, const std::string& bytes) {
    write_file_atomic((folder / name).string(), bytes);
  };
  write("confusion.png",
        to_png(Matrix{data.test.size() > 0 ? "Test images by class" : "Validation images by class",
                      "predicted", "true", names, all.result.confusion}));
  write("metrics.csv", metrics_csv(all.result, names));
  write("predictions.csv", predictions_csv(all.predictions, data.measured(), names));
}

int run_eval(const Options& o) {
  SavedModel m = model_of(o);
  apply_threads(o);
  Dataset data = dataset_for(m, o, 1);  // no training images are needed
  install_signal_handlers();
  const Outcomes all = outcomes_of(*m.model, data, m.normalization);
  const EvalResult& e = all.result;
  const std::string part = data.test.size() > 0 ? "" : "validation ";
  if (!o.quiet) {
    print(fmt::format("{} on {}: accuracy {:.2f}%, loss {:.4f}, {} {}images; normalize {}", m.name, data.name,
                      100 * e.accuracy, e.loss, e.count, part, describe(m.normalization)));
    print(metrics_table(e, m.class_names));
    if (m.class_names.size() <= 20) print_confusion(e, m.class_names);
  }
  if (!o.out.empty()) write_files(o.out, all, data, m.class_names);
  if (o.json) {
    Json j{{"test_accuracy", e.accuracy},
           {"test_loss", e.loss},
           {"images", e.count},
           {"part", data.test.size() > 0 ? "test" : "validation"},
           {"confusion", e.confusion}};
    j.update(metrics_json(e, m.class_names));
    print_json(j);
  }
  return 0;
}

class Eval : public Verb {
 public:
  Eval()
      : Verb("eval", "accuracy, precision, recall and confusion matrix of a checkpoint", kData | kThreads) {
    use("--checkpoint", "", kRequired);
    use("--out", "folder for confusion.png, metrics.csv and predictions.csv");
    example("eval --checkpoint runs/train/weights/best.safetensors",
            "on the data set that it was trained on");
  }
  void set_defaults(Options& o) const override { o.data.clear(); }
  int run(const Options& o) override { return run_eval(o); }
};

const RegisterVerb<Eval> register_eval(30);

}  // namespace
}  // namespace sigma::app
