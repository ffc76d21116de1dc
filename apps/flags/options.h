// The flags that the verbs share, in one struct: read from the command line and a configuration file,
// checked, written back as the run's config.json.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "core/json.h"
#include "data/transforms/transforms.h"
#include "optim/optimizer_table.h"

namespace CLI {
class App;
}

namespace sigma::app {

struct Options {
  std::string data = "synth-digits", data_dir, model = "cnn";
  std::string batch_norm = "on", normalize = "standard";  // `compare` takes lists
  std::string lr = "0.05";                                // a list on `compare`
  // epochs -1: as many as --max-steps takes, else 5. eval_images -1: all for train; for compare, as many as
  // make measuring cost no more than training
  std::vector<double> mean, std;  // override the normalization constants
  int64_t epochs = -1, batch_size = 128, max_steps = 0, eval_every = 0, eval_images = -1, save_every = 0;
  int64_t limit_train = 0, limit_test = 0, warmup = 0, seeds = 3;
  double weight_decay = 5e-4, label_smoothing = 0, clip_norm = 0, whiten_epsilon = 0;
  // Of the optimizer, by their names in the table of optimizers; see hyper_values.
  std::string optimizer = "sgd";
  std::map<std::string, double> hyper;
  std::map<std::string, bool> hyper_switches;
  std::string schedule = "cosine", augment = "none", crop_padding = "reflect", precision = "f32";
  std::string init = "default";
  uint64_t seed = 0;
  int threads = 0;  // 0: the processors available
  std::string out, config, checkpoint, layer, histogram_layer;
  std::vector<std::string> given;  // flags that were on the command line or in the configuration, "--model"
  bool resume = false, overwrite = false, dry_run = false, quiet = false, json = false;
};

// Which groups of flags a verb has.
enum FlagGroup : unsigned {
  kData = 1,      // --data --data-dir --limit-*
  kModel = 2,     // --model --batch-norm
  kTraining = 4,  // --epochs ... --augment
  kRun = 8,       // --out --overwrite --dry-run --quiet --json --config
  kResume = 16,   // --resume
  kLists = 32,    // compare: --seeds and lists
  kThreads = 64,
  kNormalize = 128,
  kSave = 256,  // --save-every
};
void add_flags(CLI::App& verb, Options& options, unsigned groups);

bool is_given(const Options& options, const std::string& flag);

// The learning rate and weight decay of the optimizer where none is given.
void complete_optimizer(Options& options);
// The hyper-parameters of the chosen optimizer. One that is given and not of this optimizer is an error.
HyperValues hyper_values(const Options& options);

// Throws kind usage, naming the flag, for a value out of range.
void check(const Options& options);

bool parse_switch(const std::string& flag, const std::string& text);  // on, off
DType parse_precision(const std::string& text);                       // f32, bf16
double parse_number(const std::string& flag, const std::string& text);
std::vector<std::string> split_list(const std::string& flag, const std::string& text);

// The arguments of a --config file: ["--epochs", "3", ...]. An unknown key is an error that names the nearest
// known one.
std::vector<std::string> config_arguments(const std::string& path, const std::vector<std::string>& known);
// The closest of `known` by edit distance, or "" when none is near.
std::string nearest(const std::string& word, const std::vector<std::string>& known);

Normalization normalization_for(const Options& options, const std::string& kind, const Dataset& dataset);
Augmentation augmentation_for(const Options& options);

}  // namespace sigma::app
