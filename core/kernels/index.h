// Picking elements by index, and adding to picked ones.
#pragma once

#include <array>
#include <cstdint>

namespace sigma::kernels {

// index has `rank` dimensions of `size`, of which `dim` is the one along which a is indexed; `stride` are a's
// steps in all of them. Every index is within a.
struct IndexSize {
  int rank, dim;
  std::array<int64_t, 8> size, stride;
};

// y[..., i, ...] = a[..., index[..., i, ...], ...]
template <class T>
void gather(const IndexSize& s, const T* a, const int64_t* index, T* y);
// a[..., index[..., i, ...], ...] += source[..., i, ...], in the order of i.
template <class T>
void scatter_add(const IndexSize& s, const int64_t* index, const T* source, T* a);

}  // namespace sigma::kernels
