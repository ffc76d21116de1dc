#include "apps/fine_tune.h"

#include <filesystem>

#include "apps/run_folder.h"

namespace sigma::app {
namespace {

namespace fs = std::filesystem;

// The latest good checkpoint of the run that is resumed, else the one given.
std::string starting_file(const Options& o) {
  if (!o.resume) return o.checkpoint;
  fs::path weights = RunFolder::locate(o, "train") / "weights";
  for (const char* name : {"last.safetensors", "last-previous.safetensors"}) {
    std::string path = (weights / name).string();
    std::error_code ignored;
    if (!fs::exists(path, ignored)) continue;
    try {
      load_checkpoint(path);
      return path;
    } catch (const Error&) {}  // told to the user when the run loads it
  }
  return o.checkpoint;
}

}  // namespace

Start start_of(const Options& given) {
  Start s{given, {}};
  Options& o = s.options;
  if (o.checkpoint.empty()) return s;
  std::string path = starting_file(o);
  s.network = model_from(load_checkpoint(path), path);
  const SavedModel& m = *s.network;
  auto follow = [&](const char* flag, std::string& value, const std::string& saved) {
    if (is_given(o, flag) && value != saved)
      fail(ErrorKind::usage, flag, "the network of {} has {}, got {}", path, saved, value);
    value = saved;
  };
  follow("--model", o.model, m.name);
  follow("--batch-norm", o.batch_norm, m.batch_norm ? "on" : "off");
  follow("--normalize", o.normalize, m.normalization.kind);
  for (const char* flag : {"--mean", "--std", "--whiten-epsilon"})
    if (is_given(o, flag) && !o.resume)
      fail(ErrorKind::usage, flag, "cannot be combined with --checkpoint: its normalization holds");
  if (o.init != Options().init)
    fail(ErrorKind::usage, "--init", "cannot be combined with --checkpoint: its weights hold");
  if (!is_given(o, "--data")) o.data = m.data;
  return s;
}

}  // namespace sigma::app
