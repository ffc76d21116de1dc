// Operands stretched to one shape: how the functions of math.h hand them to the kernels, which repeat a
// smaller operand in place of writing it out.
#pragma once

#include <vector>

#include "core/kernels/walk.h"
#include "core/tensor.h"

namespace sigma {

struct Broadcast {
  Shape shape;                   // of the result
  Layout layout;                 // of the result
  std::vector<Tensor> operands;  // rearranged into that layout, not stretched
  kernels::Walk walk;

  Tensor result(DType dtype) const { return Tensor::empty(shape, dtype, layout); }
};

// Up to three operands, to the shape that they have together or to a given one. The result's layout is that
// of the first operand that has its shape; when none has, channels_last if any operand is. Throws with `tag`
// where shapes do not go together.
Broadcast broadcast(const char* tag, std::vector<Tensor> operands);
Broadcast broadcast(const char* tag, std::vector<Tensor> operands, const Shape& shape);

// The walk of a copy that permutes dimensions: the result's sizes, and the source's step in each.
kernels::Walk strided_walk(const Shape& shape, const std::vector<int64_t>& strides);

}  // namespace sigma
