// How the optimizers' kernels go over all parameters of a network in one parallel loop: small parameters
// share a task, large ones are cut. Where depends on the sizes alone, and every element is computed by
// itself, so the bits of an update depend on no number of threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/parallel.h"

namespace sigma::kernels {

// Calls fn(parameter, begin, end) for ranges that cover parameters[i].n elements of each of them once.
template <class Parameter, class Fn>
void for_each_range(const Parameter* parameters, int64_t count, Fn&& fn) {
  constexpr int64_t kGrain = 32768;  // elements of a task
  struct Piece {
    int64_t parameter, begin, end;
  };
  std::vector<Piece> pieces;
  std::vector<int64_t> tasks = {0};  // first piece of each
  int64_t filled = 0;
  for (int64_t i = 0; i < count; ++i)
    for (int64_t begin = 0; begin < parameters[i].n; begin += kGrain) {
      int64_t end = std::min(begin + kGrain, parameters[i].n);
      pieces.push_back({i, begin, end});
      filled += end - begin;
      if (filled < kGrain) continue;
      tasks.push_back(static_cast<int64_t>(pieces.size()));
      filled = 0;
    }
  if (tasks.back() != static_cast<int64_t>(pieces.size()))
    tasks.push_back(static_cast<int64_t>(pieces.size()));
  parallel_for(static_cast<int64_t>(tasks.size()) - 1, [&](int64_t task) {
    auto t = static_cast<size_t>(task);
    for (int64_t i = tasks[t]; i < tasks[t + 1]; ++i) {
      const Piece& piece = pieces[static_cast<size_t>(i)];
      fn(parameters[piece.parameter], piece.begin, piece.end);
    }
  });
}

}  // namespace sigma::kernels
