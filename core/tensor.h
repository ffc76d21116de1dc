// Tensor: a handle on Storage with a shape, a dtype and a layout.
//
// Copying a Tensor copies the handle, not the data. Shapes of images are always written (N, C, H, W); a 4-D
// tensor may be stored `channels_last`, that is with C varying fastest, which is how images flow through the
// networks. There are no other strides: slicing and transposing copy.
#pragma once

#include <iosfwd>
#include <memory>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "core/shape.h"
#include "core/storage.h"

namespace sigma {

class Rng;

enum class Layout : uint8_t { contiguous, channels_last };

class Tensor {
 public:
  Tensor() = default;  // undefined: no storage

  // Uninitialised. `layout` channels_last needs four dimensions.
  static Tensor empty(const Shape& shape, DType dtype = DType::float32, Layout layout = Layout::contiguous);
  static Tensor zeros(const Shape& shape, DType dtype = DType::float32, Layout layout = Layout::contiguous);
  static Tensor full(const Shape& shape, double value, DType dtype = DType::float32);
  static Tensor ones(const Shape& shape, DType dtype = DType::float32) { return full(shape, 1.0, dtype); }
  static Tensor scalar(double value, DType dtype = DType::float32) { return full({}, value, dtype); }
  static Tensor empty_like(const Tensor& t) { return empty(t.shape(), t.dtype(), t.layout()); }
  static Tensor zeros_like(const Tensor& t) { return zeros(t.shape(), t.dtype(), t.layout()); }
  template <class T>
  static Tensor from(const std::vector<T>& values, const Shape& shape) {
    SIGMA_CHECK(shape.numel() == static_cast<int64_t>(values.size()), "tensor",
                "expected {} values for shape {}, got {}", shape.numel(), shape.str(), values.size());
    Tensor t = empty(shape, dtype_of<T>);
    std::copy(values.begin(), values.end(), t.mutable_data<T>());
    return t;
  }

  // Numbers 0, 1, ..., count - 1, in int64.
  static Tensor arange(int64_t count);
  // start, start + step, ... up to but without end; `step` is not 0. Each number is rounded once.
  static Tensor arange(double start, double end, double step = 1, DType dtype = DType::float32);
  // `count` numbers from start to end, both among them, at equal distances.
  static Tensor linspace(double start, double end, int64_t count, DType dtype = DType::float32);
  static Tensor eye(int64_t n, DType dtype = DType::float32);  // ones on the diagonal of n x n zeros
  // Standard normal numbers, and uniform ones in [0, 1); of any real floating-point dtype. From the stream
  // "randn" or "rand" of a seed, or the next ones of `rng`. Of one seed, tensors of any dtype hold the same
  // numbers but for rounding.
  static Tensor randn(const Shape& shape, uint64_t seed, DType dtype = DType::float32);
  static Tensor randn(const Shape& shape, Rng& rng, DType dtype = DType::float32);
  static Tensor rand(const Shape& shape, uint64_t seed, DType dtype = DType::float32);
  static Tensor rand(const Shape& shape, Rng& rng, DType dtype = DType::float32);

  bool defined() const { return storage_ != nullptr; }
  const Shape& shape() const { return shape_; }
  int rank() const { return shape_.rank(); }
  int64_t dim(int i) const { return shape_[normalize_dim(i, rank(), "tensor")]; }
  int64_t numel() const { return numel_; }
  DType dtype() const { return dtype_; }
  Layout layout() const { return layout_; }
  size_t bytes() const { return static_cast<size_t>(numel_) * size_of(dtype_); }

  // Elements in storage order. T must be the C++ type of dtype().
  template <class T>
  const T* data() const {
    expect_type(dtype_of<T>);
    return reinterpret_cast<const T*>(storage_->data());
  }
  // The same for writing; counts as a change of the tensor.
  template <class T>
  T* mutable_data() {
    expect_type(dtype_of<T>);
    storage_->bump_version();
    return reinterpret_cast<T*>(storage_->data());
  }
  const std::byte* raw() const {
    expect_defined();
    return storage_->data();
  }
  std::byte* mutable_raw() {
    expect_defined();
    storage_->bump_version();
    return storage_->data();
  }

  uint64_t version() const { return storage_ ? storage_->version() : 0; }
  bool shares_storage(const Tensor& other) const { return storage_ == other.storage_; }
  bool is_sole_owner() const { return storage_.use_count() == 1; }  // nobody else sees what is written

  // Same elements in row-major order of the written shape; -1 stands for one size to be inferred. Shares the
  // storage.
  Tensor reshape(const std::vector<int64_t>& dims) const;
  Tensor reshape(const Shape& shape) const;
  Tensor reshape(std::initializer_list<int64_t> dims) const { return reshape(std::vector<int64_t>(dims)); }
  Tensor clone() const;
  Tensor to(DType dtype) const;    // converts; the same handle when nothing changes
  Tensor to(Layout layout) const;  // rearranges; the same handle when nothing changes
  Tensor contiguous() const { return to(Layout::contiguous); }

  void copy_(const Tensor& source);  // same shape; converts dtype and layout
  void fill_(double value);

  double item() const;                                 // the one element
  double at(const std::vector<int64_t>& index) const;  // one element, any dtype and layout; slow
  std::vector<double> to_vector() const;               // row-major order of the written shape
  std::string str(int64_t max_elements = 64) const;    // in one line, for messages

 private:
  void expect_defined() const { SIGMA_CHECK(defined(), "tensor", "expected a tensor, got an undefined one"); }
  void expect_type(DType asked) const {
    expect_defined();
    SIGMA_CHECK(asked == dtype_, "tensor", "expected {} elements, the tensor holds {}", name_of(asked),
                name_of(dtype_));
  }
  std::shared_ptr<Storage> storage_;
  Shape shape_;
  int64_t numel_ = 0;
  DType dtype_ = DType::float32;
  Layout layout_ = Layout::contiguous;
};

// As PyTorch prints tensors: four digits behind the point, in columns, lines of 80 characters, of more than
// 1000 elements the first and last three in each dimension; then shape and dtype.
//
//   tensor([[1.0000, 2.5000],
//           [3.0000, 4.0000]], shape=(2, 2), dtype=float32)
//
// `suffix` is put before the closing bracket.
std::string to_string(const Tensor& t, const std::string& suffix = "");
std::ostream& operator<<(std::ostream& out, const Tensor& t);

}  // namespace sigma
