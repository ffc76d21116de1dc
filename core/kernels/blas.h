// OpenBLAS as a guest of the program: nothing of it is set when the library is loaded, and what is set while
// one of our products runs is put back after it.
#pragma once

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

// Runs a test once and throws an Error of kind internal when it fails, then and at every later call.
class BlasCheck {
 public:
  void expect(bool (*test)());

 private:
  std::once_flag passed_;
};

// What OpenBLAS runs on, e.g. "SkylakeX"; and how it was built.
std::string blas_core();
std::string blas_version();
// Products of small integers in float32 and float64, compared exactly: 0.2 ms. Old OpenBLAS releases were
// wrong on new CPUs (numpy issue 24903).
bool blas_self_test();

}  // namespace sigma::kernels
