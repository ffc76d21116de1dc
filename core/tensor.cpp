#include "core/tensor.h"

#include <cstring>

#include "core/kernels/elementwise.h"
#include "core/kernels/layout.h"

namespace sigma {

Tensor Tensor::empty(const Shape& shape, DType dtype, Layout layout) {
  SIGMA_CHECK(layout == Layout::contiguous || shape.rank() == 4, "tensor",
              "channels_last needs 4 dimensions, got {}", shape.str());
  Tensor t;
  t.shape_ = shape;
  t.numel_ = shape.numel();
  t.dtype_ = dtype;
  t.layout_ = layout;
  int64_t bytes = checked_mul(t.numel_, static_cast<int64_t>(size_of(dtype)), "tensor");
  try {
    t.storage_ = std::make_shared<Storage>(static_cast<size_t>(bytes));
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::memory) throw;
    fail(ErrorKind::memory, "memory", "could not allocate {} bytes for a {} tensor of shape {}", bytes,
         name_of(dtype), shape.str());
  }
  return t;
}

Tensor Tensor::zeros(const Shape& shape, DType dtype, Layout layout) {
  Tensor t = empty(shape, dtype, layout);
  std::memset(t.mutable_raw(), 0, t.bytes());
  return t;
}

Tensor Tensor::full(const Shape& shape, double value, DType dtype) {
  Tensor t = empty(shape, dtype);
  t.fill_(value);
  return t;
}

Tensor Tensor::reshape(const std::vector<int64_t>& dims) const {
  expect_defined();
  int64_t known = 1;
  int unknown = -1;
  for (size_t i = 0; i < dims.size(); ++i) {
    if (dims[i] >= 0) {
      known = checked_mul(known, dims[i], "reshape");
    } else {
      SIGMA_CHECK(dims[i] == -1 && unknown < 0, "reshape", "expected sizes of at least 0 and at most one -1");
      unknown = static_cast<int>(i);
    }
  }
  std::vector<int64_t> sizes = dims;
  if (unknown >= 0) {
    SIGMA_CHECK(known > 0 && numel_ % known == 0, "reshape", "{} elements do not divide into rows of {}",
                numel_, known);
    sizes[static_cast<size_t>(unknown)] = numel_ / known;
  }
  return reshape(Shape(sizes));
}

Tensor Tensor::reshape(const Shape& shape) const {
  expect_defined();
  SIGMA_CHECK(shape.numel() == numel_, "reshape", "expected {} elements as in {}, got shape {}", numel_,
              shape_.str(), shape.str());
  if (shape == shape_) return *this;
  Tensor t = contiguous();
  t.shape_ = shape;
  return t;
}

Tensor Tensor::clone() const {
  Tensor t = empty_like(*this);
  std::memcpy(t.mutable_raw(), raw(), bytes());
  return t;
}

Tensor Tensor::to(DType dtype) const {
  if (dtype == dtype_) return *this;
  Tensor t = empty(shape_, dtype, layout_);
  if (dtype == DType::bfloat16 && dtype_ == DType::float32)  // between the layers of mixed precision: fast
    kernels::round(numel_, data<float>(), t.mutable_data<bfloat16>());
  else if (dtype == DType::float32 && dtype_ == DType::bfloat16)
    kernels::convert(numel_, data<bfloat16>(), t.mutable_data<float>());
  else
    t.copy_(*this);
  return t;
}

Tensor Tensor::to(Layout layout) const {
  if (layout == layout_) return *this;
  Tensor t = empty(shape_, dtype_, layout);
  int64_t n = shape_[0], c = shape_[1], hw = shape_[2] * shape_[3];
  dispatch_any(dtype_, [&](auto zero) {
    using T = decltype(zero);
    // One is the transpose of the other: contiguous is [c][hw] an image, channels_last is [hw][c].
    bool last = layout == Layout::channels_last;
    kernels::transpose_batched(data<T>(), n, last ? c : hw, last ? hw : c, t.mutable_data<T>());
  });
  return t;
}

void Tensor::copy_(const Tensor& source) {
  SIGMA_CHECK(source.shape_ == shape_, "copy_", "expected shape {}, got {}", shape_.str(),
              source.shape_.str());
  Tensor s = source.to(layout_);
  SIGMA_CHECK(is_complex(dtype_) || !is_complex(s.dtype_), "copy_",
              "complex values do not convert to {}; take real() or imag() of them", name_of(dtype_));
  dispatch_any(dtype_, [&](auto to_zero) {
    using To = decltype(to_zero);
    To* to = mutable_data<To>();
    dispatch_any(s.dtype_, [&](auto from_zero) {
      using From = decltype(from_zero);
      const From* from = s.data<From>();
      if constexpr (is_complex_type<To>) {
        using R = typename To::value_type;
        for (int64_t i = 0; i < numel_; ++i)
          if constexpr (is_complex_type<From>)
            to[i] = To(static_cast<R>(from[i].real()), static_cast<R>(from[i].imag()));
          else
            to[i] = To(static_cast<R>(from[i]));
      } else if constexpr (!is_complex_type<From>) {
        for (int64_t i = 0; i < numel_; ++i) to[i] = static_cast<To>(from[i]);
      }
    });
  });
}

void Tensor::fill_(double value) {
  dispatch_any(dtype_, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (is_complex_type<T>)
      std::fill_n(mutable_data<T>(), numel_, T(static_cast<typename T::value_type>(value)));
    else
      std::fill_n(mutable_data<T>(), numel_, static_cast<T>(value));
  });
}

double Tensor::item() const {
  expect_defined();
  SIGMA_CHECK(numel_ == 1, "item", "expected one element, got shape {}", shape_.str());
  return dispatch_all(dtype_, [&](auto zero) { return static_cast<double>(data<decltype(zero)>()[0]); });
}

double Tensor::at(const std::vector<int64_t>& index) const {
  expect_defined();
  SIGMA_CHECK(static_cast<int>(index.size()) == rank(), "at", "expected {} indices, got {}", rank(),
              index.size());
  int64_t offset = 0;
  for (int i = 0; i < rank(); ++i) {
    int64_t k = index[static_cast<size_t>(i)];
    SIGMA_CHECK(k >= 0 && k < shape_[i], "at", "index {} of dimension {} is out of range for shape {}", k, i,
                shape_.str());
  }
  if (layout_ == Layout::channels_last) {
    offset = ((index[0] * shape_[2] + index[2]) * shape_[3] + index[3]) * shape_[1] + index[1];
  } else {
    for (int i = 0; i < rank(); ++i) offset = offset * shape_[i] + index[static_cast<size_t>(i)];
  }
  return dispatch_all(dtype_, [&](auto zero) { return static_cast<double>(data<decltype(zero)>()[offset]); });
}

std::vector<double> Tensor::to_vector() const {
  Tensor t = contiguous().to(DType::float64);
  return {t.data<double>(), t.data<double>() + numel_};
}

}  // namespace sigma
