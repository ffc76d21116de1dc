// The functions of math.h that reduce dimensions.
#include <array>
#include <cmath>

#include "core/kernels/reduce.h"
#include "core/math.h"

namespace sigma {
namespace {

std::vector<bool> marked(const char* tag, const Tensor& a, const std::vector<int>& dims) {
  SIGMA_CHECK(a.defined(), tag, "expected a tensor, got an undefined one");
  std::vector<bool> reduced(static_cast<size_t>(a.rank()), dims.empty());
  for (int d : dims) reduced[static_cast<size_t>(normalize_dim(d, a.rank(), tag))] = true;
  return reduced;
}
Shape shape_without(const Shape& shape, const std::vector<bool>& reduced, bool keepdim) {
  Shape out;
  for (int i = 0; i < shape.rank(); ++i) {
    const bool r = reduced[static_cast<size_t>(i)];
    if (!r || keepdim) out.push_back(r ? 1 : shape[i]);
  }
  return out;
}

// A tensor's dimensions in the order of memory; neighbours that are both kept or both reduced are one.
class Plan {
 public:
  Plan(const Tensor& a, const std::vector<bool>& reduced) {
    const bool last = a.layout() == Layout::channels_last;
    for (int i = 0; i < a.rank(); ++i) {
      const int d = last ? std::array{0, 2, 3, 1}[static_cast<size_t>(i)] : i;
      add(a.shape()[d], reduced[static_cast<size_t>(d)]);
    }
  }
  // An innermost dimension that stays, as real and imaginary part.
  void add_kept(int64_t size) { add(size, false); }

  bool done() const {
    for (const Group& g : groups_)
      if (g.reduced) return false;
    return true;
  }
  bool is_last() const {
    int left = 0;
    for (const Group& g : groups_) left += g.reduced;
    return left <= 1;
  }
  struct Step {
    int64_t outer = 1, size = 1, inner = 1;
  };
  // Takes the innermost group that is to be reduced out of the plan; a step of size 1 when there is none.
  Step next() {
    Step s;
    size_t at = groups_.size();
    for (size_t i = 0; i < groups_.size(); ++i)
      if (groups_[i].reduced) at = i;
    for (size_t i = 0; i < groups_.size(); ++i) {
      if (i == at)
        s.size = groups_[i].size;
      else
        (i < at ? s.outer : s.inner) *= groups_[i].size;
    }
    std::vector<Group> left = std::move(groups_);
    groups_.clear();
    for (size_t i = 0; i < left.size(); ++i)
      if (i != at) add(left[i].size, left[i].reduced);
    return s;
  }

 private:
  struct Group {
    int64_t size;
    bool reduced;
  };
  void add(int64_t size, bool reduced) {
    if (size == 1) return;
    if (!groups_.empty() && groups_.back().reduced == reduced)
      groups_.back().size *= size;
    else
      groups_.push_back({size, reduced});
  }
  std::vector<Group> groups_;
};

// The sum of x by the plan into y; X real, intermediate sums in float64 or int64.
template <class X, class Y>
void sum_by(Plan plan, const X* x, Y* y) {
  using S = kernels::SumOf<X>;
  const bool one_step = plan.is_last();
  Plan::Step s = plan.next();
  if (one_step) return kernels::sum(s.outer, s.size, s.inner, x, y);
  Tensor partial = Tensor::empty({s.outer * s.inner}, dtype_of<S>);
  kernels::sum(s.outer, s.size, s.inner, x, partial.mutable_data<S>());
  sum_by<S, Y>(std::move(plan), partial.data<S>(), y);
}

// Tensor of a reduction's result, with sizes of one where it was reduced: as the elements lie in memory.
Tensor kept_result(const Tensor& a, const std::vector<bool>& reduced, DType dtype) {
  return Tensor::empty(shape_without(a.shape(), reduced, true), dtype, a.layout());
}

Tensor extreme(const char* tag, bool largest, const Tensor& a, const std::vector<int>& dims, bool keepdim) {
  const std::vector<bool> reduced = marked(tag, a, dims);
  SIGMA_CHECK(!is_complex(a.dtype()), tag, "expected real numbers, got {}", name_of(a.dtype()));
  return dispatch_all(a.dtype(), [&](auto zero) {
    using T = decltype(zero);
    Tensor y = kept_result(a, reduced, a.dtype());
    SIGMA_CHECK(a.numel() > 0 || y.numel() == 0, tag, "expected at least one element, got shape {}",
                a.shape().str());
    Plan plan(a, reduced);
    Tensor from = a;
    while (true) {
      const bool last = plan.is_last();
      const Plan::Step s = plan.next();
      Tensor to = last ? y : Tensor::empty({s.outer * s.inner}, a.dtype());
      kernels::extremes<T>(largest, s.outer, s.size, s.inner, from.data<T>(), to.mutable_data<T>(), nullptr);
      if (last) break;
      from = to;
    }
    return y.reshape(shape_without(a.shape(), reduced, keepdim));
  });
}

ValuesAndIndices extreme_of_dim(const char* tag, bool largest, const Tensor& a, int dim, bool keepdim,
                                bool values) {
  const std::vector<bool> reduced = marked(tag, a, {dim});
  dim = normalize_dim(dim, a.rank(), tag);
  SIGMA_CHECK(!is_complex(a.dtype()), tag, "expected real numbers, got {}", name_of(a.dtype()));
  SIGMA_CHECK(a.shape()[dim] > 0, tag, "expected at least one element along dimension {}, got shape {}", dim,
              a.shape().str());
  return dispatch_all(a.dtype(), [&](auto zero) {
    using T = decltype(zero);
    ValuesAndIndices y;
    y.indices = kept_result(a, reduced, DType::int64);
    if (values) y.values = kept_result(a, reduced, a.dtype());
    const Plan::Step s = Plan(a, reduced).next();
    kernels::extremes<T>(largest, s.outer, s.size, s.inner, a.data<T>(),
                         values ? y.values.mutable_data<T>() : nullptr, y.indices.mutable_data<int64_t>());
    const Shape shape = shape_without(a.shape(), reduced, keepdim);
    y.indices = y.indices.reshape(shape);
    if (values) y.values = y.values.reshape(shape);
    return y;
  });
}

// For what is computed in float32 where values are kept in bfloat16.
template <class Fn>
Tensor widened(const char* tag, const Tensor& a, Fn&& fn) {
  SIGMA_CHECK(a.defined(), tag, "expected a tensor, got an undefined one");
  SIGMA_CHECK(is_floating(a.dtype()), tag, "expected floating-point numbers, got {}", name_of(a.dtype()));
  return fn(a.to(compute_dtype(a.dtype()))).to(a.dtype());
}

}  // namespace

Tensor sum(const Tensor& a, const std::vector<int>& dims, bool keepdim) {
  const std::vector<bool> reduced = marked("sum", a, dims);
  const bool whole = a.dtype() == DType::uint8 || a.dtype() == DType::int64;
  Tensor y = kept_result(a, reduced, whole ? DType::int64 : a.dtype());
  Plan plan(a, reduced);
  dispatch_any(a.dtype(), [&](auto zero) {
    using T = decltype(zero);
    if constexpr (is_complex_type<T>) {
      using R = typename T::value_type;
      plan.add_kept(2);
      sum_by(plan, reinterpret_cast<const R*>(a.data<T>()), reinterpret_cast<R*>(y.mutable_data<T>()));
    } else if constexpr (std::is_integral_v<T>) {
      sum_by(plan, a.data<T>(), y.mutable_data<int64_t>());
    } else {
      sum_by(plan, a.data<T>(), y.mutable_data<T>());
    }
  });
  return y.reshape(shape_without(a.shape(), reduced, keepdim));
}

Tensor mean(const Tensor& a, const std::vector<int>& dims, bool keepdim) {
  SIGMA_CHECK(is_floating(a.dtype()) || is_complex(a.dtype()), "mean",
              "expected floating-point or complex numbers, got {}", name_of(a.dtype()));
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

Tensor amax(const Tensor& a, const std::vector<int>& dims, bool keepdim) {
  return extreme("amax", true, a, dims, keepdim);
}
Tensor amin(const Tensor& a, const std::vector<int>& dims, bool keepdim) {
  return extreme("amin", false, a, dims, keepdim);
}
ValuesAndIndices max(const Tensor& a, int dim, bool keepdim) {
  return extreme_of_dim("max", true, a, dim, keepdim, true);
}
ValuesAndIndices min(const Tensor& a, int dim, bool keepdim) {
  return extreme_of_dim("min", false, a, dim, keepdim, true);
}
Tensor argmax(const Tensor& a, int dim, bool keepdim) {
  return extreme_of_dim("argmax", true, a, dim, keepdim, false).indices;
}
Tensor argmin(const Tensor& a, int dim, bool keepdim) {
  return extreme_of_dim("argmin", false, a, dim, keepdim, false).indices;
}

Tensor softmax(const Tensor& a, int dim) {
  return widened("softmax", a, [dim](const Tensor& x) {
    normalize_dim(dim, x.rank(), "softmax");
    if (x.numel() == 0) return x;
    Tensor e = exp(sub(x, amax(x, {dim}, true)));
    return div(e, sum(e, {dim}, true));
  });
}

Tensor log_softmax(const Tensor& a, int dim) {
  return widened("log_softmax", a, [dim](const Tensor& x) {
    normalize_dim(dim, x.rank(), "log_softmax");
    if (x.numel() == 0) return x;
    Tensor d = sub(x, amax(x, {dim}, true));
    return sub(d, log(sum(exp(d), {dim}, true)));
  });
}

Tensor logsumexp(const Tensor& a, const std::vector<int>& dims, bool keepdim) {
  return widened("logsumexp", a, [&](const Tensor& x) {
    Tensor top = amax(x, dims, true);
    // Where the largest is infinite so is the result, and a - m would be NaN.
    const Tensor finite = lt(abs(top), kUnbounded);
    top = where(finite, top, Tensor::zeros({}, x.dtype()));
    Tensor y = add(log(sum(exp(sub(x, top)), dims, true)), top);
    return y.reshape(shape_without(a.shape(), marked("logsumexp", a, dims), keepdim));
  });
}

double max_abs_difference(const Tensor& a, const Tensor& b) {
  const DType wide = is_complex(a.dtype()) || is_complex(b.dtype()) ? DType::complex128 : DType::float64;
  const Tensor d = abs(sub(a.to(wide), b.to(wide)));
  return d.numel() == 0 ? 0 : amax(d).item();
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

}  // namespace sigma
