// How an operation walks over a result and up to three operands that are stretched to it: NumPy's
// broadcasting, without writing the stretched operands out.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "core/kernels/denormals.h"
#include "core/parallel.h"

namespace sigma::kernels {

constexpr int kOperands = 3;
using Offsets = std::array<int64_t, kOperands>;

// The result's elements in storage order, outermost dimension first, and each operand's step in every
// dimension: 0 where it repeats. In the innermost dimension steps are 0 or 1. At least one dimension.
struct Walk {
  int rank = 0;
  std::array<int64_t, 8> size{};
  std::array<Offsets, 8> stride{};
};

// A block of a result: `rows` rows of `n` elements, one after another from element `to` on. Operand k starts
// at from[k], goes on by row[k] from row to row and by step[k] from element to element.
struct Block {
  int64_t rows, n, to;
  Offsets from, row, step;
};

inline constexpr int64_t kMapGrain = 32768;  // elements of a task

// Calls fn(block) for blocks that cover the walk, cut by size alone, on the pool. Denormal numbers are kept:
// a result must not depend on whether it was computed in a task.
template <class Fn>
void each_block(const Walk& w, Fn&& fn) {
  const int last = w.rank - 1;
  const auto d = static_cast<size_t>(last);
  const int64_t n = w.size[d], rows = last > 0 ? w.size[d - 1] : 1;
  int64_t outer = 1;
  for (int i = 0; i < last - 1; ++i) outer *= w.size[static_cast<size_t>(i)];
  if (n == 0 || rows == 0 || outer == 0) return;
  const Offsets row = last > 0 ? w.stride[d - 1] : Offsets{};
  const int64_t pieces = (n + kMapGrain - 1) / kMapGrain;
  const int64_t per_task = std::max<int64_t>(1, kMapGrain / n);
  const int64_t groups = (outer * rows + per_task - 1) / per_task;
  auto task = [&](int64_t t) {
    const KeepDenormals keep;
    const int64_t begin = t % pieces * kMapGrain, count = std::min(kMapGrain, n - begin);
    const int64_t end = std::min((t / pieces + 1) * per_task, outer * rows);
    for (int64_t r = t / pieces * per_task; r < end;) {
      Block b{std::min(rows - r % rows, end - r), count, r * n + begin, {}, row, w.stride[d]};
      for (size_t k = 0; k < kOperands; ++k) {
        b.from[k] = r % rows * row[k] + begin * w.stride[d][k];
        int64_t rest = r / rows;
        for (int i = last - 2; i >= 0; rest /= w.size[static_cast<size_t>(i--)])
          b.from[k] += rest % w.size[static_cast<size_t>(i)] * w.stride[static_cast<size_t>(i)][k];
      }
      fn(b);
      r += b.rows;
    }
  };
  if (groups * pieces == 1)
    task(0);
  else
    parallel_for(groups * pieces, task);
}

// The same for n elements one after another: fn(begin, end).
template <class Fn>
void each_range(int64_t n, Fn&& fn) {
  auto task = [&](int64_t begin, int64_t end) {
    const KeepDenormals keep;
    fn(begin, end);
  };
  if (n <= kMapGrain)
    task(0, n);
  else
    parallel_ranges(n, kMapGrain, task);
}

}  // namespace sigma::kernels
