// Checkpoints: a safetensors file of weights, buffers and the optimizer's state under PyTorch's names, with
// everything else a run needs (step, normalization constants, class names, best accuracy) in its metadata,
// under a digest. Everything in a file is checked when it is read, by checkpoint_schema.h, before it is used.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "training/trainer.h"

namespace sigma {

// What is known of a network beside its weights.
struct NetworkRecord {
  std::string name;  // "resnet20", how a network's text begins, or kOwnNetwork
  std::string data;  // what it was trained on; the path of a folder is absolute
  ModelInput input;
  bool batch_norm = true;
  Normalization normalization;
  std::vector<std::string> class_names;
  std::vector<Factor> factors;  // layers in two factors, see layers/passes/factor.h
  bool resizes = false;         // images of other sizes are brought to that of the input, by fitted()
  Dataset::Apart apart{};       // the part of the training images that it was chosen by
  std::string text;             // the network's, unless the name says which
  std::string norm = "batch";   // see TrainSetup

  const std::string& network() const { return text.empty() ? name : text; }  // TrainSetup's model
};
NetworkRecord record_of(const TrainSetup& setup, const Dataset& dataset);

// What a run carries from one process to the next, beside weights and optimizer.
struct Progress {
  int64_t step = 0, evaluated_step = 0;        // steps done; the last that was measured
  int64_t epoch_count = 0, epoch_correct = 0;  // images since the epoch began
  double epoch_loss = 0;                       // sum over them
  double best = -1;    // accuracy, of the validation part where there is one; -1: not measured yet
  double seconds = 0;  // of work, over all processes
  std::optional<double> train_loss;  // mean of the last epoch, as last measured
  int64_t best_step = 0;             // when `best` was measured
  std::string frozen;                // sha256 of what is frozen (layer_patterns.h), as the run began; or ""
  std::vector<int64_t> extended_at;  // steps where the run, gone on with, was made longer
};

struct RunRecord {
  Progress progress;
  std::string optimizer = "sgd";  // its name
  Optimizer::State state;
  std::string config;       // a JSON object of the program's own
  std::string fingerprint;  // of the data set
};

struct Checkpoint {
  NetworkRecord network;
  std::map<std::string, Tensor> weights;  // parameters and buffers by name
  std::optional<RunRecord> run;           // none in a network that is not to be trained on
};
// Of a trainer now; `run` has the trainer's step and optimizer, all else of it is the caller's.
Checkpoint checkpoint_of(const Trainer& trainer, RunRecord run = {});

// Writes the file atomically (see core/file.h). With keep_previous what was there before stays as
// <name>-previous.safetensors. Throws kind io when it cannot be written, kind usage when load_checkpoint
// would not take it.
void save_checkpoint(const std::string& path, const Checkpoint& checkpoint, bool keep_previous = false);
// Throws kind checkpoint, naming the file and the place, when it is damaged, altered, not written by sigma,
// or holds what a checkpoint cannot; kind io when it cannot be read.
Checkpoint load_checkpoint(const std::string& path);

// A network with its weights, ready to be used.
struct SavedModel : NetworkRecord {
  ModulePtr model;  // in eval mode
};
// Builds the network; it takes no more memory than a small multiple of the weights that are there. Throws
// kind checkpoint, naming `path`, when names or shapes of the weights are not those that the record declares.
SavedModel model_from(const Checkpoint& checkpoint, const std::string& path);
// The same for a network of one's own: `model` gets the weights.
SavedModel model_from(const Checkpoint& checkpoint, const std::string& path, ModulePtr model);

// An image as the network takes it, 8-bit (1, C, H, W) channels_last: grey or colour as its input is, and of
// its size where the network was trained on images that were brought to it. Throws kind data, with the place
// `place`, for another size where not.
Tensor image_for(const NetworkRecord& network, const Image& image, const std::string& place);

// Throws kind usage, naming both, when images are not of the size and channels that a network takes.
void check_images(const Dataset& data, const ModelInput& input);

}  // namespace sigma
