#include "apps/verbs/fine_tune.h"

#include <filesystem>

#include "apps/run/run_folder.h"
#include "apps/verbs/saved_model.h"

namespace sigma::app {
namespace {

struct File {
  std::string path;
  Checkpoint content;
};
// The latest good checkpoint of the run that is resumed, else the one given.
File starting_file(const Options& o) {
  if (o.resume) {
    const std::filesystem::path weights = RunFolder::locate(o, "train") / "weights";
    try {
      if (auto last = last_checkpoint(weights)) return {last->path, last->checkpoint};
    } catch (const Error&) {}  // told to the user when the run loads it
  }
  return {o.checkpoint, load_checkpoint(o.checkpoint)};
}

}  // namespace

Start start_of(const Options& given) {
  Start s{given, {}};
  Options& o = s.options;
  if (o.checkpoint.empty()) return s;
  const auto [path, content] = starting_file(o);
  s.network = model_from(content, path);
  const SavedModel& m = *s.network;
  auto follow = [&](const char* flag, std::string& value, const std::string& saved) {
    if (is_given(o, flag) && value != saved)
      fail(ErrorKind::usage, flag, "the network of {} has {}, got {}", o.checkpoint, saved, value);
    value = saved;
  };
  follow("--model", o.model, m.network());
  follow("--batch-norm", o.batch_norm, m.batch_norm ? "on" : "off");
  follow("--norm", o.norm, m.norm);
  follow("--normalize", o.normalize, m.normalization.kind);
  if (!o.mean.empty() || !o.std.empty() || o.whiten_epsilon > 0)
    fail(ErrorKind::usage, "--checkpoint",
         "cannot be combined with --mean, --std or --whiten-epsilon: its normalization holds");
  if (o.init != Options().init)
    fail(ErrorKind::usage, "--init", "cannot be combined with --checkpoint: its weights hold");
  if (!is_given(o, "--data")) o.data = m.data;
  return s;
}

}  // namespace sigma::app
