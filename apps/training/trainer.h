// Trainer: one network, its data and its optimiser, a step at a time. Knows nothing of files or terminals.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/safetensors.h"
#include "data/loader.h"
#include "layers/networks/models.h"
#include "layers/passes/factor.h"
#include "optim/lr_schedule.h"
#include "optim/optimizer_table.h"

namespace sigma::app {

// Which optimizer, by its name in optim/optimizers.h, and what it is given.
struct OptimizerSetup {
  std::string name = "sgd";
  double lr = 0.01, weight_decay = 0;
  HyperValues hyper;      // those left out have the table's initial values
  bool decay_all = true;  // false: weight decay leaves out biases and normalization (Module::decays)
};

struct TrainSetup {
  std::string model = "cnn";
  ModelInput input;
  bool batch_norm = true;
  std::string init = "default";  // see apps/initial_weights.h
  LoaderOptions loader;
  OptimizerSetup optimizer;
  LrSchedule schedule;
  double label_smoothing = 0, clip_norm = 0;
  std::vector<Factor> factors;               // layers in two factors, see layers/factor.h
  std::shared_ptr<const StateDict> weights;  // to start from; null: drawn from the seed
  DType precision = DType::float32;  // bfloat16: activations and their gradients; see autograd/precision.h
  uint64_t seed = 0;
};

struct StepResult {
  double loss = 0, lr = 0;
  int64_t correct = 0, count = 0;
};
struct EvalResult {
  double loss = 0, accuracy = 0;
  int64_t count = 0;
  std::vector<std::vector<int64_t>> confusion;  // [true class][predicted class]
};

class Trainer {
 public:
  Trainer(const Dataset& dataset, TrainSetup setup, int64_t first_step = 0);

  // Forward, loss, backward, update. A loss that is not finite throws an Error of kind diverged that names
  // the step and the first layer whose output is not finite; the weights are then those before the step.
  StepResult step();
  int64_t steps_done() const { return step_; }
  int64_t steps_per_epoch() const { return loader_->steps_per_epoch(); }
  double wait_seconds() const { return loader_->wait_seconds(); }
  Module& model() { return *model_; }
  Optimizer& optimizer() { return *optimizer_; }
  const TrainSetup& setup() const { return setup_; }

  // A parameter or buffer with a value that is not finite, or "". An update can overflow though its loss did
  // not.
  std::string bad_weight() const;
  // "first in the output of <layer>", the first whose output for these images is not finite, or "".
  std::string first_bad_layer(const Tensor& images);

  // Weights, buffers and, behind "optim.", the optimizer's state by name; `restore` takes them back and
  // throws kind checkpoint when they do not fit.
  std::map<std::string, Tensor> state() const;
  void restore(const SafeTensors& checkpoint, int64_t step);

 private:
  const Dataset& dataset_;
  TrainSetup setup_;
  ModulePtr model_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<Loader> loader_;
  int64_t step_;
};

// A network's parameters for an optimizer: one group, or one with weight decay and one without.
std::vector<ParameterGroup> parameter_groups(Module& model, const OptimizerSetup& setup);

// The network of a setup, before any step.
ModulePtr make_network(const TrainSetup& setup);

// The tensors of a checkpoint that are the network's: all but the optimiser's and the normalization's.
StateDict model_state(const SafeTensors& content);

// Loss, accuracy and confusion matrix in eval mode, over `limit` images spread evenly over the split (0:
// all). Throws Stopped when a signal asks to.
EvalResult evaluate(Module& model, const Split& split, const Normalization& normalization, int64_t classes,
                    int64_t limit = 0);

// Runs a small batch through a network of this setup: throws when the two do not fit each other, or when a
// training step would need more memory than the machine has (kind memory).
void check_fit(const TrainSetup& setup, int64_t train_images);

// SHA-256 over the names and values of all parameters and buffers.
std::string weights_sha256(const Module& model);

}  // namespace sigma::app
