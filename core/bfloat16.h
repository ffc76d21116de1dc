// bfloat16: the upper half of a float32, 8 bits of exponent and 7 of fraction (relative rounding error 2^-9).
// A storage format: arithmetic is done in float32 and rounded to the nearest, ties to even, when stored.
#pragma once

#include <bit>
#include <cstdint>

namespace sigma {

struct bfloat16 {
  uint16_t bits = 0;

  bfloat16() = default;
  template <class T>
  explicit bfloat16(T number) {
    const float value = static_cast<float>(number);
    uint32_t u = std::bit_cast<uint32_t>(value);
    bits = value != value ? static_cast<uint16_t>(u >> 16 | 0x40)  // a NaN stays one
                          : static_cast<uint16_t>((u + 0x7fff + (u >> 16 & 1)) >> 16);
  }
  operator float() const {  // NOLINT: loses nothing
    return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
  }
};
static_assert(sizeof(bfloat16) == 2);

// The type that arithmetic on stored values of type T is done in.
template <class T>
struct ComputeType {
  using type = T;
};
template <>
struct ComputeType<bfloat16> {
  using type = float;
};
template <class T>
using Compute = typename ComputeType<T>::type;

}  // namespace sigma
