// Loader: the endless sequence of training batches, prepared ahead on threads of its own.
//
// Batch s of a run is a function of (seed, s) alone: the order of epoch e is a permutation drawn from
// (seed, e), augmentation is drawn from (seed, e, sample), mixing from (seed, s). Any number of threads gives
// the same batches, and a run can resume at any step without skipping.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include "data/transforms/transforms.h"

namespace sigma {

// Which images make up an epoch.
enum class Sampler {
  shuffle,  // each once
  // As many as there are, each class equally often, give or take one: images of a small class return, none a
  // second time before all of its class were there. Which come, and which classes have one more, is drawn
  // anew each epoch.
  balanced
};
Sampler parse_sampler(const std::string& text);  // "shuffle", "balanced"

struct LoaderOptions {
  int64_t batch_size = 128;
  uint64_t seed = 0;
  Normalization normalization;
  Augmentation augmentation;
  int threads = 1;       // 0: batches are made when asked for
  int64_t prefetch = 4;  // batches ahead
  bool shuffle = true;
  Sampler sampler = Sampler::shuffle;
  int64_t min_last_batch = 1;  // a shorter last batch of an epoch is left out
};

struct Batch {
  Tensor images;  // float32 (N, C, H, W), channels_last
  Tensor labels;  // int64 (N)
  int64_t step = 0, epoch = 0;
  // Of mixed images (mixup, cutmix): the labels of what was mixed in. The loss is weight times that of labels
  // and 1 - weight times that of these; the weight is at least 1/2.
  Tensor other_labels{};
  double weight = 1;
};

// Batches an epoch of `images` images has. A batch size above `images` counts as all of them.
int64_t steps_per_epoch(int64_t images, const LoaderOptions& options);

class Loader {
 public:
  // Keeps a reference to `split`. Starts at batch `first_step`.
  Loader(const Split& split, LoaderOptions options, int64_t first_step = 0);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  Batch next();
  int64_t steps_per_epoch() const { return steps_per_epoch_; }
  double wait_seconds() const { return wait_seconds_; }  // that next() spent waiting, in total
  Batch make(int64_t step);                              // any batch, on this thread

 private:
  std::vector<int64_t> rows_of(int64_t step);
  std::vector<int64_t> order_of(int64_t epoch) const;
  void mix(Batch& batch) const;
  void work();

  const Split& split_;
  LoaderOptions options_;
  int64_t steps_per_epoch_;
  std::mutex order_mutex_;
  std::map<int64_t, std::vector<int64_t>> orders_;  // of the last two epochs

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<int64_t, Batch> ready_;
  int64_t next_step_, claimed_;
  bool stop_ = false;
  std::exception_ptr error_;
  double wait_seconds_ = 0;
  std::vector<std::thread> threads_;
};

}  // namespace sigma
