// `sigma eval`: accuracy, loss and confusion matrix of a checkpoint.
#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "apps/flags/verb.h"
#include "apps/report/plot.h"
#include "apps/run/output.h"
#include "apps/run/signals.h"
#include "apps/verbs/saved_model.h"
#include "core/file.h"

namespace sigma::app {
namespace {

int run_eval(const Options& o) {
  SavedModel m = model_of(o);
  apply_threads(o);
  Dataset data = dataset_for(m, o, 1);  // no training images are needed
  const std::string& name = data.name;
  install_signal_handlers();
  EvalResult e = evaluate_or_stop(*m.model, data, m.normalization);
  const std::string part = data.test.size() > 0 ? "" : "validation ";
  if (!o.quiet) {
    print(fmt::format("{} on {}: accuracy {:.2f}%, loss {:.4f}, {} {}images; normalize {}", m.name, name,
                      100 * e.accuracy, e.loss, e.count, part, describe(m.normalization)));
    size_t wide = 9;
    for (auto& c : m.class_names) wide = std::max(wide, c.size());
    if (m.class_names.size() <= 20) {
      print("confusion matrix, rows are true classes:");
      for (size_t i = 0; i < e.confusion.size(); ++i) {
        std::string line = fmt::format("{:>{}}", m.class_names[i], wide);
        for (int64_t k : e.confusion[i]) line += fmt::format(" {:>5}", k);
        print(line);
      }
    }
  }
  if (!o.out.empty()) {
    std::error_code error;
    std::filesystem::create_directories(o.out, error);
    if (error) fail(ErrorKind::io, o.out, "cannot create the folder: {}", error.message());
    write_file_atomic(
        (std::filesystem::path(o.out) / "confusion.png").string(),
        to_png(Matrix{data.test.size() > 0 ? "Test images by class" : "Validation images by class",
                      "predicted", "true", m.class_names, e.confusion}));
  }
  if (o.json) {
    Json j{{"test_accuracy", e.accuracy},
           {"test_loss", e.loss},
           {"images", e.count},
           {"part", data.test.size() > 0 ? "test" : "validation"},
           {"confusion", e.confusion}};
    print_json(j);
  }
  return 0;
}

class Eval : public Verb {
 public:
  Eval() : Verb("eval", "accuracy, loss and confusion matrix of a checkpoint", kData | kThreads) {
    use("--checkpoint", "", kRequired);
    use("--out", "folder for confusion.png");
    example("eval --checkpoint runs/train/weights/best.safetensors",
            "on the data set that it was trained on");
  }
  void set_defaults(Options& o) const override { o.data.clear(); }
  int run(const Options& o) override { return run_eval(o); }
};

const RegisterVerb<Eval> register_eval(30);

}  // namespace
}  // namespace sigma::app
