// Transforms of filters, tiles of inputs and products for conv_winograd.cpp. Included once a SIMD target.
#if defined(SIGMA_KERNELS_WINOGRAD_TILES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SIGMA_KERNELS_WINOGRAD_TILES_INL_H_
#undef SIGMA_KERNELS_WINOGRAD_TILES_INL_H_
#else
#define SIGMA_KERNELS_WINOGRAD_TILES_INL_H_
#endif

#include <hwy/highway.h>

#include "core/kernels/convert-inl.h"
#include "core/kernels/panel-inl.h"
#include "core/kernels/winograd-inl.h"
#include "core/kernels/winograd_plan.h"

HWY_BEFORE_NAMESPACE();
namespace sigma::kernels::HWY_NAMESPACE {

using D = Wide<float>;
using V = hn::Vec<D>;
constexpr int64_t kL = kLanes<float>;

// Offset of tile and channel in transformed tiles of `channels` channels.
HWY_INLINE int64_t tile_offset(int64_t tile, int64_t channel, int64_t channels) {
  return tile / kPanelRows * (channels / kPanelDepth) * kBlockSize + channel / kPanelDepth * kBlockSize +
         tile % kPanelRows * kPanelDepth + channel % kPanelDepth;
}
// u[spot][block][k][2 L] = G g G^T for filters k (rows of B) from begin to end, packed for panels_product.
void filters(const WinogradWeights& w, int64_t begin, int64_t end, float* u) {
  const D d;
  const V half = hn::Set(d, 0.5f);
  const int64_t k_size = w.transposed ? w.c_out : w.c_in, n_size = w.transposed ? w.c_in : w.c_out;
  constexpr int64_t kSome =
      16;  // filters turned at a time: their vectors are not read while still being written
  alignas(64) float turned[kSome][9][kL];
  for (int64_t n = 0; n < n_size; n += kL) {
    const int64_t first = n / (2 * kL) * 2 * kL, width = n_size - first > kL ? 2 * kL : kL;
    for (int64_t k = begin; k < end; ++k) {
      V g[3][3], t[4][3];
      if (w.transposed) {
        for (int i = 0; i < 3; ++i)
          for (int j = 0; j < 3; ++j)
            g[i][j] = hn::LoadU(d, w.weight + ((k * 3 + 2 - i) * 3 + 2 - j) * w.c_in + n);
      } else {
        const int64_t at = (k - begin) % kSome, some = std::min(kSome, end - k);
        if (at == 0)
          for (int64_t lane = 0; lane < kL; ++lane)
            for (int tap = 0; tap < 9; ++tap) {
              const float* from = w.weight + ((n + lane) * 9 + tap) * w.c_in + k;
              for (int64_t i = 0; i < some; ++i) turned[i][tap][lane] = from[i];
            }
        for (int i = 0; i < 3; ++i)
          for (int j = 0; j < 3; ++j) g[i][j] = hn::Load(d, turned[at][i * 3 + j]);
      }
#pragma GCC unroll 4
      for (int j = 0; j < 3; ++j) {
        const V column[3] = {g[0][j], g[1][j], g[2][j]};
        V result[4];
        Tile<2>::filter(half, column, result);
        for (int i = 0; i < 4; ++i) t[i][j] = result[i];
      }
      float* to = u + first * k_size + k * width + (n - first);
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        V result[4];
        Tile<2>::filter(half, t[i], result);
        for (int j = 0; j < 4; ++j) hn::Store(result[j], d, to + (i * 4 + j) * k_size * n_size);
      }
    }
  }
}

// B^T d B of every tile of one row of tiles: channels c0..c0+count-1 of the 4 image rows from `y`, 4 columns
// from `x` on for the first tile. Neighbours share two columns, so each column is transformed once.
// store_out(tile, channel, 16 vectors).
template <class X, class Store>
HWY_INLINE void transform_inputs(const X* image, int64_t h, int64_t w, int64_t c_total, int64_t y, int64_t x,
                                 int64_t tiles, int64_t c0, int64_t count, Store store_out) {
  const D d;
  const X* row[kSide];
  bool row_inside[kSide];
  for (int i = 0; i < kSide; ++i) {
    row_inside[i] = y + i >= 0 && y + i < h;
    row[i] = image + (row_inside[i] ? y + i : 0) * w * c_total + c0;
  }
  // A few tiles at a time for all channels: their pixels lie in L1.
  const int64_t some = std::max<int64_t>(1, 256 / count);
  for (int64_t first = 0; first < tiles; first += some)
    for (int64_t c = 0; c < count; c += kL) {
      auto column = [&](int64_t at, V(&out)[kSide]) HWY_ATTR {
        V in[kSide];
        const bool inside = at >= 0 && at < w;
#pragma GCC unroll 4
        for (int i = 0; i < kSide; ++i)
          in[i] = inside && row_inside[i] ? load(d, row[i] + at * c_total + c) : hn::Zero(d);
        Tile<kTile>::input(in, out);
      };
      V left[kSide], right[kSide], next_left[kSide], next_right[kSide];
      column(x + first * kTile, left);
      column(x + first * kTile + 1, right);
      for (int64_t tile = first; tile < std::min(first + some, tiles); ++tile) {
        column(x + tile * kTile + 2, next_left);
        column(x + tile * kTile + 3, next_right);
        V out[kSide][kSide];
#pragma GCC unroll 4
        for (int i = 0; i < kSide; ++i) {
          const V line[kSide] = {left[i], right[i], next_left[i], next_right[i]};
          Tile<kTile>::input(line, out[i]);
          left[i] = next_left[i];
          right[i] = next_right[i];
        }
        store_out(tile, c, out);
      }
    }
}

HWY_INLINE void store_tile(const V (&tile)[kSide][kSide], float* to) {
  const D d;
#pragma GCC unroll 16
  for (int spot = 0; spot < kSpots; ++spot)
    hn::Store(tile[spot / kSide][spot % kSide], d, to + spot * kSpotSize);
}

// A^T m A of the 16 products of a tile.
HWY_INLINE void transform_output(const float* from, V (&out)[kTile][kTile]) {
  const D d;
  V half[kTile][kSide];
#pragma GCC unroll 4
  for (int j = 0; j < kSide; ++j) {
    V column[kSide], result[kTile];
#pragma GCC unroll 4
    for (int i = 0; i < kSide; ++i) column[i] = hn::Load(d, from + (i * kSide + j) * kSpotSize);
    Tile<kTile>::output(column, result);
    half[0][j] = result[0];
    half[1][j] = result[1];
  }
  Tile<kTile>::output(half[0], out[0]);
  Tile<kTile>::output(half[1], out[1]);
}

}  // namespace sigma::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
