#include "apps/verbs/saved_model.h"

#include <algorithm>

#include "apps/flags/naming.h"
#include "apps/run/output.h"
#include "apps/run/signals.h"
#include "apps/verbs/load_data.h"
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

Dataset images_for(const SavedModel& m, const Options& o, int64_t limit_train) {
  const std::string name = o.data.empty() ? m.data : o.data;
  DatasetOptions wanted = dataset_options(o);
  wanted.limit_train = limit_train;
  if (m.resizes && o.image_size.empty()) {
    wanted.height = m.input.height;
    wanted.width = m.input.width;
  }
  if (m.input.channels == 3) wanted.channels = 3;  // grey images are taken, too
  const bool trains = std::find(o.flags.begin(), o.flags.end(), "--val") != o.flags.end();
  if (wanted.validation == 0 && m.apart.part > 0 && absolute_data_name(name) == m.data) {
    wanted.validation = m.apart.part;
    wanted.seed = m.apart.seed;
    wanted.limit_train = m.apart.images;
  }
  if (!trains) wanted.without_test = WithoutTest::measure;
  Dataset data = load_data(name, wanted, o);
  naming_flag({"data"}, [&] { check_images(data, m.input); });
  return data;
}

Dataset dataset_for(const SavedModel& m, const Options& o, int64_t limit_train) {
  const std::string name = o.data.empty() ? m.data : o.data;
  Dataset data = images_for(m, o, limit_train);
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
  EvalResult e = evaluate(model, data.measured(), normalization, data.classes(),
                          {.limit = limit, .stop = [] { return stop_signal() != 0; }});
  if (e.stopped) throw Stopped{stop_signal()};
  return e;
}

}  // namespace sigma::app
