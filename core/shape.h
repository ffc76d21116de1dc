// Shape: up to eight dimensions, held inline. All arithmetic on sizes is checked for overflow.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "core/check.h"

namespace sigma {

inline int64_t checked_mul(int64_t a, int64_t b, const char* tag = "shape") {
  int64_t product;
  SIGMA_CHECK(!__builtin_mul_overflow(a, b, &product), tag, "size {} x {} does not fit 64 bits", a, b);
  return product;
}

class Shape {
 public:
  static constexpr int kMaxRank = 8;

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) { assign(dims.begin(), dims.end()); }
  explicit Shape(const std::vector<int64_t>& dims) { assign(dims.begin(), dims.end()); }

  int rank() const { return rank_; }
  // Negative indices count from the end, as in PyTorch.
  int64_t operator[](int i) const { return dims_[static_cast<size_t>(i < 0 ? i + rank_ : i)]; }
  int64_t& operator[](int i) { return dims_[static_cast<size_t>(i < 0 ? i + rank_ : i)]; }
  const int64_t* begin() const { return dims_.data(); }
  const int64_t* end() const { return dims_.data() + rank_; }
  bool operator==(const Shape& other) const { return std::equal(begin(), end(), other.begin(), other.end()); }

  int64_t numel() const {
    int64_t n = 1;
    for (int64_t d : *this) n = checked_mul(n, d);
    return n;
  }
  void push_back(int64_t dim) {
    SIGMA_CHECK(rank_ < kMaxRank, "shape", "expected at most {} dimensions", kMaxRank);
    SIGMA_CHECK(dim >= 0, "shape", "expected dimensions of at least 0, got {}", dim);
    dims_[static_cast<size_t>(rank_++)] = dim;
  }
  // "(8, 3, 32, 32)"
  std::string str() const {
    std::string s = "(";
    for (int i = 0; i < rank_; ++i) s += (i ? ", " : "") + std::to_string((*this)[i]);
    return s + ")";
  }

 private:
  template <class It>
  void assign(It first, It last) {
    for (; first != last; ++first) push_back(*first);
  }
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

// The dimension index `dim` may be negative; returns it in 0..rank-1 or throws.
inline int normalize_dim(int dim, int rank, const char* tag) {
  SIGMA_CHECK(dim >= -rank && dim < rank, tag, "dimension {} is out of range for {} dimensions", dim, rank);
  return dim < 0 ? dim + rank : dim;
}

}  // namespace sigma
