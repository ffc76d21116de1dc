#include "apps/verbs/fine_tune.h"

#include <filesystem>

#include "apps/run/run_folder.h"

namespace sigma::app {
namespace {

namespace fs = std::filesystem;

struct File {
  std::string path;
  Checkpoint content;
};
// The latest good checkpoint of the run that is resumed, else the one given.
File starting_file(const Options& o) {
  fs::path weights;
  if (o.resume) weights = RunFolder::locate(o, "train") / "weights";
  for (const char* name : {"last.safetensors", "last-previous.safetensors"}) {
    std::string path = (weights / name).string();
    std::error_code ignored;
    if (!o.resume || !fs::exists(path, ignored)) continue;
    try {
      return {path, load_checkpoint(path)};
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
  follow("--model", o.model, m.name);
  follow("--batch-norm", o.batch_norm, m.batch_norm ? "on" : "off");
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
