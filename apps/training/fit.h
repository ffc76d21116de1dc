// A whole training run: steps, measurements, checkpoints, stopping and going on. What happens is told through
// callbacks; nothing here knows files or terminals.
//
//   Trainer trainer(dataset, setup);
//   FitResult r = fit(trainer, {}, {.on_measure = [](const Measurement& m) { print(m.test.accuracy); }});
#pragma once

#include <functional>

#include "training/checkpoint.h"
#include "training/predictions.h"

namespace sigma {

struct FitOptions {
  int64_t eval_every = 0;   // steps between measurements beside those after each epoch; 0: those alone
  int64_t eval_images = 0;  // images for those before the last, spread over the part; 0: all
  int64_t save_every = 0;   // steps between checkpoints; 0: an epoch
  int64_t patience = 0;     // ends after so many epochs without a better measurement; 0: never
  std::string fingerprint;  // of the data set, where it is known already (see data/dataset.h)
  std::string config;       // goes into checkpoints as it is: a JSON object of the program's own
  Progress progress;        // of the run that is gone on with; see go_on
};

// After a step.
struct StepEvent {
  StepResult step;
  int64_t index = 0;  // of this step, from 0
  const Progress& progress;
  int64_t seen = 0;    // images in this process
  double seconds = 0;  // in this process
};
struct Measurement {
  int64_t step = 0;
  double epoch = 0;                           // with its fraction
  double train_loss = 0, train_accuracy = 0;  // over the images since the epoch began
  EvalResult test;  // on the validation part of the data set where it has one, else on the test part
  double lr = 0, seconds = 0, images_per_s = 0, wait_percent = 0;  // seconds: of all processes
  bool best = false;                                               // of all so far
};
enum class SaveReason : uint8_t { begin, regular, best, stopped, end, diverged };

struct FitCallbacks {
  std::function<void(const StepEvent&)> on_step;
  std::function<void(const Measurement&)> on_measure;
  // Gets a checkpoint that is checked: no network that is lost, but for `diverged`, which holds the state
  // before the step that failed. Tensors are the trainer's own, good until the callback returns.
  std::function<void(const Checkpoint&, SaveReason)> on_save;
  std::function<bool()> stop;  // asked before each step and during measurements
};

struct FitResult {
  bool stopped = false;
  bool ended_early = false;  // by the patience
  Progress progress;
  EvalResult test;  // at the end, of the whole test part; of the validation part where there is no other
  std::vector<Prediction> predictions;  // of each image of that
  EvalResult validation;                // the last of the validation part, where there is one
  int64_t seen = 0;                     // images in this process
  double seconds = 0;                   // in this process
};

// Trains until the schedule's total_steps, or until the end of an epoch that is `patience` epochs after the
// best measurement. What the setup freezes has then kept every bit since the run began, or an Error of kind
// internal says that it has not. An Error of kind diverged, after on_save, when the loss, a weight
// or the test loss is not finite. Throws kind usage for options below 0.
FitResult fit(Trainer& trainer, const FitOptions& options = {}, const FitCallbacks& callbacks = {});

// Takes a run's checkpoint into a trainer of the same setup, and into the options of the fit that goes on.
// Only the schedule's total_steps may be more, also of a run that came to its end. Steps from there on have
// the rates of the longer schedule: of a constant one those that a run of the whole length has, which it then
// equals bit for bit; a step, cosine or one-cycle schedule is stretched, so that the rate jumps up.
// Throws kind checkpoint, naming `path`, when it has no run, the data set is another one (kind usage), or
// anything does not fit.
void go_on(Trainer& trainer, FitOptions& options, const Checkpoint& checkpoint, const std::string& path);

}  // namespace sigma
