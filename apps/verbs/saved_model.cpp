#include "apps/verbs/saved_model.h"

#include "apps/flags/naming.h"
#include "apps/run/output.h"
#include "apps/run/signals.h"
#include "core/text.h"

namespace sigma::app {

SavedModel model_of(const Options& o) {
  if (o.checkpoint.empty())
    fail(ErrorKind::usage, "--checkpoint", "expected the path of a .safetensors checkpoint");
  return model_from(load_checkpoint(o.checkpoint), o.checkpoint);
}

std::optional<LastCheckpoint> last_checkpoint(const std::filesystem::path& weights) {
  const std::string last = (weights / "last.safetensors").string(),
                    previous = (weights / "last-previous.safetensors").string();
  std::string damage;
  try {
    return LastCheckpoint{load_checkpoint(last), last, ""};
  } catch (const Error& e) {
    std::error_code ignored;
    const bool other = std::filesystem::exists(previous, ignored);
    if (!other && !std::filesystem::exists(last, ignored)) return {};
    if (!other) throw;
    damage = e.what();
  }
  return LastCheckpoint{load_checkpoint(previous), previous, damage};
}

Dataset dataset_for(const SavedModel& m, const Options& o, int64_t limit_train) {
  const std::string name = o.data.empty() ? m.data : o.data;
  Dataset data = load_dataset(name, {o.data_dir, limit_train, o.limit_test});
  naming_flag("data", [&] { check_images(data, m.input); });
  if (data.classes() != m.input.classes)
    fail(ErrorKind::usage, "--data", "{} has {} classes, the checkpoint expects {}", name, data.classes(),
         m.input.classes);
  if (data.class_names == m.class_names) return data;
  const std::string names = fmt::format("the classes are {}, the checkpoint was trained on {}",
                                        join(data.class_names, ", "), join(m.class_names, ", "));
  if (find_dataset(name)->takes_path()) fail(ErrorKind::usage, "--data", "{}", names);
  warn(names);
  return data;
}

EvalResult evaluate_or_stop(Module& model, const Dataset& data, const Normalization& normalization,
                            int64_t limit) {
  EvalResult e = evaluate(model, data.test, normalization, data.classes(),
                          {.limit = limit, .stop = [] { return stop_signal() != 0; }});
  if (e.stopped) throw Stopped{stop_signal()};
  return e;
}

}  // namespace sigma::app
