#include "core/math.h"

#include <cmath>
#include <cstring>

#include "core/kernels/elementwise.h"
#include "core/kernels/gemm.h"

namespace sigma {
namespace {

// Element strides of `shape` stretched to `rank` dimensions; 0 where it is broadcast.
std::vector<int64_t> broadcast_strides(const Shape& shape, const Shape& out) {
  std::vector<int64_t> strides(static_cast<size_t>(out.rank()), 0);
  int64_t stride = 1;
  for (int i = shape.rank() - 1, o = out.rank() - 1; i >= 0; --i, --o) {
    strides[static_cast<size_t>(o)] = shape[i] == 1 && out[o] != 1 ? 0 : stride;
    stride *= shape[i];
  }
  return strides;
}

// Walks the rows (all dimensions but the last) of `shape`; fn(a offset, b offset, out offset) for each.
template <class Fn>
void each_row(const Shape& shape, const std::vector<int64_t>& sa, const std::vector<int64_t>& sb, Fn&& fn) {
  int rank = shape.rank();
  int64_t row = rank ? shape[rank - 1] : 1, rows = row ? shape.numel() / row : 0;
  std::vector<int64_t> index(static_cast<size_t>(rank), 0);
  int64_t a = 0, b = 0;
  for (int64_t r = 0; r < rows; ++r) {
    fn(a, b, r * row);
    for (int d = rank - 2; d >= 0; --d) {
      auto k = static_cast<size_t>(d);
      a += sa[k], b += sb[k];
      if (++index[k] < shape[d]) break;
      a -= sa[k] * shape[d], b -= sb[k] * shape[d];
      index[k] = 0;
    }
  }
}

template <class Op>
Tensor binary(const char* tag, const Tensor& a, const Tensor& b, Op op) {
  SIGMA_CHECK(a.dtype() == b.dtype(), tag, "expected one dtype, got {} and {}", name_of(a.dtype()),
              name_of(b.dtype()));
  return dispatch_numeric(a.dtype(), tag, [&](auto zero) {
    using T = decltype(zero);
    using C = Compute<T>;
    if (a.shape() == b.shape()) {
      Tensor other = b.to(a.layout());
      Tensor y = Tensor::empty_like(a);
      const T *pa = a.data<T>(), *pb = other.data<T>();
      T* py = y.mutable_data<T>();
      for (int64_t i = 0; i < y.numel(); ++i) py[i] = T(op(C(pa[i]), C(pb[i])));
      return y;
    }
    Shape shape = broadcast_shapes(a.shape(), b.shape(), tag);
    Tensor ca = a.contiguous(), cb = b.contiguous(), y = Tensor::empty(shape, a.dtype());
    auto sa = broadcast_strides(a.shape(), shape), sb = broadcast_strides(b.shape(), shape);
    const T *pa = ca.data<T>(), *pb = cb.data<T>();
    T* py = y.mutable_data<T>();
    int64_t row = shape[-1], step_a = sa.back(), step_b = sb.back();
    each_row(shape, sa, sb, [&](int64_t ia, int64_t ib, int64_t iy) {
      for (int64_t i = 0; i < row; ++i) py[iy + i] = T(op(C(pa[ia + i * step_a]), C(pb[ib + i * step_b])));
    });
    return y;
  });
}

template <class T, class Op>
Tensor map_values(const Tensor& a, Op op) {
  Tensor y = Tensor::empty_like(a);
  const T* pa = a.data<T>();
  T* py = y.mutable_data<T>();
  for (int64_t i = 0; i < y.numel(); ++i) py[i] = T(op(Compute<T>(pa[i])));
  return y;
}
// Of real values, and of complex ones too.
template <class Op>
Tensor unary(const char* tag, const Tensor& a, Op op) {
  return dispatch_stored(a.dtype(), tag, [&](auto zero) { return map_values<decltype(zero)>(a, op); });
}
template <class Op>
Tensor unary_numeric(const char* tag, const Tensor& a, Op op) {
  return dispatch_numeric(a.dtype(), tag, [&](auto zero) { return map_values<decltype(zero)>(a, op); });
}

}  // namespace

Shape broadcast_shapes(const Shape& a, const Shape& b, const char* tag) {
  int rank = std::max(a.rank(), b.rank());
  Shape out;
  for (int i = 0; i < rank; ++i) {
    int64_t da = i < rank - a.rank() ? 1 : a[i - (rank - a.rank())];
    int64_t db = i < rank - b.rank() ? 1 : b[i - (rank - b.rank())];
    SIGMA_CHECK(da == db || da == 1 || db == 1, tag, "shapes {} and {} do not broadcast", a.str(), b.str());
    out.push_back(da == 1 ? db : da);
  }
  return out;
}

Tensor add(const Tensor& a, const Tensor& b) {
  if (a.shape() == b.shape() && a.dtype() == b.dtype() && is_floating(a.dtype())) {
    Tensor other = b.to(a.layout()), y = Tensor::empty_like(a);
    dispatch_stored(a.dtype(), "add", [&](auto zero) {
      using T = decltype(zero);
      kernels::add(a.numel(), a.data<T>(), other.data<T>(), y.mutable_data<T>());
    });
    return y;
  }
  return binary("add", a, b, [](auto x, auto y) { return x + y; });
}
Tensor sub(const Tensor& a, const Tensor& b) {
  return binary("sub", a, b, [](auto x, auto y) { return x - y; });
}
Tensor mul(const Tensor& a, const Tensor& b) {
  return binary("mul", a, b, [](auto x, auto y) { return x * y; });
}
Tensor div(const Tensor& a, const Tensor& b) {
  return binary("div", a, b, [](auto x, auto y) { return x / y; });
}

Tensor scale(const Tensor& a, double factor) {
  return unary_numeric("scale", a, [factor](auto x) { return x * static_cast<decltype(x)>(factor); });
}
Tensor neg(const Tensor& a) {
  return unary_numeric("neg", a, [](auto x) { return -x; });
}
Tensor exp(const Tensor& a) {
  return unary("exp", a, [](auto x) { return std::exp(x); });
}
Tensor log(const Tensor& a) {
  return unary("log", a, [](auto x) { return std::log(x); });
}
Tensor sqrt(const Tensor& a) {
  return unary("sqrt", a, [](auto x) { return std::sqrt(x); });
}
Tensor abs(const Tensor& a) {
  if (is_complex(a.dtype())) return complex_abs(a);
  return unary("abs", a, [](auto x) { return std::fabs(x); });
}
Tensor sign(const Tensor& a) {
  return unary("sign", a, [](auto x) { return static_cast<decltype(x)>((x > 0) - (x < 0)); });
}
Tensor pow(const Tensor& a, double exponent) {
  return unary("pow", a, [exponent](auto x) { return std::pow(x, static_cast<decltype(x)>(exponent)); });
}

void add_(Tensor& a, const Tensor& b) {
  SIGMA_CHECK(a.shape() == b.shape() && a.dtype() == b.dtype(), "add_", "expected {} {}, got {} {}",
              name_of(a.dtype()), a.shape().str(), name_of(b.dtype()), b.shape().str());
  Tensor other = b.to(a.layout());
  dispatch_numeric(a.dtype(), "add_", [&](auto zero) {
    using T = decltype(zero);
    T* pa = a.mutable_data<T>();
    const T* pb = other.data<T>();
    if constexpr (is_complex_type<T>)
      for (int64_t i = 0; i < a.numel(); ++i) pa[i] += pb[i];
    else
      kernels::add(a.numel(), pa, pb, pa);
  });
}

Tensor sum(const Tensor& a, const std::vector<int>& dims, bool keepdim) {
  std::vector<bool> reduced(static_cast<size_t>(a.rank()), dims.empty());
  for (int d : dims) reduced[static_cast<size_t>(normalize_dim(d, a.rank(), "sum"))] = true;
  Shape kept, out;  // kept: rank of a, sizes of one where reduced
  for (int i = 0; i < a.rank(); ++i) {
    bool r = reduced[static_cast<size_t>(i)];
    kept.push_back(r ? 1 : a.shape()[i]);
    if (!r || keepdim) out.push_back(r ? 1 : a.shape()[i]);
  }
  return dispatch_numeric(a.dtype(), "sum", [&](auto zero) {
    using T = decltype(zero);
    using Sum = std::conditional_t<is_complex_type<T>, std::complex<double>, double>;
    Tensor c = a.contiguous(), y = Tensor::empty(out, a.dtype());
    std::vector<Sum> total(static_cast<size_t>(y.numel()), Sum(0));
    auto strides = broadcast_strides(kept, a.shape());
    const T* p = c.data<T>();
    int64_t row = a.rank() ? a.shape()[-1] : 1, step = a.rank() ? strides.back() : 0;
    each_row(a.shape(), strides, strides, [&](int64_t to, int64_t, int64_t from) {
      if (step == 0) {
        Sum s = 0;
        for (int64_t i = 0; i < row; ++i) s += static_cast<Sum>(p[from + i]);
        total[static_cast<size_t>(to)] += s;
      } else {
        for (int64_t i = 0; i < row; ++i)
          total[static_cast<size_t>(to + i * step)] += static_cast<Sum>(p[from + i]);
      }
    });
    T* py = y.mutable_data<T>();
    for (int64_t i = 0; i < y.numel(); ++i) py[i] = static_cast<T>(total[static_cast<size_t>(i)]);
    return y;
  });
}

Tensor mean(const Tensor& a, const std::vector<int>& dims, bool keepdim) {
  Tensor s = sum(a, dims, keepdim);
  double count = s.numel() ? static_cast<double>(a.numel()) / static_cast<double>(s.numel()) : 0;
  return scale(s, 1.0 / count);
}

Tensor sum_to(const Tensor& a, const Shape& shape) {
  if (a.shape() == shape) return a;
  SIGMA_CHECK(broadcast_shapes(shape, a.shape(), "sum_to") == a.shape(), "sum_to", "cannot sum {} to {}",
              a.shape().str(), shape.str());
  std::vector<int> dims;
  int extra = a.rank() - shape.rank();
  for (int i = 0; i < a.rank(); ++i)
    if (i < extra || (shape[i - extra] == 1 && a.shape()[i] != 1)) dims.push_back(i);
  return (dims.empty() ? a : sum(a, dims, true)).reshape(shape);
}

Tensor broadcast_to(const Tensor& a, const Shape& shape) {
  if (a.shape() == shape) return a;
  SIGMA_CHECK(broadcast_shapes(a.shape(), shape, "broadcast_to") == shape, "broadcast_to",
              "cannot stretch {} to {}", a.shape().str(), shape.str());
  return add(a, Tensor::zeros(shape, a.dtype()));
}

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

Tensor permute(const Tensor& a, const std::vector<int>& order) {
  SIGMA_CHECK(static_cast<int>(order.size()) == a.rank(), "permute", "expected {} dimensions, got {}",
              a.rank(), order.size());
  Tensor c = a.contiguous();
  Shape out;
  std::vector<int64_t> strides(order.size()), from(order.size(), 1);
  std::vector<bool> used(order.size(), false);
  for (int i = a.rank() - 2; i >= 0; --i)
    from[static_cast<size_t>(i)] = from[static_cast<size_t>(i + 1)] * a.shape()[i + 1];
  for (size_t i = 0; i < order.size(); ++i) {
    auto d = static_cast<size_t>(normalize_dim(order[i], a.rank(), "permute"));
    SIGMA_CHECK(!used[d], "permute", "dimension {} is named twice", d);
    used[d] = true;
    out.push_back(a.shape()[static_cast<int>(d)]);
    strides[i] = from[d];
  }
  Tensor y = Tensor::empty(out, a.dtype());
  dispatch_any(a.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* p = c.data<T>();
    T* py = y.mutable_data<T>();
    int64_t row = out.rank() ? out[-1] : 1, step = out.rank() ? strides.back() : 0;
    each_row(out, strides, strides, [&](int64_t src, int64_t, int64_t dst) {
      for (int64_t i = 0; i < row; ++i) py[dst + i] = p[src + i * step];
    });
  });
  return y;
}

Tensor transpose(const Tensor& a, int d0, int d1) {
  std::vector<int> order(static_cast<size_t>(a.rank()));
  for (int i = 0; i < a.rank(); ++i) order[static_cast<size_t>(i)] = i;
  std::swap(order[static_cast<size_t>(normalize_dim(d0, a.rank(), "transpose"))],
            order[static_cast<size_t>(normalize_dim(d1, a.rank(), "transpose"))]);
  return permute(a, order);
}

double max_abs_difference(const Tensor& a, const Tensor& b) {
  const DType wide = is_complex(a.dtype()) || is_complex(b.dtype()) ? DType::complex128 : DType::float64;
  Tensor d = abs(sub(a.to(wide), b.to(wide)));
  double worst = 0;
  for (int64_t i = 0; i < d.numel(); ++i) {
    double v = d.data<double>()[i];
    if (v > worst || v != v) worst = v;
    if (v != v) break;
  }
  return worst;
}

double norm2(const Tensor& a) {
  if (is_complex(a.dtype())) return norm2(complex_abs(a));
  return dispatch_floating(a.dtype(), "norm2", [&](auto zero) {
    return std::sqrt(kernels::sum_of_squares(a.data<decltype(zero)>(), a.numel()));
  });
}

bool all_finite(const Tensor& a) {
  return dispatch_stored(a.dtype(), "all_finite",
                         [&](auto zero) { return kernels::all_finite(a.data<decltype(zero)>(), a.numel()); });
}

bool identical(const Tensor& a, const Tensor& b) {
  if (!(a.shape() == b.shape()) || a.dtype() != b.dtype()) return false;
  return std::memcmp(a.raw(), b.to(a.layout()).raw(), a.bytes()) == 0;
}

}  // namespace sigma
