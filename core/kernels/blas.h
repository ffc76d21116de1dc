// OpenBLAS as a guest of the program: nothing of it is set when the library is loaded, and what is set while
// one of our products runs is put back after it.
#pragma once

#include <atomic>
#include <mutex>
#include <string>

namespace sigma::kernels {

// While any lives, OpenBLAS computes on the calling thread alone: threads are ours, one product is one task
// of a parallel loop. OpenBLAS 0.3.21 has no such setting for one thread, so the number is the whole
// process's; the last scope restores what the host program had set. Scopes of many threads may overlap.
//
// The first one in a process chooses OpenBLAS's kernels where they do not know the CPU and runs
// blas_self_test(); it throws an Error of kind internal when products are wrong.
class BlasScope {
 public:
  BlasScope();
  ~BlasScope();
  BlasScope(const BlasScope&) = delete;
  BlasScope& operator=(const BlasScope&) = delete;
};

// Runs what may throw until it has come to its end once. std::call_once does that too, but where pthread_once
// is intercepted, as by ThreadSanitizer, the call after one that threw waits for ever.
class OncePassed {
 public:
  template <class Fn>
  void run(Fn fn) {
    if (passed_.load(std::memory_order_acquire)) return;
    const std::lock_guard lock(mutex_);
    if (passed_.load(std::memory_order_relaxed)) return;
    fn();
    passed_.store(true, std::memory_order_release);
  }

 private:
  std::atomic<bool> passed_{false};
  std::mutex mutex_;
};

// Runs a test once and throws an Error of kind internal when it fails, then and at every later call.
class BlasCheck {
 public:
  void expect(bool (*test)());

 private:
  OncePassed passed_;
};

// What OpenBLAS runs on, e.g. "SkylakeX"; and how it was built.
std::string blas_core();
std::string blas_version();
// Products of small integers in float32 and float64, compared exactly: 0.2 ms. Old OpenBLAS releases were
// wrong on new CPUs (numpy issue 24903).
bool blas_self_test();

}  // namespace sigma::kernels
