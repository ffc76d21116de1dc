// Deterministic parallel loops. Work is cut into tasks by the size of the problem, never by the number of
// threads; each task writes its own part of the output, and partial sums are merged by the caller in task
// order. So the bits of a result do not depend on the number of threads.
#pragma once

#include <cstdint>
#include <functional>

namespace sigma {

int num_threads();
void set_num_threads(int n);  // 1..64; the default is the number of processors this process may run on
int available_processors();

// Calls fn(task) for every task in 0..tasks-1, on the pool's threads and the caller's. Nested calls, and
// calls while another thread uses the pool, run on the caller alone. Denormals are flushed to zero inside
// tasks, on every thread. The first exception is rethrown to the caller after all running tasks have ended.
void parallel_for(int64_t tasks, const std::function<void(int64_t)>& fn);

// Cuts 0..n-1 into ranges of `grain` and calls fn(begin, end) for each.
template <class Fn>
void parallel_ranges(int64_t n, int64_t grain, Fn&& fn) {
  if (n <= 0) return;
  int64_t tasks = (n + grain - 1) / grain;
  parallel_for(tasks, [&](int64_t t) { fn(t * grain, t * grain + grain < n ? t * grain + grain : n); });
}

// While alive, parallel_for on this thread runs on this thread alone. For callers that have threads of their
// own.
class SerialScope {
 public:
  SerialScope();
  ~SerialScope();
  SerialScope(const SerialScope&) = delete;
  SerialScope& operator=(const SerialScope&) = delete;

 private:
  bool previous_;
};

}  // namespace sigma
