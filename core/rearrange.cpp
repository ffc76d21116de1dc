// The functions of math.h that rearrange, stretch and join tensors of any dtype.
#include <cstring>

#include "core/broadcast.h"
#include "core/kernels/layout.h"
#include "core/math.h"

namespace sigma {
namespace {

// Sizes before, of and after a dimension.
struct Split {
  int64_t outer = 1, size, inner = 1;
};
Split split_at(const Shape& shape, int dim) {
  Split s{1, shape[dim], 1};
  for (int i = 0; i < dim; ++i) s.outer *= shape[i];
  for (int i = dim + 1; i < shape.rank(); ++i) s.inner *= shape[i];
  return s;
}

}  // namespace

Tensor broadcast_to(const Tensor& a, const Shape& shape) {
  if (a.shape() == shape) return a;
  SIGMA_CHECK(broadcast_shapes(a.shape(), shape, "broadcast_to") == shape, "broadcast_to",
              "cannot stretch {} to {}", a.shape().str(), shape.str());
  const Broadcast in = broadcast("broadcast_to", {a}, shape);
  Tensor y = in.result(a.dtype());
  dispatch_any(a.dtype(), [&](auto zero) {
    using T = decltype(zero);
    kernels::copy_walked(in.walk, in.operands[0].data<T>(), y.mutable_data<T>());
  });
  return y;
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
  const kernels::Walk walk = strided_walk(out, strides);
  dispatch_any(a.dtype(), [&](auto zero) {
    using T = decltype(zero);
    kernels::copy_walked(walk, c.data<T>(), y.mutable_data<T>());
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

Tensor slice(const Tensor& a, int dim, int64_t start, int64_t length) {
  dim = normalize_dim(dim, a.rank(), "slice");
  Split s = split_at(a.shape(), dim);
  SIGMA_CHECK(start >= 0 && length >= 0 && start <= s.size && length <= s.size - start, "slice",
              "{} elements from {} are outside 0..{} of {}", length, start, s.size, a.shape().str());
  Shape out = a.shape();
  out[dim] = length;
  Tensor c = a.contiguous(), y = Tensor::empty(out, a.dtype());
  size_t item = size_of(a.dtype()), row = static_cast<size_t>(s.inner) * item;
  std::byte* to = y.mutable_raw();
  for (int64_t o = 0; o < s.outer; ++o)
    std::memcpy(to + static_cast<size_t>(o * length) * row,
                c.raw() + static_cast<size_t>(o * s.size + start) * row, static_cast<size_t>(length) * row);
  return y;
}

Tensor cat(const std::vector<Tensor>& tensors, int dim) {
  SIGMA_CHECK(!tensors.empty(), "cat", "expected at least one tensor");
  dim = normalize_dim(dim, tensors[0].rank(), "cat");
  Shape out = tensors[0].shape();
  out[dim] = 0;
  for (const Tensor& t : tensors) {
    Shape s = t.shape();
    SIGMA_CHECK(s.rank() == out.rank() && t.dtype() == tensors[0].dtype(), "cat",
                "expected tensors alike, got {} and {}", tensors[0].shape().str(), s.str());
    int64_t here = s[dim];
    s[dim] = out[dim];
    SIGMA_CHECK(s == out, "cat", "expected sizes alike but for dimension {}, got {} and {}", dim,
                tensors[0].shape().str(), t.shape().str());
    out[dim] += here;
  }
  Tensor y = Tensor::empty(out, tensors[0].dtype());
  Split s = split_at(out, dim);
  size_t row = static_cast<size_t>(s.inner) * size_of(y.dtype());
  std::byte* to = y.mutable_raw();
  int64_t at = 0;
  for (const Tensor& t : tensors) {
    Tensor c = t.contiguous();
    int64_t length = t.shape()[dim];
    for (int64_t o = 0; o < s.outer; ++o)
      std::memcpy(to + static_cast<size_t>(o * s.size + at) * row,
                  c.raw() + static_cast<size_t>(o * length) * row, static_cast<size_t>(length) * row);
    at += length;
  }
  return y;
}

Tensor stack(const std::vector<Tensor>& tensors, int dim) {
  SIGMA_CHECK(!tensors.empty(), "stack", "expected at least one tensor");
  const Shape& shape = tensors[0].shape();
  const int at = normalize_dim(dim, shape.rank() + 1, "stack");
  Shape thin;
  for (int i = 0; i <= shape.rank(); ++i) {
    if (i == at) thin.push_back(1);
    if (i < shape.rank()) thin.push_back(shape[i]);
  }
  std::vector<Tensor> parts;
  for (const Tensor& t : tensors) {
    SIGMA_CHECK(t.shape() == shape && t.dtype() == tensors[0].dtype(), "stack",
                "expected {} tensors of shape {}, got {} {}", name_of(tensors[0].dtype()), shape.str(),
                name_of(t.dtype()), t.shape().str());
    parts.push_back(t.reshape(thin));
  }
  return cat(parts, at);
}

}  // namespace sigma
