#include "core/broadcast.h"

#include "core/math.h"

namespace sigma {
namespace {

// Dimensions as they lie in memory, outermost first.
std::array<int, Shape::kMaxRank> storage_order(int rank, Layout layout) {
  if (layout == Layout::channels_last) return {0, 2, 3, 1};
  std::array<int, Shape::kMaxRank> order{};
  for (int i = 0; i < rank; ++i) order[static_cast<size_t>(i)] = i;
  return order;
}

Layout layout_of_result(const Shape& shape, const std::vector<Tensor>& operands) {
  for (const Tensor& t : operands)
    if (t.shape() == shape) return t.layout();
  for (const Tensor& t : operands)
    if (t.layout() == Layout::channels_last && shape.rank() == 4) return Layout::channels_last;
  return Layout::contiguous;
}

// The same elements in the result's layout, with as many dimensions as that needs.
Tensor arranged(const Tensor& t, Layout layout) {
  if (layout == Layout::contiguous) return t.contiguous();
  Shape shape;
  for (int i = t.rank(); i < 4; ++i) shape.push_back(1);
  for (int64_t d : t.shape()) shape.push_back(d);
  return (t.rank() == 4 ? t : t.reshape(shape)).to(layout);
}

// Adds a dimension inside those that `w` has; merges it with the last where that is one run through memory.
void add_dimension(kernels::Walk& w, int64_t size, const kernels::Offsets& stride) {
  if (size == 1) return;
  if (w.rank > 0) {
    const auto last = static_cast<size_t>(w.rank - 1);
    bool one_run = true;
    for (size_t k = 0; k < stride.size(); ++k) one_run &= w.stride[last][k] == stride[k] * size;
    if (one_run) {
      w.size[last] *= size;
      w.stride[last] = stride;
      return;
    }
  }
  w.size[static_cast<size_t>(w.rank)] = size;
  w.stride[static_cast<size_t>(w.rank)] = stride;
  ++w.rank;
}

// A walk has at least one dimension.
void finish(kernels::Walk& w) {
  if (w.rank > 0) return;
  w.rank = 1;
  w.size[0] = 1;
  w.stride[0] = {1, 1, 1};
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

Broadcast broadcast(const char* tag, std::vector<Tensor> operands) {
  const Shape shape = operands[0].shape();
  return broadcast(tag, std::move(operands), shape);
}

Broadcast broadcast(const char* tag, std::vector<Tensor> operands, const Shape& shape) {
  Broadcast b;
  b.shape = shape;
  bool equal = true;
  for (const Tensor& t : operands) {
    SIGMA_CHECK(t.defined(), tag, "expected tensors, got an undefined one");
    if (t.shape() == b.shape) continue;
    b.shape = broadcast_shapes(b.shape, t.shape(), tag);
    equal = false;
  }
  b.layout = layout_of_result(b.shape, operands);
  for (Tensor& t : operands)
    if (t.layout() != b.layout) t = arranged(t, b.layout);
  b.operands = std::move(operands);
  if (equal) {
    b.walk.rank = 1;
    b.walk.size[0] = b.shape.numel();
    b.walk.stride[0] = {1, 1, 1};
    return b;
  }
  const int rank = b.shape.rank();
  const auto order = storage_order(rank, b.layout);
  std::array<kernels::Offsets, Shape::kMaxRank> strides{};  // by position in memory
  for (size_t k = 0; k < b.operands.size(); ++k) {
    const Shape& s = b.operands[k].shape();
    int64_t step = 1;
    for (int i = rank - 1; i >= 0; --i) {
      const int d = order[static_cast<size_t>(i)] - (rank - s.rank());
      const int64_t size = d < 0 ? 1 : s[d];
      strides[static_cast<size_t>(i)][k] = size == 1 ? 0 : step;
      step *= size;
    }
  }
  for (int i = 0; i < rank; ++i)
    add_dimension(b.walk, b.shape[order[static_cast<size_t>(i)]], strides[static_cast<size_t>(i)]);
  finish(b.walk);
  return b;
}

kernels::Walk strided_walk(const Shape& shape, const std::vector<int64_t>& strides) {
  kernels::Walk w;
  for (int i = 0; i < shape.rank(); ++i) {
    const int64_t step = strides[static_cast<size_t>(i)];
    add_dimension(w, shape[i], {step, step, step});
  }
  finish(w);
  return w;
}

}  // namespace sigma
