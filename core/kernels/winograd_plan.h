// How Winograd's convolution cuts a batch into tiles; the part of conv_winograd.cpp that does not depend on
// the SIMD target.
#pragma once

#include <algorithm>

#include "core/kernels/conv.h"
#include "core/kernels/panel.h"

namespace sigma::kernels {
constexpr int kTile = 2;                   // outputs a side
constexpr int kSide = kTile + 2;           // inputs a side
constexpr int64_t kSpots = kSide * kSide;  // products a tile, one matrix product each
// Transformed tiles are kept [8 tiles][16 channels][16 spots][8][16]: every address is a pointer plus a
// constant.
constexpr int64_t kSpotSize = kPanelRows * kPanelDepth;
constexpr int64_t kBlockSize = kSpots * kSpotSize;  // from 16 channels to the next

// How the tiles of a batch are cut. Everything follows from the sizes.
struct WinogradPlan {
  ConvSize s;
  int64_t tiles_w, tiles_h, rows;  // rows of tiles in the batch
  int64_t block, task;             // rows of a block (in the cache at once) and of a task

  explicit WinogradPlan(const ConvSize& size) : s(size) {
    tiles_w = (s.ow + kTile - 1) / kTile, tiles_h = (s.oh + kTile - 1) / kTile, rows = s.n * tiles_h;
    // Small channel counts: the 16 matrices of a block stay in L1. Large ones: the filters, which stream from
    // L3, are used for more tiles.
    int64_t tiles = s.c_in * s.c_out >= 128 * 128 ? 64 : 16;
    block = std::max<int64_t>(1, tiles / std::max<int64_t>(1, tiles_w));
    task = round_up(std::max<int64_t>(1, 64 / std::max<int64_t>(1, tiles_w)), block);
  }
  // The first output pixel of a row of tiles, counted over the batch.
  int64_t first_pixel(int64_t row) const {
    return row / tiles_h * s.pixels_out() + row % tiles_h * kTile * s.ow;
  }
  int64_t panels() const { return (block * tiles_w + kPanelRows - 1) / kPanelRows; }  // at most, of a block
};

struct WinogradWeights {
  int64_t c_in, c_out;
  const float* weight;
  bool transposed;  // filters of the backward-data pass: turned by half a turn, channels exchanged
};

}  // namespace sigma::kernels
