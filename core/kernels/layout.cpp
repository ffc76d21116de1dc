#include "core/kernels/layout.h"

#include <algorithm>
#include <complex>

#include "core/parallel.h"

namespace sigma::kernels {

template <class T>
void transpose_batched(const T* from, int64_t batch, int64_t rows, int64_t cols, T* to) {
  constexpr int64_t kTile = 16;  // both a tile's source and target lines stay in L1
  int64_t size = rows * cols;
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

template void transpose_batched(const float*, int64_t, int64_t, int64_t, float*);
template void transpose_batched(const std::complex<float>*, int64_t, int64_t, int64_t, std::complex<float>*);
template void transpose_batched(const std::complex<double>*, int64_t, int64_t, int64_t,
                                std::complex<double>*);
template void transpose_batched(const bfloat16*, int64_t, int64_t, int64_t, bfloat16*);
template void transpose_batched(const double*, int64_t, int64_t, int64_t, double*);
template void transpose_batched(const uint8_t*, int64_t, int64_t, int64_t, uint8_t*);
template void transpose_batched(const int64_t*, int64_t, int64_t, int64_t, int64_t*);

}  // namespace sigma::kernels
