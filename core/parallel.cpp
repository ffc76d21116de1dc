#include "core/parallel.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/kernels/denormals.h"
#include "core/platform.h"

namespace sigma {
namespace {

thread_local bool serial_here = false;

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

// One parallel loop. Threads take task numbers from `next` until none is left.
struct Job {
  const std::function<void(int64_t)>* fn;
  int64_t tasks;
  std::atomic<int64_t> next{0};
  std::atomic<bool> failed{false};
  std::exception_ptr error;
  std::mutex error_mutex;

  void work() {
    kernels::FlushDenormals flush;
    for (int64_t t; (t = next.fetch_add(1)) < tasks && !failed;) {
      try {
        (*fn)(t);
      } catch (...) {
        std::lock_guard lock(error_mutex);
        if (!failed.exchange(true)) error = std::current_exception();
      }
    }
  }
};

class Pool {
 public:
  // As many workers as the system allows (ulimit -u): fewer take longer, and the results are the same.
  explicit Pool(int workers) {
    threads_.reserve(static_cast<size_t>(workers));
    try {
      for (int i = 0; i < workers; ++i) threads_.emplace_back([this] { loop(); });
    } catch (const std::system_error&) {}
  }
  ~Pool() {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
      ++generation_;
    }
    wake_.notify_all();
    for (auto& t : threads_) t.join();
  }

  void run(Job& job) {
    busy_.store(static_cast<int>(threads_.size()), std::memory_order_relaxed);
    {
      std::lock_guard lock(mutex_);
      job_ = &job;
      generation_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    serial_here = true;
    job.work();
    serial_here = false;
    // The last tasks end within microseconds, unless other programs want the processors too.
    for (int spin = 0; busy_.load(std::memory_order_acquire) != 0; ++spin)
      spin < 4000 ? relax() : std::this_thread::yield();
  }

 private:
  void loop() {
    serial_here = true;
    uint64_t seen = 0;
    while (true) {
      // A training step calls the pool thousands of times a second: look for the next job a while before
      // sleeping.
      for (int spin = 0; spin < 4000 && generation_.load(std::memory_order_acquire) == seen; ++spin) relax();
      Job* job;
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return generation_.load(std::memory_order_relaxed) != seen; });
        seen = generation_;
        if (stop_) return;
        job = job_;
      }
      job->work();
      busy_.fetch_sub(1, std::memory_order_release);
    }
  }

  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<uint64_t> generation_{0};
  std::atomic<int> busy_{0};
  Job* job_ = nullptr;
  bool stop_ = false;
};

struct State {
  std::mutex mutex;  // held while a loop runs on the pool
  std::unique_ptr<Pool> pool;
  std::atomic<int> threads{available_processors()};
};
State& state() {
  static State instance;
  return instance;
}

}  // namespace

int available_processors() { return std::min(64, platform::processors()); }

int num_threads() { return state().threads; }

void set_num_threads(int n) {
  SIGMA_CHECK(n >= 1 && n <= 64, "threads", "expected 1 to 64 threads, got {}", n);
  State& s = state();
  std::lock_guard lock(s.mutex);
  if (n != s.threads) s.pool.reset();
  s.threads = n;
}

void parallel_for(int64_t tasks, const std::function<void(int64_t)>& fn) {
  if (tasks <= 0) return;
  Job job;
  job.fn = &fn;
  job.tasks = tasks;
  State& s = state();
  std::unique_lock lock(s.mutex, std::defer_lock);
  if (tasks > 1 && !serial_here && s.threads > 1 && lock.try_lock()) {
    if (!s.pool) s.pool = std::make_unique<Pool>(s.threads - 1);
    s.pool->run(job);
  } else {
    bool outer = std::exchange(serial_here, true);
    job.work();
    serial_here = outer;
  }
  if (job.error) std::rethrow_exception(job.error);
}

SerialScope::SerialScope() : previous_(std::exchange(serial_here, true)) {}
SerialScope::~SerialScope() { serial_here = previous_; }

}  // namespace sigma
