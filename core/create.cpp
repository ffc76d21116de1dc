// Tensors of numbers in a row and of random numbers.
#include <cmath>

#include "core/rng.h"
#include "core/tensor.h"

namespace sigma {
namespace {

// fn(i) for every element, in float64, rounded once.
template <class Fn>
Tensor generated(const char* tag, const Shape& shape, DType dtype, Fn&& fn) {
  SIGMA_CHECK(!is_complex(dtype), tag, "expected a real dtype, got {}", name_of(dtype));
  Tensor t = Tensor::empty(shape, dtype);
  dispatch_all(dtype, [&](auto zero) {
    using T = decltype(zero);
    T* p = t.mutable_data<T>();
    for (int64_t i = 0; i < t.numel(); ++i) p[i] = static_cast<T>(fn(i));
  });
  return t;
}

void expect_floating(const char* tag, DType dtype) {
  SIGMA_CHECK(is_floating(dtype), tag, "expected float32, float64 or bfloat16, got {}", name_of(dtype));
}

}  // namespace

Tensor Tensor::arange(int64_t count) {
  SIGMA_CHECK(count >= 0, "arange", "expected a count of at least 0, got {}", count);
  Tensor t = empty({count}, DType::int64);
  int64_t* p = t.mutable_data<int64_t>();
  for (int64_t i = 0; i < count; ++i) p[i] = i;
  return t;
}

Tensor Tensor::arange(double start, double end, double step, DType dtype) {
  const double count = std::ceil((end - start) / step);
  SIGMA_CHECK(step != 0 && std::fabs(count) < 0x1p62, "arange",
              "expected finite numbers and a step other than 0, got {} to {} by {}", start, end, step);
  SIGMA_CHECK(count >= 0, "arange", "a step of {} does not lead from {} to {}", step, start, end);
  return generated("arange", {static_cast<int64_t>(count)}, dtype,
                   [=](int64_t i) { return start + static_cast<double>(i) * step; });
}

Tensor Tensor::linspace(double start, double end, int64_t count, DType dtype) {
  SIGMA_CHECK(count >= 0, "linspace", "expected a count of at least 0, got {}", count);
  const double step = count > 1 ? (end - start) / static_cast<double>(count - 1) : 0;
  return generated("linspace", {count}, dtype, [=](int64_t i) {  // from both ends, so that both are exact
    return 2 * i < count ? start + static_cast<double>(i) * step
                         : end - static_cast<double>(count - 1 - i) * step;
  });
}

Tensor Tensor::eye(int64_t n, DType dtype) {
  SIGMA_CHECK(n >= 0, "eye", "expected a size of at least 0, got {}", n);
  Tensor t = zeros({n, n}, dtype);
  dispatch_any(dtype, [&](auto zero) {
    using T = decltype(zero);
    T* p = t.mutable_data<T>();
    for (int64_t i = 0; i < n; ++i) p[i * (n + 1)] = static_cast<T>(1.0f);
  });
  return t;
}

Tensor Tensor::randn(const Shape& shape, uint64_t seed, DType dtype) {
  Rng rng(seed, "randn");
  return randn(shape, rng, dtype);
}
Tensor Tensor::randn(const Shape& shape, Rng& rng, DType dtype) {
  expect_floating("randn", dtype);
  return generated("randn", shape, dtype, [&](int64_t) { return rng.next_normal(); });
}

Tensor Tensor::rand(const Shape& shape, uint64_t seed, DType dtype) {
  Rng rng(seed, "rand");
  return rand(shape, rng, dtype);
}
Tensor Tensor::rand(const Shape& shape, Rng& rng, DType dtype) {
  expect_floating("rand", dtype);
  // Cut to the dtype's digits: rounding to the nearest could give 1.
  const double digits = dtype == DType::float64 ? 0x1p53 : dtype == DType::float32 ? 0x1p24 : 0x1p8;
  return generated("rand", shape, dtype,
                   [&](int64_t) { return std::floor(rng.next_uniform() * digits) / digits; });
}

}  // namespace sigma
