// The reductions against their plain twins, at the lengths where lanes, leaves and tasks end, on every SIMD
// target and number of threads. Sums of small integers are exact; those of others must be the same bits.
#include "core/kernels/reference_map.h"
#include "tests/support/kernels.h"

using namespace sigma;
using namespace sigma::kernels;
using namespace sigma::test;

namespace {

struct Size {
  int64_t outer, size, inner;
};
std::vector<Size> sizes() {
  std::vector<Size> all;
  for (int64_t n : {0, 1, 3, 15, 16, 17, 31, 130, 4095, 4096, 4097, 8191, 12289, 70000})
    all.push_back({1, n, 1});
  for (int64_t n : {1, 3, 63, 64, 65, 130, 700}) {
    all.push_back({1, n, 17});
    all.push_back({3, n, 16});
    all.push_back({7, n, 1});
  }
  for (Size s : {Size{5000, 10, 1},
                 {300, 5, 130},
                 {2, 3, 4097},
                 {2, 900, 33},
                 {1, 3, 9000},
                 {0, 3, 4},
                 {3, 4, 0},
                 {4, 4097, 1},
                 {2, 100, 64},
                 {1, 5000, 2}})
    all.push_back(s);
  return all;
}

template <class T>
void check_sums(int low) {
  for (const Size& s : sizes()) {
    INFO(s.outer << " x " << s.size << " x " << s.inner);
    auto x = integers<T>(s.outer * s.size * s.inner + 1, 1, low, 7);
    std::vector<SumOf<T>> got(static_cast<size_t>(s.outer * s.inner), -1), want = got;
    sum(s.outer, s.size, s.inner, x.data() + 1, got.data());
    reference::sum(s.outer, s.size, s.inner, x.data() + 1, want.data());
    CHECK(got == want);
  }
}

template <class T>
void check_extremes(int low) {
  for (const Size& s : sizes()) {
    if (s.size == 0) continue;
    for (bool largest : {true, false})
      for (bool with_nan : {false, true}) {
        if (with_nan && !std::numeric_limits<T>::has_quiet_NaN) continue;
        INFO(s.outer << " x " << s.size << " x " << s.inner << (largest ? " max" : " min"));
        auto x = integers<T>(s.outer * s.size * s.inner + 1, 2, low, 100);
        if (with_nan)
          for (size_t i = 11; i < x.size(); i += 37) x[i] = std::numeric_limits<T>::quiet_NaN();
        const auto count = static_cast<size_t>(s.outer * s.inner);
        std::vector<T> got(count), want(count), alone(count);
        std::vector<int64_t> at(count, -1), want_at(count, -1), at_alone(count, -1);
        extremes(largest, s.outer, s.size, s.inner, x.data() + 1, got.data(), at.data());
        extremes<T>(largest, s.outer, s.size, s.inner, x.data() + 1, alone.data(), nullptr);
        extremes<T>(largest, s.outer, s.size, s.inner, x.data() + 1, nullptr, at_alone.data());
        reference::extremes(largest, s.outer, s.size, s.inner, x.data() + 1, want.data(), want_at.data());
        int64_t wrong = 0;
        for (size_t i = 0; i < count; ++i) {
          auto same = [&](T a) { return a == want[i] || (a != a && want[i] != want[i]); };
          wrong += !same(got[i]) || !same(alone[i]);
        }
        CHECK(wrong == 0);
        CHECK(at == want_at);
        CHECK(at_alone == want_at);
      }
  }
}

}  // namespace

TEST_CASE("sums of integers are exact over every size", "[kernels]") {
  on_every_machine([] { check_sums<float>(-7); });
  check_sums<double>(-7);
  check_sums<bfloat16>(-7);
  check_sums<uint8_t>(0);
  check_sums<int64_t>(-7);
}

TEST_CASE("extremes and their first positions equal the plain loops", "[kernels]") {
  on_every_machine([] { check_extremes<float>(-100); });
  check_extremes<double>(-100);
  check_extremes<bfloat16>(-100);
  check_extremes<uint8_t>(0);
  check_extremes<int64_t>(-100);
}

TEST_CASE("sums have the same bits on every machine, and an error of a few roundings", "[kernels]") {
  for (const Size& s : sizes()) {
    std::vector<double> x(static_cast<size_t>(s.outer * s.size * s.inner));
    Rng rng(3, "sums");
    for (double& v : x) v = rng.next_normal();
    const auto count = static_cast<size_t>(s.outer * s.inner);
    std::vector<double> first(count), plain(count), absolute(count);
    sum(s.outer, s.size, s.inner, x.data(), first.data());
    reference::sum(s.outer, s.size, s.inner, x.data(), plain.data());
    std::vector<double> sizes_of = x;
    for (double& v : sizes_of) v = std::fabs(v);
    reference::sum(s.outer, s.size, s.inner, sizes_of.data(), absolute.data());
    double worst = 0;
    for (size_t i = 0; i < count; ++i)
      worst = std::max(worst, std::fabs(first[i] - plain[i]) / (1e-300 + absolute[i]));
    CHECK(worst <= static_cast<double>(s.size) * 0x1p-53);  // of both sums together
    on_every_machine([&] {
      std::vector<double> again(count);
      sum(s.outer, s.size, s.inner, x.data(), again.data());
      CHECK(again == first);
    });
  }
}

TEST_CASE("a NaN or an infinity anywhere is found", "[kernels]") {
  on_every_machine([] {
    for (int64_t n : {1, 3, 16, 17, 130, 32769, 70000}) {
      std::vector<float> x(static_cast<size_t>(n), 1e38f);
      CHECK(all_finite(x.data(), n));
      for (float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()})
        for (int64_t at : {int64_t{0}, n / 2, n - 1}) {
          x[static_cast<size_t>(at)] = bad;
          CHECK_FALSE(all_finite(x.data(), n));
          x[static_cast<size_t>(at)] = -1e38f;
        }
    }
  });
}
