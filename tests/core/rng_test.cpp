// Random numbers. The statistical bounds are six standard errors wide, and the seeds are fixed: a failure is
// a change of the generator, not bad luck.
#include "core/rng.h"

#include <algorithm>
#include <map>
#include <set>

#include "tests/support/support.h"

using namespace sigma;

TEST_CASE("Philox gives the known answers of its authors", "[rng]") {
  // philox4x32-10 in kat_vectors of the Random123 distribution; counter words lie in (index, sub), low first.
  using Words = std::array<uint32_t, 4>;
  CHECK(philox(0, 0, 0) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  const uint64_t ones = ~uint64_t{0};
  CHECK(philox(ones, ones, ones) == Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox(0x299f31d0a4093822, 0x85a308d3243f6a88, 0x0370734413198a2e) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("a stream is a function of seed, name, sub-stream and position alone", "[rng]") {
  Rng a(7, "weights"), b(7, "weights");
  std::vector<uint64_t> first;
  for (uint64_t i = 0; i < 100; ++i) first.push_back(a.bits_at(i));
  for (uint64_t i = 100; i-- > 0;) CHECK(b.bits_at(i) == first[i]);
  Rng walk(7, "weights");
  for (uint64_t i = 0; i < 10; ++i) CHECK(walk.next_uniform() == a.uniform_at(i));
  Rng copy = walk;
  CHECK(copy.next_uniform() == walk.next_uniform());

  std::set<uint64_t> seen;
  size_t drawn = 0;
  for (uint64_t seed : {0, 1, 7})
    for (const char* name : {"", "a", "b", "ab", "ba", "conv1.weight", "conv2.weight"})
      for (uint64_t sub : {0, 1})
        for (uint64_t i = 0; i < 50; ++i, ++drawn) seen.insert(Rng(seed, name, sub).bits_at(i));
  CHECK(seen.size() == drawn);
}

TEST_CASE("streams of different names are uncorrelated", "[rng]") {
  const int n = 20000;
  Rng streams[] = {Rng(1, "init/fc1.weight"), Rng(1, "init/fc2.weight"), Rng(2, "init/fc1.weight"),
                   Rng(1, "init/fc1.weight", 1)};
  for (size_t i = 0; i < 4; ++i)
    for (size_t j = 0; j < i; ++j) {
      double dot = 0;
      for (uint64_t k = 0; k < n; ++k)
        dot += (streams[i].uniform_at(k) - 0.5) * (streams[j].uniform_at(k) - 0.5);
      CHECK(std::fabs(dot / n * 12) < 6 / std::sqrt(n));  // correlation, standard error 1/sqrt(n)
    }
}

TEST_CASE("uniform numbers have their mean, variance and range", "[rng]") {
  const int n = 200000;
  Rng rng(3, "uniform");
  double sum = 0, squares = 0, low = 1, high = 0, serial = 0, last = 0.5;
  std::vector<int> bins(16);
  for (int i = 0; i < n; ++i) {
    double u = rng.next_uniform();
    sum += u, squares += (u - 0.5) * (u - 0.5), serial += (u - 0.5) * (last - 0.5), last = u;
    low = std::min(low, u), high = std::max(high, u);
    ++bins[static_cast<size_t>(u * 16)];
  }
  CHECK(low >= 0);
  CHECK(low < 1e-3);
  CHECK(high < 1);
  CHECK(high > 1 - 1e-3);
  CHECK(std::fabs(sum / n - 0.5) < 6 / std::sqrt(12.0 * n));
  CHECK(std::fabs(squares / n - 1.0 / 12) < 6 / std::sqrt(180.0 * n));  // variance of (u-1/2)^2 is 1/180
  CHECK(std::fabs(serial / n * 12) < 6 / std::sqrt(n));
  double chi2 = 0, expected = n / 16.0;
  for (int b : bins) chi2 += (b - expected) * (b - expected) / expected;
  CHECK(chi2 < 15 + 6 * std::sqrt(2 * 15.0));
  CHECK(chi2 > 1);  // suspiciously even is wrong too: below 1 with probability 1e-7
  Rng range(3, "range");
  for (int i = 0; i < 1000; ++i) {
    double v = range.next_uniform(-2, 3);
    REQUIRE(v >= -2);
    REQUIRE(v < 3);
  }
}

TEST_CASE("normal numbers have the moments and tails of the normal distribution", "[rng]") {
  const int n = 200000;
  Rng rng(4, "normal");
  double m1 = 0, m2 = 0, m3 = 0, m4 = 0;
  int beyond2 = 0;
  for (int i = 0; i < n; ++i) {
    double z = rng.next_normal();
    REQUIRE(std::isfinite(z));
    m1 += z, m2 += z * z, m3 += z * z * z, m4 += z * z * z * z;
    beyond2 += std::fabs(z) > 2;
  }
  // Variances of z, z^2, z^3, z^4: 1, 2, 15, 96.
  CHECK(std::fabs(m1 / n) < 6 / std::sqrt(n));
  CHECK(std::fabs(m2 / n - 1) < 6 * std::sqrt(2.0 / n));
  CHECK(std::fabs(m3 / n) < 6 * std::sqrt(15.0 / n));
  CHECK(std::fabs(m4 / n - 3) < 6 * std::sqrt(96.0 / n));
  double p = std::erfc(std::sqrt(2.0));
  CHECK(std::fabs(static_cast<double>(beyond2) / n - p) < 6 * std::sqrt(p * (1 - p) / n));
}

TEST_CASE("next_below is unbiased and stays below", "[rng]") {
  for (uint64_t n : {uint64_t{1}, uint64_t{2}, uint64_t{3}, uint64_t{7}, uint64_t{10}}) {
    Rng rng(5, "below", n);
    const int draws = 60000;
    std::vector<int> count(n);
    for (int i = 0; i < draws; ++i) ++count.at(rng.next_below(n));
    double p = 1.0 / static_cast<double>(n);
    for (int c : count) CHECK(std::fabs(c - draws * p) <= 6 * std::sqrt(draws * p * (1 - p)));
  }
  // With n = 3 * 2^62 a plain modulo or an unrejected product hits some residues twice as often as others:
  // thirds of the range would get 1/2, 1/4, 1/4 of the draws.
  const uint64_t n = uint64_t{3} << 62;
  Rng rng(6, "large");
  int thirds[3] = {};
  const int draws = 30000;
  for (int i = 0; i < draws; ++i) {
    uint64_t v = rng.next_below(n);
    REQUIRE(v < n);
    ++thirds[v >> 62];
  }
  for (int c : thirds) CHECK(std::fabs(c - draws / 3.0) < 6 * std::sqrt(draws * 2.0 / 9));
  int residues[3] = {};
  for (int i = 0; i < draws; ++i) ++residues[rng.next_below(n) % 3];
  for (int c : residues) CHECK(std::fabs(c - draws / 3.0) < 6 * std::sqrt(draws * 2.0 / 9));
}

TEST_CASE("a permutation holds every number once and puts each anywhere alike", "[rng]") {
  for (int64_t n : {0, 1, 2, 3, 100, 1000}) {
    auto order = permutation(n, Rng(8, "order"));
    REQUIRE(static_cast<int64_t>(order.size()) == n);
    std::sort(order.begin(), order.end());
    bool all = true;
    for (int64_t i = 0; i < n; ++i) all &= order[static_cast<size_t>(i)] == i;
    CHECK(all);
  }
  CHECK(permutation(50, Rng(8, "order", 1)) == permutation(50, Rng(8, "order", 1)));
  CHECK(permutation(50, Rng(8, "order", 1)) != permutation(50, Rng(8, "order", 2)));
  const int trials = 24000;
  std::map<std::vector<int64_t>, int> counts;  // all 24 orders of four
  for (uint64_t t = 0; t < trials; ++t) ++counts[permutation(4, Rng(9, "orders", t))];
  CHECK(counts.size() == 24);
  for (auto& [order, c] : counts) CHECK(std::fabs(c - trials / 24.0) < 6 * std::sqrt(trials / 24.0));
}
