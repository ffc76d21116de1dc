// The functions of math.h that pick elements by index.
#include <cstring>

#include "core/kernels/index.h"
#include "core/math.h"

namespace sigma {
namespace {

// Checks index against a and gives the walk over it.
kernels::IndexSize index_size(const char* tag, const Tensor& a, int dim, const Tensor& index) {
  SIGMA_CHECK(index.dtype() == DType::int64, tag, "expected int64 indices, got {}", name_of(index.dtype()));
  SIGMA_CHECK(index.rank() == a.rank(), tag, "expected indices of {} dimensions as {}, got {}", a.rank(),
              a.shape().str(), index.shape().str());
  kernels::IndexSize s{a.rank(), dim, {}, {}};
  int64_t stride = 1;
  for (int i = a.rank() - 1; i >= 0; --i) {
    SIGMA_CHECK(i == dim || index.shape()[i] <= a.shape()[i], tag,
                "expected indices of at most {} but for dimension {}, got {}", a.shape().str(), dim,
                index.shape().str());
    s.size[static_cast<size_t>(i)] = index.shape()[i];
    s.stride[static_cast<size_t>(i)] = stride;
    stride *= a.shape()[i];
  }
  const int64_t* p = index.data<int64_t>();
  for (int64_t i = 0; i < index.numel(); ++i)
    SIGMA_CHECK(p[i] >= 0 && p[i] < a.shape()[dim], tag, "index {} is outside 0..{} of dimension {} of {}",
                p[i], a.shape()[dim] - 1, dim, a.shape().str());
  return s;
}

int indexed_dim(const char* tag, const Tensor& a, int dim) {
  SIGMA_CHECK(a.defined(), tag, "expected a tensor, got an undefined one");
  SIGMA_CHECK(a.rank() >= 1, tag, "expected at least one dimension, got a scalar");
  return normalize_dim(dim, a.rank(), tag);
}

// A one-dimensional index of slices as one of elements, stretched over the other dimensions of `shape`.
Tensor stretched(const char* tag, const Tensor& index, int dim, const Shape& shape) {
  SIGMA_CHECK(index.rank() == 1, tag, "expected indices of one dimension, got {}", index.shape().str());
  SIGMA_CHECK(index.dtype() == DType::int64, tag, "expected int64 indices, got {}", name_of(index.dtype()));
  Shape thin;
  Shape full = shape;
  for (int i = 0; i < shape.rank(); ++i) thin.push_back(i == dim ? index.numel() : 1);
  full[dim] = index.numel();
  return broadcast_to(index.reshape(thin), full);
}

}  // namespace

Tensor gather(const Tensor& a, int dim, const Tensor& index) {
  dim = indexed_dim("gather", a, dim);
  const Tensor from = a.contiguous(), at = index.contiguous();
  const kernels::IndexSize s = index_size("gather", from, dim, at);
  Tensor y = Tensor::empty(at.shape(), a.dtype());
  dispatch_any(a.dtype(), [&](auto zero) {
    using T = decltype(zero);
    kernels::gather(s, from.data<T>(), at.data<int64_t>(), y.mutable_data<T>());
  });
  return y;
}

Tensor scatter_add(const Tensor& a, int dim, const Tensor& index, const Tensor& source) {
  dim = indexed_dim("scatter_add", a, dim);
  SIGMA_CHECK(source.shape() == index.shape(), "scatter_add", "expected a source of index's shape {}, got {}",
              index.shape().str(), source.shape().str());
  SIGMA_CHECK(source.dtype() == a.dtype(), "scatter_add", "expected one dtype, got {} and {}",
              name_of(a.dtype()), name_of(source.dtype()));
  if (a.dtype() == DType::bfloat16)
    return scatter_add(a.to(DType::float32), dim, index, source.to(DType::float32)).to(DType::bfloat16);
  const Tensor from = source.contiguous(), at = index.contiguous();
  Tensor y = a.contiguous().clone();
  const kernels::IndexSize s = index_size("scatter_add", y, dim, at);
  dispatch_linalg(a.dtype(), "scatter_add", [&](auto zero) {
    using T = decltype(zero);
    kernels::scatter_add(s, at.data<int64_t>(), from.data<T>(), y.mutable_data<T>());
  });
  return y;
}

Tensor index_select(const Tensor& a, int dim, const Tensor& index) {
  dim = indexed_dim("index_select", a, dim);
  SIGMA_CHECK(index.rank() == 1 && index.dtype() == DType::int64, "index_select",
              "expected int64 indices of one dimension, got {} {}", name_of(index.dtype()),
              index.shape().str());
  Shape shape = a.shape();
  shape[dim] = index.numel();
  const Tensor from = a.contiguous();
  Tensor y = Tensor::empty(shape, a.dtype());
  int64_t outer = 1;
  size_t row = size_of(a.dtype());
  for (int i = 0; i < dim; ++i) outer *= shape[i];
  for (int i = dim + 1; i < shape.rank(); ++i) row *= static_cast<size_t>(shape[i]);
  std::byte* to = y.mutable_raw();
  const int64_t* p = index.data<int64_t>();
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t i = 0; i < index.numel(); ++i, to += row) {
      SIGMA_CHECK(p[i] >= 0 && p[i] < a.shape()[dim], "index_select",
                  "index {} is outside 0..{} of dimension {} of {}", p[i], a.shape()[dim] - 1, dim,
                  a.shape().str());
      std::memcpy(to, from.raw() + static_cast<size_t>(o * a.shape()[dim] + p[i]) * row, row);
    }
  return y;
}

Tensor index_add(const Tensor& a, int dim, const Tensor& index, const Tensor& source) {
  dim = indexed_dim("index_add", a, dim);
  const Tensor at = stretched("index_add", index, dim, a.shape());
  SIGMA_CHECK(source.shape() == at.shape(), "index_add", "expected a source of shape {}, got {}",
              at.shape().str(), source.shape().str());
  return scatter_add(a, dim, at, source);
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
