// What a training run is made of, and the network that it begins with.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/loader.h"
#include "layers/networks/models.h"
#include "layers/passes/factor.h"
#include "optim/lr_schedule.h"
#include "optim/optimizer_table.h"

namespace sigma {

// Which optimizer, by its name in optim/optimizers.h, and what it is given.
struct OptimizerSetup {
  std::string name = "sgd";
  double lr = 0.01, weight_decay = 0;
  HyperValues hyper;      // those left out have the table's initial values
  bool decay_all = true;  // false: weight decay leaves out biases and normalization (Module::decays)
};

// The name of a network that is no text: a program's own.
inline const std::string kOwnNetwork = "own";

struct TrainSetup {
  std::string model = "cnn";  // a demo network or a network's text, see layers/networks/models.h
  ModelInput input;
  bool batch_norm = true;
  std::string norm = "batch";    // what stands where the network has bn, with batch_norm; see Norm
  std::string init = "default";  // see initial_weights.h
  LoaderOptions loader;
  OptimizerSetup optimizer;
  LrSchedule schedule;
  double label_smoothing = 0, clip_norm = 0;  // 0: off
  std::vector<Factor> factors;                // layers in two factors, see layers/passes/factor.h
  std::shared_ptr<const StateDict> weights;   // to start from; null: drawn from the seed
  DType precision = DType::float32;  // bfloat16: activations and their gradients; see autograd/precision.h
  uint64_t seed = 0;
};

// What stands where a network has bn: nothing without batch_norm.
inline Norm norm_of(bool batch_norm, const std::string& norm) {
  return batch_norm ? Norm(norm) : Norm("none");
}
inline Norm norm_of(const TrainSetup& setup) { return norm_of(setup.batch_norm, setup.norm); }

// The network of a setup, before any step. Throws kind usage for an unknown name or a wrong text, or an input
// or factors that do not fit, kind checkpoint for weights that do not.
ModulePtr make_network(const TrainSetup& setup);

// A network's parameters for an optimizer: one group, or one with weight decay and one without.
std::vector<ParameterGroup> parameter_groups(Module& model, const OptimizerSetup& setup);

// Runs a small batch through a network of this setup: throws when the two do not fit each other, or when a
// training step would need more memory than the machine has (kind memory).
void check_fit(const TrainSetup& setup, int64_t train_images);

// SHA-256 over the names and values of all parameters and buffers.
std::string weights_sha256(const Module& model);

}  // namespace sigma
