// The functions of math.h that pick elements: maxima, slices, rows.
#include <cstring>

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

Shape without(const Shape& shape, int dim, bool keepdim) {
  Shape out;
  for (int i = 0; i < shape.rank(); ++i) {
    if (i != dim)
      out.push_back(shape[i]);
    else if (keepdim)
      out.push_back(1);
  }
  return out;
}

}  // namespace

Tensor max(const Tensor& a, int dim, bool keepdim) {
  dim = normalize_dim(dim, a.rank(), "max");
  Split s = split_at(a.shape(), dim);
  SIGMA_CHECK(s.size > 0, "max", "expected at least one element along dimension {}, got shape {}", dim,
              a.shape().str());
  return dispatch_stored(a.dtype(), "max", [&](auto zero) {
    using T = decltype(zero);
    Tensor c = a.contiguous(), y = Tensor::empty(without(a.shape(), dim, keepdim), a.dtype());
    const T* p = c.data<T>();
    T* py = y.mutable_data<T>();
    for (int64_t o = 0; o < s.outer; ++o)
      for (int64_t i = 0; i < s.inner; ++i) {
        T best = p[o * s.size * s.inner + i];
        for (int64_t k = 1; k < s.size; ++k) {
          T v = p[(o * s.size + k) * s.inner + i];
          if (v > best || v != v) best = v;
        }
        py[o * s.inner + i] = best;
      }
    return y;
  });
}

Tensor argmax(const Tensor& a, int dim) {
  dim = normalize_dim(dim, a.rank(), "argmax");
  Split s = split_at(a.shape(), dim);
  SIGMA_CHECK(s.size > 0, "argmax", "expected at least one element along dimension {}, got {}", dim,
              a.shape().str());
  return dispatch_stored(a.dtype(), "argmax", [&](auto zero) {
    using T = decltype(zero);
    Tensor c = a.contiguous(), y = Tensor::empty(without(a.shape(), dim, false), DType::int64);
    const T* p = c.data<T>();
    int64_t* py = y.mutable_data<int64_t>();
    for (int64_t o = 0; o < s.outer; ++o)
      for (int64_t i = 0; i < s.inner; ++i) {
        int64_t best = 0;
        for (int64_t k = 1; k < s.size; ++k) {
          T v = p[(o * s.size + k) * s.inner + i], b = p[(o * s.size + best) * s.inner + i];
          if (b == b && (v > b || v != v)) best = k;
        }
        py[o * s.inner + i] = best;
      }
    return y;
  });
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

Tensor index_rows(const Tensor& a, const std::vector<int64_t>& rows) {
  SIGMA_CHECK(a.rank() >= 1, "index_rows", "expected at least one dimension");
  Shape out = a.shape();
  out[0] = static_cast<int64_t>(rows.size());
  Tensor y = Tensor::empty(out, a.dtype(), a.layout());
  size_t row = a.shape()[0] ? a.bytes() / static_cast<size_t>(a.shape()[0]) : 0;
  std::byte* to = y.mutable_raw();
  for (size_t i = 0; i < rows.size(); ++i) {
    SIGMA_CHECK(rows[i] >= 0 && rows[i] < a.shape()[0], "index_rows", "row {} is outside 0..{}", rows[i],
                a.shape()[0] - 1);
    std::memcpy(to + i * row, a.raw() + static_cast<size_t>(rows[i]) * row, row);
  }
  return y;
}

}  // namespace sigma
