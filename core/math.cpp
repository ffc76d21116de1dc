#include "core/math.h"

#include <cstring>

#include "core/kernels/gemm.h"

namespace sigma {

Tensor matmul(const Tensor& a, const Tensor& b) {
  SIGMA_CHECK(a.dtype() == b.dtype(), "matmul", "expected one dtype, got {} and {}", name_of(a.dtype()),
              name_of(b.dtype()));
  SIGMA_CHECK(a.rank() >= 2 && b.rank() >= 2 && a.dim(-1) == b.dim(-2), "matmul", "cannot multiply {} by {}",
              a.shape().str(), b.shape().str());
  int64_t m = a.dim(-2), k = a.dim(-1), n = b.dim(-1);
  const Shape& lead = a.rank() >= b.rank() ? a.shape() : b.shape();
  Shape out;
  for (int i = 0; i < lead.rank() - 2; ++i) out.push_back(lead[i]);
  int64_t batch = out.numel();
  out.push_back(m);
  out.push_back(n);
  int64_t step_a = a.rank() == 2 ? 0 : m * k, step_b = b.rank() == 2 ? 0 : k * n;
  if (a.rank() > 2 && b.rank() > 2)
    for (int i = 0; i < lead.rank() - 2; ++i)
      SIGMA_CHECK(a.rank() == b.rank() && a.shape()[i] == b.shape()[i], "matmul",
                  "leading sizes of {} and {} differ", a.shape().str(), b.shape().str());
  return dispatch_linalg(a.dtype(), "matmul", [&](auto zero) {
    using T = decltype(zero);
    using kernels::Trans;
    Tensor ca = a.contiguous(), cb = b.contiguous(), y = Tensor::empty(out, a.dtype());
    const T *pa = ca.data<T>(), *pb = cb.data<T>();
    T* py = y.mutable_data<T>();
    for (int64_t i = 0; i < batch; ++i)
      kernels::parallel_gemm(Trans::no, Trans::no, m, n, k, T(1), pa + i * step_a, k, pb + i * step_b, n,
                             T(0), py + i * m * n, n);
    return y;
  });
}

bool identical(const Tensor& a, const Tensor& b) {
  if (!(a.shape() == b.shape()) || a.dtype() != b.dtype()) return false;
  return std::memcmp(a.raw(), b.to(a.layout()).raw(), a.bytes()) == 0;
}

}  // namespace sigma
