// SHA-256 (FIPS 180-4), for the digests of weights, data sets and downloads. Own code, because the smallest
// library that has it is a whole cryptographic one, and a program that trains should not have to link that.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace sigma {

class Sha256 {
 public:
  void update(const void* data, size_t bytes);
  void update(std::string_view text) { update(text.data(), text.size()); }
  // The digest of everything so far, as 64 lower-case hexadecimal digits. More may follow, from the first
  // byte on: the state starts anew.
  std::string hex();

 private:
  static constexpr std::array<uint32_t, 8> kStart = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                                     0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<uint32_t, 8> state_ = kStart;
  std::array<uint8_t, 64> block_{};
  uint64_t bytes_ = 0;  // so far; the last bytes_ % 64 of them wait in block_
};

}  // namespace sigma
