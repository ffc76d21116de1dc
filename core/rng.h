// Counter-based random numbers: every number is a function of (seed, stream name, index), never of what was
// drawn before or on which thread. Switching batch normalization on therefore moves no other initial weight
// and no sample. Philox4x32-10: Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <string_view>
#include <utility>
#include <vector>

namespace sigma {

// Ten rounds of Philox on a 128-bit counter under a 64-bit key.
inline std::array<uint32_t, 4> philox(uint64_t key, uint64_t index, uint64_t sub = 0) {
  uint32_t c0 = static_cast<uint32_t>(index), c1 = static_cast<uint32_t>(index >> 32);
  uint32_t c2 = static_cast<uint32_t>(sub), c3 = static_cast<uint32_t>(sub >> 32);
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    uint64_t p0 = 0xD2511F53ull * c0, p1 = 0xCD9E8D57ull * c2;
    uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0, n2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<uint32_t>(p1);
    c3 = static_cast<uint32_t>(p0);
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {c0, c1, c2, c3};
}

// A named stream of random numbers. The next_* functions walk along it; copies walk independently.
class Rng {
 public:
  Rng(uint64_t seed, std::string_view stream, uint64_t sub = 0) : key_(mix(seed)), sub_(sub) {
    for (char ch : stream) key_ = mix(key_ ^ static_cast<unsigned char>(ch));
  }
  // The stream whose name is this one's with `more` behind it, from its first number on.
  Rng branch(std::string_view more) const {
    Rng r = *this;
    r.index_ = 0;
    for (char ch : more) r.key_ = mix(r.key_ ^ static_cast<unsigned char>(ch));
    return r;
  }
  // 64 bits at a position of the stream.
  uint64_t bits_at(uint64_t index) const {
    auto r = philox(key_, index, sub_);
    return (static_cast<uint64_t>(r[0]) << 32) | r[1];
  }
  double uniform_at(uint64_t index) const {
    return static_cast<double>(bits_at(index) >> 11) * 0x1p-53;
  }  // [0, 1)

  double next_uniform() { return uniform_at(index_++); }
  double next_uniform(double low, double high) { return low + (high - low) * next_uniform(); }
  // Standard normal by Box and Muller; two numbers of the stream make one.
  double next_normal() {
    double u = 1.0 - next_uniform(), v = next_uniform();
    return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v);
  }
  // Uniform in 0..n-1 without bias (Lemire's multiply-shift with rejection).
  uint64_t next_below(uint64_t n) {
    while (true) {
      auto product = static_cast<unsigned __int128>(bits_at(index_++)) * n;
      if (static_cast<uint64_t>(product) >= -n % n) return static_cast<uint64_t>(product >> 64);
    }
  }

 private:
  static uint64_t mix(uint64_t z) {  // SplitMix64's finaliser (Steele et al. 2014)
    z += 0x9E3779B97F4A7C15ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
  }
  uint64_t key_, sub_, index_ = 0;
};

// A random order of 0..n-1 (Fisher and Yates).
inline std::vector<int64_t> permutation(int64_t n, Rng rng) {
  std::vector<int64_t> order(static_cast<size_t>(n));
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int64_t>(i);
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[rng.next_below(i)]);
  return order;
}

}  // namespace sigma
