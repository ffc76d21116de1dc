#include "core/kernels/conv_direct.h"

#include <algorithm>
#include <type_traits>

#include "core/kernels/norm.h"
#include "core/kernels/panel.h"
#include "core/kernels/simd_table.h"
#include "core/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/conv_direct.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "core/kernels/convert-inl.h"
#include "core/kernels/panel-inl.h"

#ifndef SIGMA_DIRECT_TABLE
#define SIGMA_DIRECT_TABLE
namespace sigma::kernels {
template <class X>
struct DirectTable {
  using T = Compute<X>;
  int64_t lanes;
  // Outputs of rows t0..t1-1 of one image; `packed` holds each group's weights one after the other.
  void (*forward)(const Gather& g, const X* image, const T* packed, const T* bias, bool relu, X* out,
                  int64_t t0, int64_t t1);
  // Adds to sum [groups][depth rounded to 8][group_out rounded to lanes] the products of one image's inputs
  // and dy.
  void (*gradient)(const Gather& g, const X* image, const X* dy, T* sum);
  void (*merge_parts)(T* parts, int64_t count, int64_t size, int64_t begin, int64_t end);
};

// Rows of source that outputs t0..t1-1 touch, zero padding included.
struct SourceRows {
  int64_t begin, end;
  SourceRows(const Gather& g, int64_t t0, int64_t t1)
      : begin(t0 * g.step_y + g.first_row), end((t1 - 1) * g.step_y + g.last_row + 1) {}
};
constexpr int64_t kSlack = 16;  // elements that a gather may read or write beyond a run
}  // namespace sigma::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace sigma::kernels::HWY_NAMESPACE {
namespace {

template <class T>
HWY_INLINE void copy_vectors(const T* HWY_RESTRICT from, int64_t count, T* HWY_RESTRICT to) {
  const Wide<T> d;
  for (int64_t i = 0; i < count; i += kLanes<T>) hn::StoreU(hn::LoadU(d, from + i), d, to + i);
}

// to[i] = from[i] in the type that is computed with.
template <class X>
HWY_INLINE void copy_converted(const X* HWY_RESTRICT from, int64_t count, Compute<X>* HWY_RESTRICT to) {
  const Wide<Compute<X>> d;
  constexpr int64_t lanes = kLanes<Compute<X>>;
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(load(d, from + i), d, to + i);
  for (; i < count; ++i) to[i] = static_cast<Compute<X>>(from[i]);
}

// A copy of the source rows that outputs t0..t1-1 need, with zeros around; `to` stands for padded row 0.
template <class X, class T>
void pad_rows(const Gather& g, const X* image, int64_t t0, int64_t t1, T* to) {
  const SourceRows rows(g, t0, t1);
  const int64_t line = g.padded_w * g.c, left = g.left * g.c, inner = g.w * g.c;
  for (int64_t y = rows.begin; y < rows.end; ++y) {
    T* row = to + (y - rows.begin) * line;
    if (y < g.top || y >= g.top + g.h) {
      std::fill_n(row, line, T(0));
      continue;
    }
    std::fill_n(row, left, T(0));
    copy_converted(image + (y - g.top) * inner, inner, row + left);
    std::fill_n(row + left + inner, line - left - inner, T(0));
  }
}

// The runs of one output pixel, one after the other. May write kSlack elements too many.
template <class T>
HWY_INLINE void gather_row(const int64_t* offsets, int64_t runs, int64_t length, const T* pixel, T* to) {
  for (int64_t i = 0; i < runs; ++i, to += length) copy_vectors(pixel + offsets[i], length, to);
}

// Steps through output pixels in order: (t, u) and on to the next row. Divisions would cost as much as the
// sums.
struct PixelWalk {
  int64_t columns, t, u;
  PixelWalk(int64_t width, int64_t pixel) : columns(width), t(pixel / width), u(pixel % width) {}
  HWY_INLINE void next() {
    if (++u == columns) u = 0, ++t;
  }
};

// to[c] = from[c] + shift[c], rectified if asked, for `count` channels and no further.
template <class X, class T>
HWY_INLINE void finish_pixel(const T* from, const T* shift, bool relu, int64_t count, X* to) {
  const Wide<T> d;
  constexpr int64_t lanes = kLanes<T>;
  int64_t c = 0;
  for (; c + lanes <= count; c += lanes) {
    auto v = hn::LoadU(d, from + c);
    if (shift) v = v + hn::LoadU(d, shift + c);
    if (relu) v = hn::IfThenZeroElse(v < hn::Zero(d), v);
    store(v, d, to + c);
  }
  if (c == count) return;
  const auto some = hn::FirstN(d, static_cast<size_t>(count - c));
  auto v = hn::LoadU(d, from + c);  // sums fill whole vectors
  if (shift) v = v + load_some(d, shift + c, some, count - c);
  if (relu) v = hn::IfThenZeroElse(v < hn::Zero(d), v);
  store_some(v, d, to + c, some, count - c);
}

struct DirectScratch {};

// Where the source of outputs t0.. of an image begins: the image itself, or a padded copy in `buffer`. The
// pointer stands for source row 0, column 0 of output row t0's frame.
template <class X, class T>
const T* source_of(const Gather& g, const X* image, int64_t t0, int64_t t1, T* buffer) {
  // Without padding and with whole vectors a run, nothing outside the image is read.
  if constexpr (std::is_same_v<X, T>)
    if (!g.padded() && g.length % kPanelDepth == 0) return image + t0 * g.step_y * g.w * g.c;
  pad_rows(g, image, t0, t1, buffer);
  return buffer - g.first_row * g.padded_w * g.c;
}

template <class X>
void forward(const Gather& g, const X* image, const Compute<X>* packed, const Compute<X>* bias, bool relu,
             X* out, int64_t t0, int64_t t1) {
  using T = Compute<X>;
  constexpr int64_t lanes = kLanes<T>;
  const int64_t k = g.depth(), deep = round_up(k, kPanelDepth), width = round_up(g.group_out, lanes);
  const SourceRows touched(g, t0, t1);
  const int64_t source_size = round_up((touched.end - touched.begin) * g.padded_w * g.c + kSlack, kSlack);
  // Pixels of a block: their panels stay in L1 or L2 while the weights stream.
  const int64_t block = std::clamp<int64_t>(32 * 1024 / std::max<int64_t>(1, deep), 1, 16) * kPanelRows;
  const int64_t line = deep + kSlack;
  T* buffer = scratch<DirectScratch, T>(source_size + block * (deep + line + width));
  T *panels = buffer + source_size, *rows = panels + block * deep, *product = rows + block * line;
  const T* source = source_of(g, image, t0, t1, buffer);
  const int64_t* offsets = g.offsets.data();
  const int64_t runs = static_cast<int64_t>(g.offsets.size()), length = g.length;
  const bool aligned = length % kPanelDepth == 0;
  const int64_t pixels = (t1 - t0) * g.columns;
  for (int64_t group = 0; group < g.groups; ++group)
    for (int64_t p0 = 0; p0 < pixels; p0 += block) {
      const int64_t count = std::min(block, pixels - p0);
      PixelWalk walk(g.columns, p0);
      for (int64_t p = 0; p < count; ++p, walk.next()) {
        const T* pixel =
            source + (walk.t * g.step_y * g.padded_w + walk.u * g.step_x) * g.c + group * g.group_in;
        T* to = panels + p / kPanelRows * kPanelRows * deep + p % kPanelRows * kPanelDepth;
        if (aligned) {
          for (int64_t i = 0; i < runs; ++i)
            for (int64_t j = 0; j < length; j += kPanelDepth, to += kPanelDepth * kPanelRows)
              copy_vectors(pixel + offsets[i] + j, kPanelDepth, to);
        } else {
          gather_row(offsets, runs, length, pixel, rows + p * line);
        }
      }
      // Only now: a load that overlaps several stores waits until they have reached the cache.
      for (int64_t p = 0; p < count && !aligned; ++p)
        for (int64_t i = 0; i < deep; i += kPanelDepth)
          copy_vectors(
              rows + p * line + i, kPanelDepth,
              panels + p / kPanelRows * kPanelRows * deep + (i * kPanelRows + p % kPanelRows * kPanelDepth));
      panels_product<kPanelRows * kPanelDepth>(panels, (count + kPanelRows - 1) / kPanelRows,
                                               kPanelRows * deep, packed + group * k * width, k, g.group_out,
                                               [&](int64_t p, int64_t r, int64_t c) HWY_ATTR {
                                                 return product + (p * kPanelRows + r) * width + c;
                                               });
      walk = PixelWalk(g.columns, p0);
      for (int64_t p = 0; p < count; ++p, walk.next()) {
        const int64_t oy = (t0 + walk.t) * g.out_step_y + g.out_y, ox = walk.u * g.out_step_x + g.out_x;
        finish_pixel(product + p * width, bias ? bias + group * g.group_out : nullptr, relu, g.group_out,
                     out + (oy * g.out_w + ox) * g.out_c + group * g.group_out);
      }
    }
}

template <class X>
void gradient(const Gather& g, const X* image, const X* dy, Compute<X>* sum) {
  using T = Compute<X>;
  constexpr int64_t lanes = kLanes<T>;
  const int64_t k = g.depth(), deep = round_up(k, 16), tall = round_up(k, 8),
                width = round_up(g.group_out, lanes);
  const int64_t line = deep + kSlack;
  const int64_t source_size = round_up(g.padded_h * g.padded_w * g.c + kSlack, kSlack);
  const int64_t block =
      std::clamp<int64_t>(16 * 1024 / line, 16, 256);  // pixels whose inputs stay in L1 or L2
  T* buffer = scratch<DirectScratch, T>(source_size + block * line + block * width);
  T *rows = buffer + source_size, *grads = rows + block * line;
  const T* source = source_of(g, image, 0, g.rows, buffer);
  const int64_t* offsets = g.offsets.data();
  const int64_t runs = static_cast<int64_t>(g.offsets.size()), length = g.length;
  const int64_t pixels = g.rows * g.columns;
  for (int64_t group = 0; group < g.groups; ++group)
    for (int64_t p0 = 0; p0 < pixels; p0 += block) {
      const int64_t count = std::min(block, pixels - p0);
      PixelWalk walk(g.columns, p0);
      for (int64_t p = 0; p < count; ++p, walk.next())
        gather_row(offsets, runs, length,
                   source + (walk.t * g.step_y * g.padded_w + walk.u * g.step_x) * g.c + group * g.group_in,
                   rows + p * line);
      const X* right_source = dy + p0 * g.out_c + group * g.group_out;
      const T* right = grads;
      int64_t right_line = width;
      if constexpr (std::is_same_v<X, T>)
        if (width == g.group_out) right = right_source, right_line = g.out_c;
      for (int64_t p = 0; p < count && right == grads; ++p) {
        copy_converted(right_source + p * g.out_c, g.group_out, grads + p * width);
        std::fill_n(grads + p * width + g.group_out, width - g.group_out, T(0));
      }
      outer_product<1>([&](int64_t i) { return rows + i; }, line, tall, [&](int64_t j) { return right + j; },
                       right_line, width, count, sum + group * tall * width, width);
    }
}

template <class X>
DirectTable<X> table() {
  return {kLanes<Compute<X>>, forward<X>, gradient<X>, merge_parts<Compute<X>>};
}
SimdTables<DirectTable, float, double, bfloat16> direct_tables() {
  return {table<float>(), table<double>(), table<bfloat16>()};
}

}  // namespace
}  // namespace sigma::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sigma::kernels {
namespace {

HWY_EXPORT(direct_tables);
template <class X>
DirectTable<X> table() {
  return HWY_DYNAMIC_DISPATCH(direct_tables)();
}

constexpr int64_t kWeightGroups = 16;  // partial sums of the weight gradient
struct PackScratch {};
struct PartScratch {};

// Weights of every group in panel-inl.h's order of B; weight_at(group, k, column) gives one.
template <class T, class Fn>
const T* pack(const Gather& g, Fn weight_at) {
  const int64_t lanes = table<T>().lanes, k_size = g.depth(), width = round_up(g.group_out, lanes);
  const int64_t blocks = (width + 2 * lanes - 1) / (2 * lanes);
  T* packed = scratch<PackScratch, T>(g.groups * k_size * width + 1);
  const int64_t grain = std::max<int64_t>(1, 2048 / (2 * lanes)), chunks = (k_size + grain - 1) / grain;
  parallel_for(g.groups * blocks * chunks, [&](int64_t task) {
    const int64_t group = task / chunks / blocks, first = task / chunks % blocks * 2 * lanes;
    const int64_t columns = std::min(2 * lanes, width - first), k0 = task % chunks * grain;
    T* to = packed + group * k_size * width + first * k_size + k0 * columns;
    for (int64_t k = k0; k < std::min(k0 + grain, k_size); ++k)
      for (int64_t i = 0; i < columns; ++i)
        *to++ = first + i < g.group_out ? weight_at(group, k, first + i) : T(0);
  });
  return packed;
}

// Output rows of a task: about a million multiply-adds, so that a batch of one still has work for all
// threads.
int64_t rows_per_task(const Gather& g) {
  int64_t work = std::max<int64_t>(1, g.columns * g.depth() * g.group_out * g.groups);
  return std::clamp<int64_t>((1 << 20) / work, 1, std::max<int64_t>(1, g.rows));
}

template <class X>
void run(const Gather& g, const X* source, const Compute<X>* packed, const Compute<X>* bias, X* out,
         const ConvEpilogue& epilogue) {
  const int64_t per_task = rows_per_task(g), chunks = (g.rows + per_task - 1) / per_task;
  auto kernel = table<X>().forward;
  PartialMoments parts(epilogue.mean ? g.n * chunks : 0, g.out_c);
  parallel_for(g.n * chunks, [&](int64_t task) {
    const int64_t image = task / chunks, t0 = task % chunks * per_task, t1 = std::min(t0 + per_task, g.rows);
    X* to = out + image * g.out_h * g.out_w * g.out_c;
    kernel(g, source + image * g.h * g.w * g.c, packed, bias, epilogue.relu, to, t0, t1);
    if (epilogue.mean) parts.add(task, to + t0 * g.out_w * g.out_c, (t1 - t0) * g.out_w);
  });
  if (epilogue.mean) parts.merge(epilogue.mean, epilogue.var);
}

}  // namespace

template <class X>
void direct_forward(const ConvSize& s, const X* x, const Compute<X>* weight, const Compute<X>* bias, X* y,
                    const ConvEpilogue& epilogue) {
  using T = Compute<X>;
  const Gather g = forward_gather(s);
  const int64_t k_size = g.depth();
  const T* packed = pack<T>(g, [&](int64_t group, int64_t k, int64_t column) {
    return weight[(group * g.group_out + column) * k_size + k];
  });
  run(g, x, packed, bias, y, epilogue);
}

template <class X>
void direct_backward_data(const ConvSize& s, const X* dy, const Compute<X>* weight, X* dx) {
  using T = Compute<X>;
  std::vector<int64_t> taps;
  const int64_t cg = s.c_in / s.groups, og = s.c_out / s.groups;
  // Pixels between the taps of a wide stride get no gradient.
  if (s.stride_h > s.kh || s.stride_w > s.kw || s.dilation_h > 1 || s.dilation_w > 1)
    parallel_ranges(s.n * s.pixels_in() * s.c_in, 1 << 16,
                    [&](int64_t i, int64_t end) { std::fill(dx + i, dx + end, X(0)); });
  for (int64_t py = 0; py < s.stride_h; ++py)
    for (int64_t px = 0; px < s.stride_w; ++px) {
      const Gather g = backward_gather(s, py, px, taps);
      if (g.rows == 0 || g.columns == 0 || taps.empty()) continue;
      const T* packed = pack<T>(g, [&](int64_t group, int64_t k, int64_t column) {
        const auto run = static_cast<size_t>(k / og);
        return weight[(group * og + k - static_cast<int64_t>(run) * og) * s.taps() + taps[run] * cg + column];
      });
      run(g, dy, packed, static_cast<const T*>(nullptr), dx, {});
    }
}

template <class X>
void direct_backward_weight(const ConvSize& s, const X* dy, const X* x, Compute<X>* dweight) {
  using T = Compute<X>;
  const Gather g = forward_gather(s);
  const int64_t parts = std::min(kWeightGroups, s.n), k_size = g.depth();
  const DirectTable<X> kernels = table<X>();
  const int64_t width = round_up(g.group_out, kernels.lanes), size = g.groups * round_up(k_size, 8) * width;
  T* sums = scratch<PartScratch, T>(std::max<int64_t>(1, parts) * size);
  parallel_for(std::max<int64_t>(1, parts), [&](int64_t part) {
    T* sum = sums + part * size;
    std::fill_n(sum, size, T(0));
    if (g.rows == 0 || parts == 0) return;
    for (int64_t image = part * s.n / parts; image < (part + 1) * s.n / parts; ++image)
      kernels.gradient(g, x + image * s.pixels_in() * s.c_in, dy + image * s.pixels_out() * s.c_out, sum);
  });
  parallel_ranges(size, 8192,
                  [&](int64_t begin, int64_t end) { kernels.merge_parts(sums, parts, size, begin, end); });
  for (int64_t o = 0; o < s.c_out; ++o) {
    const T* sum = sums + o / g.group_out * round_up(k_size, 8) * width + o % g.group_out;
    for (int64_t k = 0; k < k_size; ++k) dweight[o * k_size + k] = sum[k * width];
  }
}

#define SIGMA_INSTANTIATE(X)                                                                        \
  template void direct_forward(const ConvSize&, const X*, const Compute<X>*, const Compute<X>*, X*, \
                               const ConvEpilogue&);                                                \
  template void direct_backward_data(const ConvSize&, const X*, const Compute<X>*, X*);             \
  template void direct_backward_weight(const ConvSize&, const X*, const X*, Compute<X>*);
SIGMA_INSTANTIATE(float)
SIGMA_INSTANTIATE(double)
SIGMA_INSTANTIATE(bfloat16)
#undef SIGMA_INSTANTIATE

}  // namespace sigma::kernels
#endif
