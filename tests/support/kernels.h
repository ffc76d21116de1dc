// What the tests of kernels share.
#pragma once

#include <limits>
#include <vector>

#include "core/kernels/simd.h"
#include "core/parallel.h"
#include "core/rng.h"
#include "tests/support/support.h"

namespace sigma::test {

// Runs fn on every SIMD target and for 1, 2 and 3 threads; restores both.
inline void on_every_machine(const std::function<void()>& fn) {
  struct Restore {
    std::string simd = kernels::simd_name();
    int threads = num_threads();
    ~Restore() {
      kernels::force_simd(simd);
      set_num_threads(threads);
    }
  } restore;
  for (const std::string& target : kernels::simd_targets())
    for (int threads : {1, 2, 3}) {
      INFO(target << ", " << threads << " threads");
      REQUIRE(kernels::force_simd(target));
      REQUIRE(kernels::simd_name() == target);
      set_num_threads(threads);
      fn();
    }
}

template <class T>
std::vector<T> integers(int64_t n, uint64_t seed, int low = -4, int high = 4) {
  std::vector<T> v(static_cast<size_t>(n));
  Rng rng(seed, "kernels");
  for (T& x : v)
    x = static_cast<T>(low + static_cast<int>(rng.next_below(static_cast<uint64_t>(high - low + 1))));
  return v;
}

template <class T>
std::vector<T> nans(int64_t n) {
  return std::vector<T>(static_cast<size_t>(n), std::numeric_limits<T>::quiet_NaN());
}

// Equal in value everywhere. A comparison of zeros with zeros proves nothing and fails, unless it is of
// nothing at all.
template <class T>
void check_equal(const std::vector<T>& got, const std::vector<T>& expected) {
  REQUIRE(got.size() == expected.size());
  int64_t wrong = 0, nonzero = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    wrong += !(got[i] == expected[i]);
    nonzero += expected[i] != 0;
  }
  CHECK(wrong == 0);
  if (got.size() > 8) CHECK(nonzero > 0);
}

}  // namespace sigma::test
