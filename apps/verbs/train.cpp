// `sigma train`: one network, checkpoints, exact resume.
#include <nlohmann/json.hpp>
#include <optional>

#include "apps/flags/config.h"
#include "apps/flags/naming.h"
#include "apps/flags/verb.h"
#include "apps/run/output.h"
#include "apps/run/signals.h"
#include "apps/verbs/fine_tune.h"
#include "apps/verbs/saved_model.h"
#include "apps/verbs/train_output.h"
#include "core/parallel.h"

namespace sigma::app {
namespace {

namespace fs = std::filesystem;

TrainSetup setup_of(const Options& o, const Start& from, const Dataset& data) {
  TrainSetup s;
  s.model = o.model;
  s.input = {data.channels(), data.height(), data.width(), data.classes()};
  s.batch_norm = parse_switch("--batch-norm", o.batch_norm);
  s.norm = o.norm;
  s.init = o.init;
  s.loader.batch_size = std::min(o.batch_size, data.train.size());
  s.loader.min_last_batch = norm_of(s).kind() == "batch" ? 2 : 1;  // one image has no batch statistics
  if (from.network) {
    s.loader.normalization = from.network->normalization;
    s.factors = from.network->factors;
    s.weights = std::make_shared<StateDict>(from.network->model->state_dict());
  } else {
    s.loader.normalization = normalization_for(o, o.normalize, data);
  }
  s.loader.augmentation = augmentation_for(o);
  s.optimizer = {o.optimizer, parse_number("--lr", o.lr), o.weight_decay, hyper_values(o)};
  s.precision = parse_precision(o.precision);
  s.label_smoothing = o.label_smoothing;
  s.clip_norm = o.clip_norm;
  s.seed = o.seed;
  naming_flag("init", [&] { check_fit(s, data.train.size()); });
  const int64_t per_epoch = steps_per_epoch(data.train.size(), s.loader);
  s.schedule = {parse_schedule(o.schedule), total_steps(o, per_epoch), o.warmup};
  return s;
}

void resume(const RunFolder& folder, Trainer& trainer, FitOptions& options, const Json& config) {
  std::optional<LastCheckpoint> found = last_checkpoint(folder.path() / "weights");
  if (!found) return;
  if (!found->damage.empty()) warn(found->damage + "; resuming from last-previous.safetensors");
  const Checkpoint& c = found->checkpoint;
  if (!c.run || c.run->config.empty())
    fail(ErrorKind::checkpoint, found->path, "metadata: the run's config is missing");
  std::string differing =
      differing_flags(parse_json(c.run->config, ErrorKind::checkpoint, found->path), config);
  options.fingerprint = fingerprint(trainer.dataset());
  if (c.run->fingerprint != options.fingerprint)
    differing += "; the images or labels of the data set changed";
  if (!differing.empty())
    fail(ErrorKind::usage, "--resume", "this is not the run that was stopped: {}", differing.substr(2));
  go_on(trainer, options, c, found->path);
  // The next checkpoint keeps the last as the previous one; that must not be the damaged one.
  std::error_code ignored;
  if (!found->damage.empty()) fs::rename(found->path, folder / "weights/last.safetensors", ignored);
}

int train(const Options& o, const Dataset& data, TrainSetup setup, const fs::path& folder) {
  Trainer trainer(data, std::move(setup));
  TrainOutput output(o, data, trainer, folder);
  const Json config = flags_json(o);
  FitOptions options{.eval_every = o.eval_every,
                     .eval_images = std::max<int64_t>(0, o.eval_images),
                     .save_every = o.save_every,
                     .config = config.dump()};
  if (o.resume) resume(output.folder(), trainer, options, config);
  output.begin(config, options.progress);
  FitCallbacks callbacks{.on_step = [&](const StepEvent& e) { output.show_step(e); },
                         .on_measure = [&](const Measurement& m) { output.show_measurement(m); },
                         .on_save = [&](const Checkpoint& c, SaveReason reason) { output.save(c, reason); },
                         .stop = [] { return stop_signal() != 0; }};
  FitResult result;
  try {
    result = fit(trainer, options, callbacks);
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::diverged) throw;
    throw Error(e.kind(),
                fmt::format("{}; try a smaller --lr, batch normalization or --normalize standard", e.what()));
  }
  if (result.stopped) {
    output.write_tables();
    output.say(fmt::format("stopped by signal {} at step {}; `--resume --out {}` goes on", stop_signal(),
                           result.progress.step, folder.string()));
    return 128 + stop_signal();
  }
  output.finish(result);
  return 0;
}

int run_train(const Options& given) {
  install_signal_handlers();  // from here on: a run that is stopped leaves a checkpoint
  Start from = start_of(given);
  const Options& o = from.options;
  apply_threads(o);
  const fs::path folder = RunFolder::locate(o, "train");
  if (from.network) keep_inputs(folder, o, {o.checkpoint});
  Dataset data = from.network ? dataset_for(*from.network, o, o.limit_train)
                              : load_dataset(o.data, {o.data_dir, o.limit_train, o.limit_test});
  const TrainSetup s = setup_of(o, from, data);
  if (!o.quiet)
    note(
        fmt::format("{} on {}: {} training and {} test images {}x{}x{}, {} classes; normalize {}; {} steps, "
                    "{} threads",
                    model_label(o.model), o.data, data.train.size(), data.test.size(), s.input.channels,
                    s.input.height, s.input.width, data.classes(), describe(s.loader.normalization),
                    s.schedule.total_steps, num_threads()));
  if (o.dry_run) {
    print_json(flags_json(o), o.json ? -1 : 2);
    return 0;
  }
  return train(o, data, s, folder);
}

class Train : public Verb {
 public:
  Train()
      : Verb("train", "train one network",
             kData | kModel | kNormalize | kTraining | kRun | kResume | kThreads | kSave) {
    use("--checkpoint", "start from this network: its layers, weights and normalization");
  }
  int run(const Options& o) override { return run_train(o); }
};

const RegisterVerb<Train> register_train(10);

}  // namespace
}  // namespace sigma::app
