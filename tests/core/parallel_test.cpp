// The pool: every task once, any number of threads, exceptions, nesting, and the same floating-point mode
// everywhere.
#include "core/parallel.h"

#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <thread>

#include "tests/support/support.h"

using namespace sigma;

namespace {

// Restores the number of threads at the end of a test, also of a failed one.
struct KeepThreads {
  int before = num_threads();
  ~KeepThreads() { set_num_threads(before); }
};

// How often each task ran.
std::vector<int> counts_of(int64_t tasks) {
  std::vector<std::atomic<int>> counts(static_cast<size_t>(tasks));
  parallel_for(tasks, [&](int64_t t) { ++counts[static_cast<size_t>(t)]; });
  return {counts.begin(), counts.end()};
}

bool all_one(const std::vector<int>& counts) {
  for (int c : counts)
    if (c != 1) return false;
  return true;
}

#if defined(__SSE2__)
// Whether a denormal result is flushed to zero here. The volatile keeps the compiler from doing the sum
// itself.
bool flushes() {
  volatile float small = 1e-38f, tenth = 0.1f, product = small * tenth;
  return product == 0;
}
// Whether a denormal operand counts as zero here.
bool ignores_denormals() {
  volatile double tiny = 5e-324, big = 1e300, product = tiny * big;
  return product == 0;
}
#endif

}  // namespace

TEST_CASE("every task runs exactly once for any number of threads", "[parallel]") {
  KeepThreads keep;
  for (int threads : {1, 2, 3, 8}) {
    set_num_threads(threads);
    CHECK(num_threads() == threads);
    for (int64_t tasks : {0, 1, 2, 3, 7, 64, 1000}) {
      INFO(threads << " threads, " << tasks << " tasks");
      CHECK(all_one(counts_of(tasks)));
    }
    parallel_for(-1, [](int64_t) { FAIL("a negative number of tasks ran one"); });
    bool good = true;  // many short loops in a row, as training makes them
    for (int i = 0; i < 2000 && good; ++i) good = all_one(counts_of(i % 5));
    CHECK(good);
  }
}

TEST_CASE("ranges tile the whole and are no longer than the grain", "[parallel]") {
  KeepThreads keep;
  set_num_threads(3);
  for (int64_t n : {0, 1, 9, 10, 11, 100})
    for (int64_t grain : {1, 3, 10, 1000}) {
      std::mutex mutex;
      std::vector<int> seen(static_cast<size_t>(n));
      bool good = true;
      parallel_ranges(n, grain, [&](int64_t begin, int64_t end) {
        std::lock_guard lock(mutex);
        good &= begin < end && end - begin <= grain && begin % grain == 0 && end <= n;
        for (int64_t i = begin; i < end && i < n; ++i) ++seen[static_cast<size_t>(i)];
      });
      CHECK(good);
      CHECK(all_one(seen));
    }
}

TEST_CASE("several threads really work at once", "[parallel]") {
  KeepThreads keep;
  set_num_threads(3);
  std::atomic<int> arrived{0};
  std::mutex mutex;
  std::set<std::thread::id> ids;
  auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(200);
  parallel_for(3, [&](int64_t) {  // no task ends before all three have begun
    ++arrived;
    while (arrived < 3 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    std::lock_guard lock(mutex);
    ids.insert(std::this_thread::get_id());
  });
  CHECK(ids.size() == 3);
}

TEST_CASE("an exception in a task reaches the caller and the pool lives on", "[parallel]") {
  KeepThreads keep;
  for (int threads : {1, 2, 3, 8}) {
    set_num_threads(threads);
    for (int64_t bad : {0, 5, 99}) {
      std::atomic<int> running{0};
      std::string message = test::error_of([&] {
        parallel_for(100, [&](int64_t t) {
          ++running;
          struct Leave {
            std::atomic<int>& n;
            ~Leave() { --n; }
          } leave{running};
          if (t == bad) fail(ErrorKind::data, "task", "number {}", t);
        });
      });
      CHECK(message == fmt::format("task: number {}", bad));
      CHECK(running == 0);  // nothing runs on behind the caller's back
    }
    CHECK_THROWS_AS(parallel_for(8, [](int64_t) { throw std::bad_alloc(); }), std::bad_alloc);
    CHECK(all_one(counts_of(100)));
  }
}

TEST_CASE("loops inside loops run, on the thread of the outer task", "[parallel]") {
  KeepThreads keep;
  for (int threads : {1, 2, 3}) {
    set_num_threads(threads);
    std::vector<std::atomic<int>> counts(20 * 30);
    std::atomic<int> strangers{0};
    parallel_for(20, [&](int64_t outer) {
      auto self = std::this_thread::get_id();
      parallel_for(30, [&](int64_t inner) {
        if (std::this_thread::get_id() != self) ++strangers;
        ++counts[static_cast<size_t>(outer * 30 + inner)];
      });
    });
    CHECK(all_one({counts.begin(), counts.end()}));
    CHECK(strangers == 0);
    CHECK_THROWS_AS(parallel_for(4, [](int64_t) { parallel_for(4, [](int64_t) { throw 1; }); }), int);
  }
}

TEST_CASE("two threads may start loops at the same time", "[parallel]") {
  KeepThreads keep;
  for (int threads : {2, 3}) {
    set_num_threads(threads);
    std::atomic<int> wrong{0};
    auto many = [&] {
      for (int i = 0; i < 500; ++i)
        if (!all_one(counts_of(17))) ++wrong;
    };
    std::thread other(many), third(many);
    many();
    other.join();
    third.join();
    CHECK(wrong == 0);
  }
}

TEST_CASE("SerialScope keeps loops on the calling thread and ends with the scope", "[parallel]") {
  KeepThreads keep;
  set_num_threads(3);
  auto strangers = [] {
    std::atomic<int> n{0};
    auto self = std::this_thread::get_id();
    parallel_for(64, [&](int64_t) {
      if (std::this_thread::get_id() != self) ++n;
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    });
    return n.load();
  };
  {
    SerialScope outer;
    { SerialScope inner; }
    CHECK(strangers() == 0);
    CHECK(all_one(counts_of(50)));
  }
  CHECK(strangers() > 0);
}

TEST_CASE("a number of threads outside 1 to 64 is refused", "[parallel]") {
  KeepThreads keep;
  CHECK(available_processors() >= 1);
  for (int n : {0, -1, 65}) {
    CHECK(test::error_of([&] { set_num_threads(n); }).find("1 to 64") != std::string::npos);
    CHECK(num_threads() == keep.before);
  }
}

#if defined(__SSE2__)
TEST_CASE("denormals are flushed inside tasks on every thread and nowhere else", "[parallel]") {
  KeepThreads keep;
  REQUIRE_FALSE(flushes());
  REQUIRE_FALSE(ignores_denormals());
  for (int threads : {1, 2, 3, 8}) {
    set_num_threads(threads);
    std::atomic<int> flushed{0}, arrived{0}, nested{0};
    auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(200);
    parallel_for(threads, [&](int64_t) {  // all threads take part: none ends before all have begun
      ++arrived;
      while (arrived < threads && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
      if (flushes() && ignores_denormals()) ++flushed;
      parallel_for(2, [&](int64_t) { nested += flushes(); });
      nested += flushes();  // the inner loop restores the outer one's mode, not the caller's
    });
    CHECK(flushed == threads);
    CHECK(nested == 3 * threads);
    CHECK_FALSE(flushes());
    CHECK_THROWS_AS(parallel_for(4, [](int64_t) { throw 1; }), int);
    CHECK_FALSE(flushes());
    CHECK_FALSE(ignores_denormals());
  }
  {
    SerialScope serial;
    int inside = 0;
    parallel_for(1, [&](int64_t) { inside += flushes(); });
    CHECK(inside == 1);
  }
  CHECK_FALSE(flushes());
}
#endif
