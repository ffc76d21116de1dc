#include "data/loader.h"

#include <algorithm>
#include <chrono>
#include <system_error>

#include "core/parallel.h"

namespace sigma {

int64_t steps_per_epoch(int64_t images, const LoaderOptions& options) {
  int64_t batch = std::min(options.batch_size, images), rest = images % batch;
  return images / batch + (rest >= std::max<int64_t>(1, options.min_last_batch) ? 1 : 0);
}

Loader::Loader(const Split& split, LoaderOptions options, int64_t first_step)
    : split_(split), options_(std::move(options)), next_step_(first_step), claimed_(first_step) {
  SIGMA_CHECK(split.size() > 0, "loader", "the data set is empty");
  SIGMA_CHECK(options_.batch_size >= 1, "loader", "expected a batch size of at least 1, got {}",
              options_.batch_size);
  steps_per_epoch_ = sigma::steps_per_epoch(split.size(), options_);
  options_.batch_size = std::min(options_.batch_size, split.size());
  try {
    for (int i = 0; i < options_.threads; ++i) threads_.emplace_back([this] { work(); });
  } catch (const std::system_error&) {}  // those that there are load all; without any, next() does
}

Loader::~Loader() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  for (auto& t : threads_) t.join();
}

std::vector<int64_t> Loader::rows_of(int64_t step) {
  int64_t epoch = step / steps_per_epoch_, at = step % steps_per_epoch_ * options_.batch_size;
  int64_t end = std::min(at + options_.batch_size, split_.size());
  if (!options_.shuffle) {
    std::vector<int64_t> rows;
    for (; at < end; ++at) rows.push_back(at);
    return rows;
  }
  std::lock_guard lock(order_mutex_);
  auto it = orders_.find(epoch);
  if (it == orders_.end()) {
    it = orders_
             .emplace(epoch,
                      permutation(split_.size(), Rng(options_.seed, "shuffle", static_cast<uint64_t>(epoch))))
             .first;
    while (orders_.size() > 2)
      orders_.erase(orders_.begin()->first == epoch ? std::prev(orders_.end()) : orders_.begin());
  }
  return {it->second.begin() + at, it->second.begin() + end};
}

Batch Loader::make(int64_t step) {
  std::vector<int64_t> rows = rows_of(step);
  Batch batch;
  batch.step = step;
  batch.epoch = step / steps_per_epoch_;
  auto n = static_cast<int64_t>(rows.size());
  batch.labels = Tensor::empty({n}, DType::int64);
  int64_t* labels = batch.labels.mutable_data<int64_t>();
  const int64_t* from = split_.labels.data<int64_t>();
  for (size_t i = 0; i < rows.size(); ++i) labels[i] = from[rows[i]];
  auto rng = [&](int64_t row) {
    return Rng(options_.seed, "augment",
               static_cast<uint64_t>(batch.epoch) << 32 | static_cast<uint64_t>(row));
  };
  batch.images = normalized_images(split_.images, rows, options_.normalization, options_.augmentation, rng);
  return batch;
}

void Loader::work() {
  SerialScope serial;  // the pool belongs to the training step
  while (true) {
    int64_t step;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return stop_ || claimed_ < next_step_ + options_.prefetch; });
      if (stop_) return;
      step = claimed_++;
    }
    Batch batch;
    std::exception_ptr error;
    try {
      batch = make(step);
    } catch (...) { error = std::current_exception(); }
    {
      std::lock_guard lock(mutex_);
      if (error) error_ = error;
      ready_.emplace(step, std::move(batch));
    }
    changed_.notify_all();
  }
}

Batch Loader::next() {
  if (threads_.empty()) return make(next_step_++);
  auto start = std::chrono::steady_clock::now();
  Batch batch;
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return error_ || ready_.count(next_step_); });
    if (error_) std::rethrow_exception(error_);
    auto it = ready_.find(next_step_);
    batch = std::move(it->second);
    ready_.erase(it);
    ++next_step_;
  }
  changed_.notify_all();
  wait_seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return batch;
}

}  // namespace sigma
