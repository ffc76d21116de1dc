#include "data/loader.h"

#include <algorithm>
#include <chrono>
#include <system_error>

#include "core/parallel.h"

namespace sigma {

Sampler parse_sampler(const std::string& text) {
  if (text == "shuffle") return Sampler::shuffle;
  if (text == "balanced") return Sampler::balanced;
  fail(ErrorKind::usage, "sampler", "unknown kind \"{}\", expected shuffle or balanced", text);
}

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
    it = orders_.emplace(epoch, order_of(epoch)).first;
    while (orders_.size() > 2)
      orders_.erase(orders_.begin()->first == epoch ? std::prev(orders_.end()) : orders_.begin());
  }
  return {it->second.begin() + at, it->second.begin() + end};
}

std::vector<int64_t> Loader::order_of(int64_t epoch) const {
  const auto sub = static_cast<uint64_t>(epoch);
  std::vector<int64_t> order = permutation(split_.size(), Rng(options_.seed, "shuffle", sub));
  if (options_.sampler == Sampler::shuffle) return order;
  // The images of each class in the order of this epoch, and the classes in one of their own.
  std::map<int64_t, std::vector<int64_t>> of_class;
  for (int64_t row : order) of_class[split_.labels.data<int64_t>()[row]].push_back(row);
  std::vector<const std::vector<int64_t>*> classes;
  for (const auto& [label, rows] : of_class) classes.push_back(&rows);
  const auto k = static_cast<int64_t>(classes.size());
  const std::vector<int64_t> turn = permutation(k, Rng(options_.seed, "sampler/classes", sub));
  std::vector<int64_t> drawn(order.size());
  for (size_t i = 0; i < drawn.size(); ++i) {
    const std::vector<int64_t>& rows = *classes[static_cast<size_t>(turn[i % turn.size()])];
    drawn[i] = rows[i / turn.size() % rows.size()];
  }
  const std::vector<int64_t> places = permutation(split_.size(), Rng(options_.seed, "sampler/order", sub));
  for (size_t i = 0; i < order.size(); ++i) order[i] = drawn[static_cast<size_t>(places[i])];
  return order;
}

// One of the kinds asked for, each as likely.
void Loader::mix(Batch& batch) const {
  const auto& kinds = options_.augmentation.mixes;
  if (kinds.empty()) return;
  const auto sub = static_cast<uint64_t>(batch.step);
  const AugmentationRow& kind =
      *kinds[Rng(options_.seed, "augment.mix", sub).next_below(static_cast<uint64_t>(kinds.size()))];
  batch.weight = kind.mix(batch.images, Rng(options_.seed, "augment." + kind.name, sub));
  const int64_t n = batch.labels.numel();
  batch.other_labels = Tensor::empty({n}, DType::int64);
  const int64_t* own = batch.labels.data<int64_t>();
  for (int64_t i = 0; i < n; ++i) batch.other_labels.mutable_data<int64_t>()[i] = own[(i + n - 1) % n];
  if (batch.weight >= 0.5) return;
  std::swap(batch.labels, batch.other_labels);  // the image shows more of the other
  batch.weight = 1 - batch.weight;
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
  // An image that comes twice in an epoch looks different each time.
  const bool once = options_.sampler == Sampler::shuffle;
  const int64_t first = step % steps_per_epoch_ * options_.batch_size;
  auto rng = [&](int64_t i) {
    const int64_t sample = once ? rows[static_cast<size_t>(i)] : first + i;
    return Rng(options_.seed, "augment",
               static_cast<uint64_t>(batch.epoch) << 32 | static_cast<uint64_t>(sample));
  };
  batch.images = normalized_images(split_, rows, options_.normalization, options_.augmentation, rng);
  mix(batch);
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
