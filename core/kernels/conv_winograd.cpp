#include "core/kernels/conv_winograd.h"

#include <algorithm>

#include "core/kernels/norm.h"
#include "core/kernels/simd_table.h"
#include "core/kernels/winograd_plan.h"
#include "core/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/conv_winograd.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "core/kernels/winograd_tiles-inl.h"

#ifndef SIGMA_WINOGRAD_TABLE
#define SIGMA_WINOGRAD_TABLE
namespace sigma::kernels {
template <class X>
struct WinogradTable {
  void (*filters)(const WinogradWeights& w, int64_t begin, int64_t end, float* u);
  void (*forward)(const WinogradPlan& p, const X* x, const float* u, const float* bias, bool relu, X* y,
                  int64_t row0, int64_t row1);
  void (*gradient)(const WinogradPlan& p, const X* dy, const X* x, int64_t row0, int64_t row1, int64_t o0,
                   int64_t o1, int64_t i0, int64_t i1, float* sum);
  void (*filter_gradient)(float* u, int64_t groups, int64_t c_in, int64_t begin, int64_t end, int64_t c_out,
                          float* dweight);
};
}  // namespace sigma::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace sigma::kernels::HWY_NAMESPACE {
namespace {

struct WinogradScratch {};

template <class X>
HWY_INLINE void prefetch_for_writing(const X* to, int64_t count) {
  constexpr int64_t bytes = static_cast<int64_t>(sizeof(X)), line = 64 / bytes;
  if (count * bytes > 8 * 1024) return;  // many channels: the products take long enough as it is
  for (int64_t i = 0; i < count; i += line) __builtin_prefetch(to + i, 1);
}

// Outputs of the tile rows row0..row1-1, block by block.
template <class X>
void forward(const WinogradPlan& p, const X* x, const float* u, const float* bias, bool relu, X* y,
             int64_t row0, int64_t row1) {
  const D d;
  const ConvSize& s = p.s;
  const int64_t c_in = s.c_in, c_out = s.c_out, panels = p.panels(), line = s.ow * c_out;
  const int64_t size_in = c_in / kPanelDepth * kBlockSize,
                size_out = c_out / kPanelDepth * kBlockSize;  // of a panel
  float* packed = scratch<WinogradScratch, float>(panels * (size_in + size_out));
  float* product = packed + panels * size_in;
  for (int64_t b0 = row0; b0 < row1; b0 += p.block) {
    const int64_t b1 = std::min(b0 + p.block, row1);
    int64_t tile = 0;
    for (int64_t row = b0; row < b1; ++row, tile += p.tiles_w)
      transform_inputs(x + row / p.tiles_h * s.pixels_in() * c_in, s.h, s.w, c_in,
                       row % p.tiles_h * kTile - s.pad_h, -s.pad_w, p.tiles_w, 0, c_in,
                       [&](int64_t tx, int64_t c, const V(&out)[kSide][kSide])
                           HWY_ATTR { store_tile(out, packed + tile_offset(tile + tx, c, c_in)); });
    // The lines that will be written are fetched while the products are computed: with few channels, waiting
    // for them would be a fifth of the time.
    prefetch_for_writing(y + p.first_pixel(b0) * c_out, (p.first_pixel(b1) - p.first_pixel(b0)) * c_out);
    const int64_t used = (tile + kPanelRows - 1) / kPanelRows;
    for (int64_t spot = 0; spot < kSpots; ++spot) {
      float* to = product + spot * kSpotSize;
      panels_product<kBlockSize>(packed + spot * kSpotSize, used, size_in, u + spot * c_in * c_out, c_in,
                                 c_out, [&](int64_t panel, int64_t r, int64_t c) HWY_ATTR {
                                   return to + panel * size_out + c / kPanelDepth * kBlockSize +
                                          r * kPanelDepth + c % kPanelDepth;
                                 });
    }
    tile = 0;
    for (int64_t row = b0; row < b1; ++row) {
      const int64_t oy = row % p.tiles_h * kTile, high = std::min<int64_t>(kTile, s.oh - oy);
      X* image = y + (row / p.tiles_h * s.oh + oy) * s.ow * c_out;
      for (int64_t tx = 0; tx < p.tiles_w; ++tx, ++tile) {
        const int64_t wide = std::min<int64_t>(kTile, s.ow - tx * kTile);
        X* to = image + tx * kTile * c_out;
        for (int64_t c = 0; c < c_out; c += kL) {
          V out[kTile][kTile];
          transform_output(product + tile_offset(tile, c, c_out), out);
          if (bias || relu) {
            const V shift = bias ? hn::LoadU(d, bias + c) : hn::Zero(d);
#pragma GCC unroll 4
            for (int i = 0; i < kTile * kTile; ++i) {
              V& value = out[i / kTile][i % kTile];
              value = value + shift;
              if (relu) value = hn::IfThenZeroElse(value < hn::Zero(d), value);
            }
          }
          store(out[0][0], d, to + c);
          if (wide > 1) store(out[0][1], d, to + c_out + c);
          if (high > 1) store(out[1][0], d, to + line + c);
          if (wide > 1 && high > 1) store(out[1][1], d, to + line + c_out + c);
        }
      }
    }
  }
}

// Adds to sum[spot][o1 - o0][i1 - i0] the products of transformed dy and x over tile rows row0..row1-1, for
// output channels o0..o1-1 and input channels i0..i1-1.
template <class X>
void gradient(const WinogradPlan& p, const X* dy, const X* x, int64_t row0, int64_t row1, int64_t o0,
              int64_t o1, int64_t i0, int64_t i1, float* sum) {
  const D d;
  const ConvSize& s = p.s;
  const int64_t no = o1 - o0, ni = i1 - i0;
  // As many tiles at once as keep both transformed operands within about 400 KiB.
  const int64_t fit = (no + ni <= 32 ? 12 : no + ni <= 64 ? 40 : 100) * 1024 / (kSpots * (no + ni));
  const int64_t block = std::max<int64_t>(1, fit / std::max<int64_t>(1, p.tiles_w));
  const int64_t panels = (block * p.tiles_w + kPanelRows - 1) / kPanelRows;
  const int64_t size_x = ni / kPanelDepth * kBlockSize, size_g = no / kPanelDepth * kBlockSize;
  float* xt = scratch<WinogradScratch, float>(panels * (size_x + size_g));
  float* gt = xt + panels * size_x;
  for (int64_t b0 = row0; b0 < row1; b0 += block) {
    const int64_t b1 = std::min(b0 + block, row1);
    int64_t tile = 0;
    for (int64_t row = b0; row < b1; ++row) {
      const int64_t image = row / p.tiles_h, oy = row % p.tiles_h * kTile;
      transform_inputs(x + image * s.pixels_in() * s.c_in, s.h, s.w, s.c_in, oy - s.pad_h, -s.pad_w,
                       p.tiles_w, i0, ni, [&](int64_t tx, int64_t c, const V(&out)[kSide][kSide]) HWY_ATTR {
                         store_tile(out, xt + tile_offset(tile + tx, c, ni));
                       });
      for (int64_t tx = 0; tx < p.tiles_w; ++tx, ++tile) {
        const X* at = dy + ((image * s.oh + oy) * s.ow + tx * kTile) * s.c_out + o0;
        const bool wide = tx * kTile + 1 < s.ow, high = oy + 1 < s.oh;
        for (int64_t c = 0; c < no; c += kL, at += kL) {
          const V zero = hn::Zero(d);
          const V in[kTile][kTile] = {{load(d, at), wide ? load(d, at + s.c_out) : zero},
                                      {high ? load(d, at + s.ow * s.c_out) : zero,
                                       wide && high ? load(d, at + (s.ow + 1) * s.c_out) : zero}};
          V out[kSide][kSide];
          both_ways(in, out, [](const V(&a)[kTile], V(&b)[kSide]) HWY_ATTR { Tile<kTile>::spread(a, b); });
          store_tile(out, gt + tile_offset(tile, c, no));
        }
      }
    }
    const int64_t used = (tile + kPanelRows - 1) / kPanelRows;
    for (; tile % kPanelRows; ++tile) {  // the rest of the last panel counts for nothing
      const V none[kSide][kSide] = {};
      for (int64_t c = 0; c < ni; c += kL) store_tile(none, xt + tile_offset(tile, c, ni));
      for (int64_t c = 0; c < no; c += kL) store_tile(none, gt + tile_offset(tile, c, no));
    }
    auto column = [](const float* base, int64_t c)
                      HWY_ATTR { return base + c / kPanelDepth * kBlockSize + c % kPanelDepth; };
    for (int64_t spot = 0; spot < kSpots; ++spot) {
      const float *a = gt + spot * kSpotSize, *b = xt + spot * kSpotSize;
      outer_product<kPanelRows>([&](int64_t i) HWY_ATTR { return column(a, i); }, size_g, no,
                                [&](int64_t j) HWY_ATTR { return column(b, j); }, size_x, ni, used,
                                sum + spot * no * ni, ni);
    }
  }
}

// dweight[o][3][3][c_in] = G^T u G for output channels begin to end, u [spot][c_out][c_in] the sum over
// groups.
void filter_gradient(float* u, int64_t groups, int64_t c_in, int64_t begin, int64_t end, int64_t c_out,
                     float* dweight) {
  const int64_t size = kSpots * c_out * c_in;
  for (int64_t spot = 0; spot < kSpots; ++spot)
    merge_parts(u, groups, size, (spot * c_out + begin) * c_in, (spot * c_out + end) * c_in);
  const D d;
  const V half_one = hn::Set(d, 0.5f);
  for (int64_t o = begin; o < end; ++o)
    for (int64_t c = 0; c < c_in; c += kL) {
      V in[4][4], half[3][4];
#pragma GCC unroll 16
      for (int spot = 0; spot < 16; ++spot)
        in[spot / 4][spot % 4] = hn::LoadU(d, u + (spot * c_out + o) * c_in + c);
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) {
        const V column[4] = {in[0][j], in[1][j], in[2][j], in[3][j]};
        V result[3];
        Tile<2>::filter_gradient(half_one, column, result);
        for (int i = 0; i < 3; ++i) half[i][j] = result[i];
      }
      for (int i = 0; i < 3; ++i) {
        V result[3];
        Tile<2>::filter_gradient(half_one, half[i], result);
        for (int j = 0; j < 3; ++j) hn::StoreU(result[j], d, dweight + ((o * 3 + i) * 3 + j) * c_in + c);
      }
    }
}

SimdTables<WinogradTable, float, bfloat16> winograd_tables() {
  return {{filters, forward<float>, gradient<float>, filter_gradient},
          {filters, forward<bfloat16>, gradient<bfloat16>, filter_gradient}};
}

}  // namespace
}  // namespace sigma::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sigma::kernels {
namespace {

HWY_EXPORT(winograd_tables);
template <class X>
WinogradTable<X> table() {
  return HWY_DYNAMIC_DISPATCH(winograd_tables)();
}

struct FilterScratch {};
struct SumScratch {};

const float* transformed_filters(const ConvSize& s, const float* weight, bool transposed) {
  float* u = scratch<FilterScratch, float>(kSpots * s.c_in * s.c_out);
  WinogradWeights w{s.c_in, s.c_out, weight, transposed};
  auto kernel = table<float>().filters;
  parallel_ranges(transposed ? s.c_out : s.c_in, std::max<int64_t>(1, 1024 / (transposed ? s.c_in : s.c_out)),
                  [&](int64_t begin, int64_t end) { kernel(w, begin, end, u); });
  return u;
}

}  // namespace

bool winograd_fits(const ConvSize& s) {
  return s.kh == 3 && s.kw == 3 && s.stride_h == 1 && s.stride_w == 1 && s.dilation_h == 1 &&
         s.dilation_w == 1 && s.groups == 1 && s.pad_h <= 2 && s.pad_w <= 2 && s.c_in % 16 == 0 &&
         s.c_out % 16 == 0;
}

template <class X>
void winograd_forward(const ConvSize& s, const X* x, const float* weight, const float* bias, X* y,
                      const ConvEpilogue& epilogue) {
  const WinogradPlan plan(s);
  const float* u = transformed_filters(s, weight, false);
  PartialMoments parts(epilogue.mean ? (plan.rows + plan.task - 1) / plan.task : 0, s.c_out);
  auto kernel = table<X>().forward;
  parallel_ranges(plan.rows, plan.task, [&](int64_t row0, int64_t row1) {
    kernel(plan, x, u, bias, epilogue.relu, y, row0, row1);
    if (!epilogue.mean) return;
    const int64_t first = plan.first_pixel(row0);
    parts.add(row0 / plan.task, y + first * s.c_out, plan.first_pixel(row1) - first);
  });
  if (epilogue.mean) parts.merge(epilogue.mean, epilogue.var);
}

template <class X>
void winograd_backward_data(const ConvSize& s, const X* dy, const float* weight, X* dx) {
  ConvSize t = s;  // the convolution of dy that gives dx
  t.h = s.oh, t.w = s.ow, t.c_in = s.c_out, t.oh = s.h, t.ow = s.w, t.c_out = s.c_in;
  t.pad_h = 2 - s.pad_h, t.pad_w = 2 - s.pad_w;
  const WinogradPlan plan(t);
  const float* u = transformed_filters(s, weight, true);
  auto kernel = table<X>().forward;
  parallel_ranges(plan.rows, plan.task,
                  [&](int64_t row0, int64_t row1) { kernel(plan, dy, u, nullptr, false, dx, row0, row1); });
}

template <class X>
void winograd_backward_weight(const ConvSize& s, const X* dy, const X* x, float* dweight) {
  const WinogradPlan plan(s);
  const int64_t size = kSpots * s.c_in * s.c_out;
  // Groups of images that are summed apart: 16, fewer where their sums would not fit the caches.
  const int64_t all = plan.rows * plan.tiles_w;
  const int64_t groups =
      std::min({s.n, std::clamp<int64_t>((4 << 20) / size, 4, 16), std::max<int64_t>(4, all / 64)});
  const int64_t side = 128;  // channels of a task on either side: its sums stay in L2
  const int64_t blocks_o = (s.c_out + side - 1) / side, blocks_i = (s.c_in + side - 1) / side;
  float* sums = scratch<SumScratch, float>(std::max<int64_t>(1, groups) * size);
  auto kernel = table<X>().gradient;
  const bool whole = blocks_o * blocks_i == 1;  // a task's sums are the group's: nothing to be copied
  parallel_for(groups * blocks_o * blocks_i, [&](int64_t task) {
    const int64_t part = task / (blocks_o * blocks_i), o0 = task / blocks_i % blocks_o * side,
                  i0 = task % blocks_i * side;
    const int64_t o1 = std::min(o0 + side, s.c_out), i1 = std::min(i0 + side, s.c_in), no = o1 - o0,
                  ni = i1 - i0;
    struct Own {};
    float* own = whole ? sums + part * size : scratch<Own, float>(kSpots * no * ni);
    std::fill_n(own, kSpots * no * ni, 0.f);
    kernel(plan, dy, x, part * s.n / groups * plan.tiles_h, (part + 1) * s.n / groups * plan.tiles_h, o0, o1,
           i0, i1, own);
    for (int64_t spot = 0; spot < kSpots && !whole; ++spot)
      for (int64_t o = 0; o < no; ++o)
        std::copy_n(own + (spot * no + o) * ni, ni,
                    sums + part * size + (spot * s.c_out + o0 + o) * s.c_in + i0);
  });
  if (groups == 0) {
    std::fill_n(dweight, s.c_out * s.taps(), 0.f);
    return;
  }
  auto finish = table<X>().filter_gradient;
  parallel_ranges(s.c_out, std::max<int64_t>(1, 1024 / s.c_in), [&](int64_t begin, int64_t end) {
    finish(sums, groups, s.c_in, begin, end, s.c_out, dweight);
  });
}

#define SIGMA_INSTANTIATE(X)                                                                \
  template void winograd_forward(const ConvSize&, const X*, const float*, const float*, X*, \
                                 const ConvEpilogue&);                                      \
  template void winograd_backward_data(const ConvSize&, const X*, const float*, X*);        \
  template void winograd_backward_weight(const ConvSize&, const X*, const X*, float*);
SIGMA_INSTANTIATE(float)
SIGMA_INSTANTIATE(bfloat16)
#undef SIGMA_INSTANTIATE

}  // namespace sigma::kernels
#endif
