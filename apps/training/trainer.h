// Trainer: one network, its data and its optimizer, a step at a time. Knows nothing of files or terminals.
//
//   Trainer trainer(dataset, setup);
//   while (trainer.steps_done() < n) trainer.step();
//   EvalResult e = evaluate(trainer.model(), dataset.test, setup.loader.normalization, dataset.classes());
//
// Two of them are independent, also on two threads of one process; fit.h has a whole run with measurements.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "optim/ema.h"
#include "training/evaluate.h"
#include "training/network.h"

namespace sigma {

struct StepResult {
  double loss = 0;                 // mean cross-entropy of the batch, in nats; weighted as the setup says
  double lr = 0;                   // of parameters without a scale of their own
  int64_t correct = 0, count = 0;  // of mixed images the label that weighs more is the right one
};

class Trainer {
 public:
  // Keeps a reference to the data set. Throws as make_network and make_optimizer do.
  Trainer(const Dataset& dataset, TrainSetup setup, int64_t first_step = 0);
  // With a network of one's own, which maps images to logits (N, classes), and the weights that it has. The
  // setup's model, which becomes kOwnNetwork, batch_norm, init, factors and weights are not asked.
  Trainer(const Dataset& dataset, TrainSetup setup, ModulePtr model, int64_t first_step = 0);

  // Forward, loss, backward, update. A loss that is not finite throws an Error of kind diverged that names
  // the step and the first layer whose output is not finite; weights, buffers and optimizer are then those
  // before the step.
  StepResult step();
  // The same at this rate instead of the schedule's; rates by layer keep their scale.
  StepResult step_at(double lr);
  int64_t steps_done() const { return step_; }
  int64_t steps_per_epoch() const { return loader_->steps_per_epoch(); }
  double wait_seconds() const { return loader_->wait_seconds(); }  // for images, in total
  Module& model() { return *model_; }
  const Module& model() const { return *model_; }
  Optimizer& optimizer() { return *optimizer_; }
  const TrainSetup& setup() const { return setup_; }
  const Dataset& dataset() const { return dataset_; }

  // A parameter or buffer with a value that is not finite, or "". An update can overflow though its loss did
  // not.
  std::string bad_weight() const;
  // "first in the output of <layer>", the first whose output for these images is not finite, or "". Leaves
  // buffers as they were.
  std::string first_bad_layer(const Tensor& images);

  // Parameters and buffers by name, and the optimizer's state; the tensors are the trainer's own, not copies.
  // With an average of weights (TrainSetup::ema) the weights are the averages, which are what the run is
  // for, and the state has those that are trained, as "raw.<name>".
  std::map<std::string, Tensor> weights() const;
  Optimizer::State optimizer_state() const;
  // Goes on at a step: takes copies. Throws kind checkpoint when names or shapes do not fit, or state of the
  // optimizer is missing; the trainer is then not to be used.
  void restore(const std::map<std::string, Tensor>& weights, const Optimizer::State& optimizer, int64_t step);

  // While it lives, the network has the weights that the run is measured by: their average, if there is one.
  class Measured {
   public:
    explicit Measured(Trainer& trainer) : ema_(trainer.ema_.get()) {
      if (ema_) ema_->swap();
    }
    ~Measured() {
      if (ema_) ema_->swap();
    }
    Measured(const Measured&) = delete;
    Measured& operator=(const Measured&) = delete;

   private:
    Ema* ema_;
  };

 private:
  void prepare();
  StepResult take_step(double lr);
  void restore_raw(Optimizer::State& state, int64_t step);
  void save_buffers();
  void restore_buffers();

  const Dataset& dataset_;
  TrainSetup setup_;
  ModulePtr model_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<Ema> ema_;  // null: off
  std::unique_ptr<Loader> loader_;
  int64_t step_;
  std::vector<Tensor> saved_buffers_;  // as they were before the step
};

}  // namespace sigma
