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
#include "apps/verbs/train_setup.h"
#include "core/parallel.h"
#include "core/text.h"
#include "training/new_head.h"

namespace sigma::app {
namespace {

namespace fs = std::filesystem;

void begin_with_new_head(TrainSetup& s, const SavedModel& trained, const Options& o) {
  const std::string head = replace_head(s, *trained.model);
  if (!o.quiet)
    note(fmt::format("{} is drawn anew for the {} classes of {}; the network was trained for {}", head,
                     s.input.classes, o.data, join(trained.class_names, ", ")));
}

TrainSetup network_of(const Options& o, const Dataset& data) {
  TrainSetup s;
  s.model = o.model;
  s.input = {data.channels(), data.height(), data.width(), data.classes()};
  s.batch_norm = parse_switch("--batch-norm", o.batch_norm);
  s.norm = o.norm;
  s.init = o.init;
  s.loader.batch_size = std::min(o.batch_size, data.train.size());
  s.loader.min_last_batch = norm_of(s).kind() == "batch" ? 2 : 1;  // one image has no batch statistics
  s.seed = o.seed;
  return s;
}

TrainSetup with_training(TrainSetup s, const Options& o, const Dataset& data) {
  complete_data_setup(o, data, s);
  s.optimizer = optimizer_setup(o, parse_number("--lr", o.lr));
  s.ema = o.ema;
  s.freeze = parse_freeze(o.freeze);
  s.precision = parse_precision(o.precision);
  s.label_smoothing = o.label_smoothing;
  s.clip_norm = o.clip_norm;
  naming_flag({"init", "lr-scale", "freeze"}, [&] { check_fit(s, data.train.size()); });
  const int64_t per_epoch = steps_per_epoch(data.train.size(), s.loader);
  s.schedule = {parse_schedule(o.schedule), total_steps(o, per_epoch), o.warmup};
  return s;
}

}  // namespace

TrainSetup setup_of(const Options& o, const Start& from, const Dataset& data) {
  if (!from.network) return setup_of(o, data, normalization_for(o, o.normalize, data));
  TrainSetup s = network_of(o, data);
  s.loader.normalization = from.network->normalization;
  s.factors = from.network->factors;
  if (from.new_head)
    begin_with_new_head(s, *from.network, o);
  else
    s.weights = std::make_shared<StateDict>(from.network->model->state_dict());
  return with_training(std::move(s), o, data);
}

TrainSetup setup_of(const Options& o, const Dataset& data, const Normalization& normalization) {
  TrainSetup s = network_of(o, data);
  s.loader.normalization = normalization;
  return with_training(std::move(s), o, data);
}

namespace {

// The steps of a run with this configuration, of which an earlier version may have written less.
int64_t length_of(const Json& config, int64_t steps_per_epoch, const std::string& path) {
  Options o;
  o.epochs = json_get_or<int64_t>(config, "epochs", o.epochs, ErrorKind::checkpoint, path);
  o.max_steps = json_get_or<int64_t>(config, "max-steps", o.max_steps, ErrorKind::checkpoint, path);
  return total_steps(o, steps_per_epoch);
}

// A run may be made longer: --epochs and --max-steps may say more. Whether it was; `then` has them after
// that.
bool take_length(Json& then, const Json& now, int64_t steps_per_epoch, const std::string& path) {
  const int64_t before = length_of(then, steps_per_epoch, path),
                after = length_of(now, steps_per_epoch, path);
  if (after < before)
    fail(ErrorKind::usage, "--resume", "the run has {} steps and can only become longer, got {}", before,
         after);
  for (const char* key : {"epochs", "max-steps"})
    if (now.contains(key)) then[key] = now.at(key);
  return after > before;
}

void resume(const RunFolder& folder, Trainer& trainer, FitOptions& options, const Json& config) {
  std::optional<LastCheckpoint> found = last_checkpoint(folder.path() / "weights");
  if (!found) return;
  if (!found->damage.empty()) warn(found->damage + "; resuming from last-previous.safetensors");
  const Checkpoint& c = found->checkpoint;
  if (!c.run || c.run->config.empty())
    fail(ErrorKind::checkpoint, found->path, "metadata: the run's config is missing");
  Json then = parse_json(c.run->config, ErrorKind::checkpoint, found->path);
  const bool longer = take_length(then, config, trainer.steps_per_epoch(), found->path);
  std::string differing = differing_flags(then, config);
  options.fingerprint = fingerprint(trainer.dataset());
  if (c.run->fingerprint != options.fingerprint)
    differing += "; the images or labels of the data set changed";
  if (!differing.empty())
    fail(ErrorKind::usage, "--resume", "this is not the run that was stopped: {}", differing.substr(2));
  go_on(trainer, options, c, found->path);
  if (longer) options.progress.extended_at.push_back(c.run->progress.step);
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
                     .patience = o.patience,
                     .config = config.dump()};
  if (o.resume) resume(output.folder(), trainer, options, config);
  if (!o.quiet && !options.progress.extended_at.empty() &&
      options.progress.extended_at.back() == options.progress.step)
    note(
        fmt::format("the run is longer now: from step {} on the rates are those of a {} schedule of {} steps",
                    options.progress.step, o.schedule, trainer.setup().schedule.total_steps));
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
  Start from = start_of(given);
  const Options& o = from.options;
  apply_threads(o);
  const fs::path folder = RunFolder::locate(o, "train");
  if (from.network) keep_inputs(folder, o, {o.checkpoint});
  const Dataset data = training_data(from);
  const TrainSetup s = setup_of(o, from, data);
  if (!o.quiet)
    note(fmt::format(
        "{} on {}: {} training{} and {} test images {}x{}x{}, {} classes; normalize {}; {} steps, "
        "{} threads",
        model_label(o.model), o.data, data.train.size(),
        data.validation.size() > 0 ? fmt::format(", {} validation", data.validation.size()) : "",
        data.test.size(), s.input.channels, s.input.height, s.input.width, data.classes(),
        describe(s.loader.normalization), s.schedule.total_steps, num_threads()));
  if (o.dry_run) {
    print_json(flags_json(o), o.json ? -1 : 2);
    return 0;
  }
  install_signal_handlers();  // from here on: a run that is stopped leaves a checkpoint
  return train(o, data, s, folder);
}

class Train : public Verb {
 public:
  Train()
      : Verb("train", "train one network",
             kData | kModel | kNormalize | kTraining | kRun | kResume | kThreads | kSave) {
    use("--checkpoint", "start from this network: its layers, weights and normalization");
    use("--freeze");
    use("--patience");
    example("train --data mnist --model cnn --epochs 3", "a demo network on MNIST");
    example("train --model 'conv 32, bn, relu, maxpool 2, flatten, linear classes'",
            "a network of your own, on the built-in digits");
    example(
        "train --data folder:photos --image-size 64 --val 0.1 --augment flip+crop --optimizer adamw --lr "
        "0.001",
        "your own images, a folder a class");
    example("train --checkpoint runs/train/weights/best.safetensors --data folder:other --freeze conv1,bn1",
            "fine-tuning for other classes");
    example("train --resume", "goes on with the latest run");
  }
  int run(const Options& o) override { return run_train(o); }
};

const RegisterVerb<Train> register_train(10);

}  // namespace
}  // namespace sigma::app
