// The complex part of math.h.
#include <cmath>

#include "core/math.h"

namespace sigma {
namespace {

// fn of every element, with a result of real or complex type.
template <class Fn>
Tensor map_complex(const Tensor& a, DType dtype, Fn fn) {
  Tensor y = Tensor::empty(a.shape(), dtype, a.layout());
  dispatch_linalg(a.dtype(), "complex", [&](auto zero) {
    using T = decltype(zero);
    if constexpr (is_complex_type<T>) {
      using To = decltype(fn(T{}));
      const T* from = a.data<T>();
      To* to = y.mutable_data<To>();
      for (int64_t i = 0; i < a.numel(); ++i) to[i] = fn(from[i]);
    }
  });
  return y;
}

}  // namespace

Tensor complex(const Tensor& re, const Tensor& im) {
  SIGMA_CHECK(re.dtype() == im.dtype() && (re.dtype() == DType::float32 || re.dtype() == DType::float64),
              "complex", "expected two float32 or two float64 tensors, got {} and {}", name_of(re.dtype()),
              name_of(im.dtype()));
  SIGMA_CHECK(re.shape() == im.shape(), "complex", "expected equal shapes, got {} and {}", re.shape().str(),
              im.shape().str());
  Tensor other = im.to(re.layout()), y = Tensor::empty(re.shape(), complex_dtype(re.dtype()), re.layout());
  dispatch_floating(re.dtype(), "complex", [&](auto zero) {
    using R = decltype(zero);
    const R *x = re.data<R>(), *z = other.data<R>();
    std::complex<R>* to = y.mutable_data<std::complex<R>>();
    for (int64_t i = 0; i < re.numel(); ++i) to[i] = {x[i], z[i]};
  });
  return y;
}

Tensor real(const Tensor& a) {
  if (!is_complex(a.dtype())) return a;
  return map_complex(a, real_dtype(a.dtype()), [](auto z) { return z.real(); });
}

Tensor imag(const Tensor& a) {
  if (!is_complex(a.dtype())) return Tensor::zeros_like(a);
  return map_complex(a, real_dtype(a.dtype()), [](auto z) { return z.imag(); });
}

Tensor conj(const Tensor& a) {
  if (!is_complex(a.dtype())) return a;
  return map_complex(a, a.dtype(), [](auto z) { return std::conj(z); });
}

Tensor complex_abs(const Tensor& a) {
  return map_complex(a, real_dtype(a.dtype()), [](auto z) { return std::abs(z); });
}

}  // namespace sigma
