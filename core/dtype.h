// Element types. Training runs in float32, or with activations in bfloat16; float64 serves gradient checks;
// uint8 and int64 hold images and labels.
#pragma once

#include <complex>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "core/bfloat16.h"
#include "core/check.h"

namespace sigma {

enum class DType : uint8_t { float32, float64, uint8, int64, bfloat16, complex64, complex128 };

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
    case DType::complex64:
      return 8;
    case DType::complex128:
      return 16;
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
    case DType::complex64:
      return "complex64";
    case DType::complex128:
      return "complex128";
  }
  return "unknown";
}

constexpr bool is_floating(DType dtype) {
  return dtype == DType::float32 || dtype == DType::float64 || dtype == DType::bfloat16;
}
constexpr bool is_complex(DType dtype) { return dtype == DType::complex64 || dtype == DType::complex128; }
// What linear algebra takes.
constexpr bool is_linalg(DType dtype) {
  return dtype == DType::float32 || dtype == DType::float64 || is_complex(dtype);
}
// The dtype of real and imaginary parts, of norms and of singular values.
constexpr DType real_dtype(DType dtype) {
  return dtype == DType::complex64 ? DType::float32 : dtype == DType::complex128 ? DType::float64 : dtype;
}
// From 1 to the next larger number of linear algebra's types.
constexpr double epsilon_of(DType dtype) { return real_dtype(dtype) == DType::float32 ? 0x1p-23 : 0x1p-52; }
constexpr DType complex_dtype(DType dtype) {
  return real_dtype(dtype) == DType::float32 ? DType::complex64 : DType::complex128;
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
template <>
struct DTypeOf<std::complex<float>> {
  static constexpr DType value = DType::complex64;
};
template <>
struct DTypeOf<std::complex<double>> {
  static constexpr DType value = DType::complex128;
};
template <class T>
inline constexpr DType dtype_of = DTypeOf<T>::value;

template <class T>
struct IsComplex : std::false_type {};
template <class T>
struct IsComplex<std::complex<T>> : std::true_type {};
template <class T>
inline constexpr bool is_complex_type = IsComplex<T>::value;

// Calls fn(T{}) with T the C++ type of `dtype`, which must not be complex.
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
      SIGMA_CHECK(!is_complex(dtype), "dtype", "expected real numbers, got {}; take real() or imag() of them",
                  name_of(dtype));
      return fn(float{});
  }
}

// The same for every dtype.
template <class Fn>
decltype(auto) dispatch_any(DType dtype, Fn&& fn) {
  if (dtype == DType::complex64) return fn(std::complex<float>{});
  if (dtype == DType::complex128) return fn(std::complex<double>{});
  return dispatch_all(dtype, fn);
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

// float32, float64, complex64 and complex128: what linear algebra takes.
template <class Fn>
decltype(auto) dispatch_linalg(DType dtype, const char* tag, Fn&& fn) {
  if (dtype == DType::complex64) return fn(std::complex<float>{});
  if (dtype == DType::complex128) return fn(std::complex<double>{});
  return dispatch_floating(dtype, tag, fn);
}

// What arithmetic takes: those and bfloat16.
template <class Fn>
decltype(auto) dispatch_numeric(DType dtype, const char* tag, Fn&& fn) {
  if (is_complex(dtype)) return dispatch_linalg(dtype, tag, fn);
  return dispatch_stored(dtype, tag, fn);
}

}  // namespace sigma
