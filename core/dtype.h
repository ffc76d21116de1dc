// Element types. Training runs in float32, or with activations in bfloat16; float64 serves gradient checks;
// uint8 and int64 hold images and labels.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/bfloat16.h"
#include "core/check.h"

namespace sigma {

enum class DType : uint8_t { float32, float64, uint8, int64, bfloat16 };

constexpr size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::float32:
      return 4;
    case DType::float64:
      return 8;
    case DType::uint8:
      return 1;
    case DType::int64:
      return 8;
    case DType::bfloat16:
      return 2;
  }
  return 0;
}

constexpr const char* name_of(DType dtype) {
  switch (dtype) {
    case DType::float32:
      return "float32";
    case DType::float64:
      return "float64";
    case DType::uint8:
      return "uint8";
    case DType::int64:
      return "int64";
    case DType::bfloat16:
      return "bfloat16";
  }
  return "unknown";
}

constexpr bool is_floating(DType dtype) {
  return dtype == DType::float32 || dtype == DType::float64 || dtype == DType::bfloat16;
}
// The dtype that arithmetic on values of `dtype` is done in, and that their weights and statistics have.
constexpr DType compute_dtype(DType dtype) { return dtype == DType::bfloat16 ? DType::float32 : dtype; }

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::float32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::float64;
};
template <>
struct DTypeOf<uint8_t> {
  static constexpr DType value = DType::uint8;
};
template <>
struct DTypeOf<int64_t> {
  static constexpr DType value = DType::int64;
};
template <>
struct DTypeOf<bfloat16> {
  static constexpr DType value = DType::bfloat16;
};
template <class T>
inline constexpr DType dtype_of = DTypeOf<T>::value;

// Calls fn(T{}) with T the C++ type of `dtype`.
template <class Fn>
decltype(auto) dispatch_all(DType dtype, Fn&& fn) {
  switch (dtype) {
    case DType::float64:
      return fn(double{});
    case DType::uint8:
      return fn(uint8_t{});
    case DType::int64:
      return fn(int64_t{});
    case DType::bfloat16:
      return fn(bfloat16{});
    default:
      return fn(float{});
  }
}

// The same for float32 and float64; any other dtype is an error that names `tag`.
template <class Fn>
decltype(auto) dispatch_floating(DType dtype, const char* tag, Fn&& fn) {
  SIGMA_CHECK(is_floating(compute_dtype(dtype)) && dtype != DType::bfloat16, tag,
              "expected float32 or float64, got {}", name_of(dtype));
  if (dtype == DType::float64) return fn(double{});
  return fn(float{});
}

// The same with bfloat16: for what flows through a network in mixed precision.
template <class Fn>
decltype(auto) dispatch_stored(DType dtype, const char* tag, Fn&& fn) {
  if (dtype == DType::bfloat16) return fn(bfloat16{});
  return dispatch_floating(dtype, tag, fn);
}

}  // namespace sigma
