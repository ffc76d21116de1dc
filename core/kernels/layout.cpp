#include "core/kernels/layout.h"

#include <algorithm>
#include <complex>

#include "core/parallel.h"

namespace sigma::kernels {

template <class T>
void transpose_batched(const T* from, int64_t batch, int64_t rows, int64_t cols, T* to) {
  constexpr int64_t kTile = 16;  // both a tile's source and target lines stay in L1
  int64_t size = rows * cols;
  if (size == 0) return;  // of (0, 2^62) the loops would still walk the columns
  parallel_ranges(batch, std::max<int64_t>(1, 65536 / std::max<int64_t>(1, size)),
                  [&](int64_t b0, int64_t b1) {
                    for (int64_t b = b0; b < b1; ++b)
                      for (int64_t i0 = 0; i0 < rows; i0 += kTile)
                        for (int64_t j0 = 0; j0 < cols; j0 += kTile)
                          for (int64_t j = j0; j < std::min(j0 + kTile, cols); ++j)
                            for (int64_t i = i0; i < std::min(i0 + kTile, rows); ++i)
                              to[b * size + j * rows + i] = from[b * size + i * cols + j];
                  });
}

template <class T>
void copy_walked(const Walk& w, const T* from, T* to) {
  // Transposed matrices, as they are most of the time: result [batch][cols][rows].
  if (w.rank == 2 || w.rank == 3) {
    const auto last = static_cast<size_t>(w.rank - 1);
    const int64_t rows = w.size[last], cols = w.size[last - 1];
    const bool packed = w.rank == 2 || w.stride[0][0] == rows * cols;
    if (packed && w.stride[last][0] == cols && w.stride[last - 1][0] == 1)
      return transpose_batched(from, w.rank == 2 ? 1 : w.size[0], rows, cols, to);
  }
  each_block(w, [&](const Block& k) {
    for (int64_t r = 0; r < k.rows; ++r) {
      const T* row = from + k.from[0] + r * k.row[0];
      T* out = to + k.to + r * k.n;
      for (int64_t i = 0; i < k.n; ++i) out[i] = row[i * k.step[0]];
    }
  });
}

#define SIGMA_INSTANTIATE(T)                                                \
  template void transpose_batched(const T*, int64_t, int64_t, int64_t, T*); \
  template void copy_walked(const Walk&, const T*, T*);
SIGMA_INSTANTIATE(float)
SIGMA_INSTANTIATE(double)
SIGMA_INSTANTIATE(bfloat16)
SIGMA_INSTANTIATE(uint8_t)
SIGMA_INSTANTIATE(int64_t)
SIGMA_INSTANTIATE(std::complex<float>)
SIGMA_INSTANTIATE(std::complex<double>)
#undef SIGMA_INSTANTIATE

}  // namespace sigma::kernels
