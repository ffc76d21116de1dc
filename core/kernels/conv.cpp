// Convolution as a product with unfolded patches (im2col) on channels_last images, one block of output rows
// at a time, so that the unfolded block stays in the L2 cache.
#include "core/kernels/conv.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/kernels/gemm.h"
#include "core/parallel.h"

namespace sigma::kernels {
namespace {

constexpr int64_t kBlockElements = 128 * 1024;  // of the unfolded block: 512 KiB of float
constexpr int64_t kWeightGroups = 16;           // partial sums of the weight gradient

// A block is a range of output rows of one image. With small images it is the whole image.
int64_t block_rows(const ConvSize& s) {
  return std::clamp<int64_t>(kBlockElements / std::max<int64_t>(1, s.ow * s.taps()), 1,
                             std::max<int64_t>(1, s.oh));
}

template <class T>
std::vector<T>& scratch(size_t size) {
  thread_local std::vector<T> buffer;
  if (buffer.size() < size) buffer.resize(size);
  return buffer;
}

bool is_pointwise(const ConvSize& s) {
  return s.kh == 1 && s.kw == 1 && s.stride_h == 1 && s.stride_w == 1 && s.pad_h == 0 && s.pad_w == 0 &&
         s.groups == 1;
}

// columns[(oy - y0) * ow + ox][ky][kx][c] = x[oy * stride - pad + ky * dilation][...][group's c], zero
// outside.
template <class T>
void unfold(const ConvSize& s, const T* image, int64_t group, int64_t y0, int64_t y1, T* columns) {
  int64_t cg = s.c_in / s.groups;
  for (int64_t oy = y0; oy < y1; ++oy)
    for (int64_t ox = 0; ox < s.ow; ++ox) {
      int64_t ix0 = ox * s.stride_w - s.pad_w;
      bool whole_row = s.groups == 1 && s.dilation_w == 1 && ix0 >= 0 && ix0 + s.kw <= s.w;
      for (int64_t ky = 0; ky < s.kh; ++ky) {
        int64_t iy = oy * s.stride_h - s.pad_h + ky * s.dilation_h;
        if (iy < 0 || iy >= s.h) {
          std::fill_n(columns, s.kw * cg, T(0));
          columns += s.kw * cg;
        } else if (whole_row) {  // the taps of one kernel row lie next to each other
          std::copy_n(image + (iy * s.w + ix0) * s.c_in, s.kw * cg, columns);
          columns += s.kw * cg;
        } else {
          for (int64_t kx = 0; kx < s.kw; ++kx, columns += cg) {
            int64_t ix = ix0 + kx * s.dilation_w;
            if (ix < 0 || ix >= s.w)
              std::fill_n(columns, cg, T(0));
            else
              std::copy_n(image + (iy * s.w + ix) * s.c_in + group * cg, cg, columns);
          }
        }
      }
    }
}

// The transpose of unfold: adds the columns to the image.
template <class T>
void fold_add(const ConvSize& s, const T* columns, int64_t group, int64_t y0, int64_t y1, T* image) {
  int64_t cg = s.c_in / s.groups;
  for (int64_t oy = y0; oy < y1; ++oy)
    for (int64_t ox = 0; ox < s.ow; ++ox)
      for (int64_t ky = 0; ky < s.kh; ++ky) {
        int64_t iy = oy * s.stride_h - s.pad_h + ky * s.dilation_h;
        for (int64_t kx = 0; kx < s.kw; ++kx, columns += cg) {
          int64_t ix = ox * s.stride_w - s.pad_w + kx * s.dilation_w;
          if (iy < 0 || iy >= s.h || ix < 0 || ix >= s.w) continue;
          T* to = image + (iy * s.w + ix) * s.c_in + group * cg;
          for (int64_t c = 0; c < cg; ++c) to[c] += columns[c];
        }
      }
}

}  // namespace

template <class T>
void conv_forward(const ConvSize& s, const T* x, const T* weight, const T* bias, T* y) {
  int64_t rows = block_rows(s), blocks = s.oh == 0 ? 0 : (s.oh + rows - 1) / rows;
  int64_t og = s.c_out / s.groups, taps = s.taps();
  parallel_for(s.n * blocks, [&](int64_t task) {
    int64_t image = task / blocks, y0 = task % blocks * rows, y1 = std::min(y0 + rows, s.oh);
    int64_t pixels = (y1 - y0) * s.ow;
    const T* in = x + image * s.pixels_in() * s.c_in;
    T* out = y + (image * s.pixels_out() + y0 * s.ow) * s.c_out;
    for (int64_t g = 0; g < s.groups; ++g) {
      const T* columns = in + y0 * s.ow * s.c_in;
      if (!is_pointwise(s)) {
        T* buffer = scratch<T>(static_cast<size_t>(pixels * taps)).data();
        unfold(s, in, g, y0, y1, buffer);
        columns = buffer;
      }
      gemm(Trans::no, Trans::yes, pixels, og, taps, T(1), columns, taps, weight + g * og * taps, taps, T(0),
           out + g * og, s.c_out);
    }
    if (bias)
      for (int64_t p = 0; p < pixels; ++p)
        for (int64_t c = 0; c < s.c_out; ++c) out[p * s.c_out + c] += bias[c];
  });
}

template <class T>
void conv_backward_data(const ConvSize& s, const T* dy, const T* weight, T* dx) {
  int64_t rows = block_rows(s), og = s.c_out / s.groups, taps = s.taps();
  parallel_for(s.n, [&](int64_t image) {
    T* out = dx + image * s.pixels_in() * s.c_in;
    const T* in = dy + image * s.pixels_out() * s.c_out;
    if (is_pointwise(s)) {
      gemm(Trans::no, Trans::no, s.pixels_out(), taps, s.c_out, T(1), in, s.c_out, weight, taps, T(0), out,
           s.c_in);
      return;
    }
    std::fill_n(out, s.pixels_in() * s.c_in, T(0));
    for (int64_t y0 = 0; y0 < s.oh; y0 += rows) {
      int64_t y1 = std::min(y0 + rows, s.oh), pixels = (y1 - y0) * s.ow;
      T* columns = scratch<T>(static_cast<size_t>(pixels * taps)).data();
      for (int64_t g = 0; g < s.groups; ++g) {
        gemm(Trans::no, Trans::no, pixels, taps, og, T(1), in + y0 * s.ow * s.c_out + g * og, s.c_out,
             weight + g * og * taps, taps, T(0), columns, taps);
        fold_add(s, columns, g, y0, y1, out);
      }
    }
  });
}

template <class T>
void conv_backward_weight(const ConvSize& s, const T* dy, const T* x, T* dweight, T* dbias) {
  int64_t rows = block_rows(s), og = s.c_out / s.groups, taps = s.taps();
  int64_t groups = std::min(kWeightGroups, s.n), size = s.c_out * taps, stride = size + s.c_out;
  std::vector<T> partial(static_cast<size_t>(std::max<int64_t>(1, groups) * stride), T(0));
  parallel_for(groups, [&](int64_t part) {
    T* sum = partial.data() + part * stride;
    for (int64_t image = part * s.n / groups; image < (part + 1) * s.n / groups; ++image)
      for (int64_t y0 = 0; y0 < s.oh; y0 += rows) {
        int64_t y1 = std::min(y0 + rows, s.oh), pixels = (y1 - y0) * s.ow;
        const T* in = x + image * s.pixels_in() * s.c_in;
        const T* grad = dy + (image * s.pixels_out() + y0 * s.ow) * s.c_out;
        for (int64_t g = 0; g < s.groups; ++g) {
          const T* columns = in + y0 * s.ow * s.c_in;
          if (!is_pointwise(s)) {
            T* buffer = scratch<T>(static_cast<size_t>(pixels * taps)).data();
            unfold(s, in, g, y0, y1, buffer);
            columns = buffer;
          }
          gemm(Trans::yes, Trans::no, og, taps, pixels, T(1), grad + g * og, s.c_out, columns, taps, T(1),
               sum + g * og * taps, taps);
        }
        if (dbias)
          for (int64_t p = 0; p < pixels; ++p)
            for (int64_t c = 0; c < s.c_out; ++c) sum[size + c] += grad[p * s.c_out + c];
      }
  });
  for (int64_t step = 1; step < groups; step *= 2)  // a fixed tree
    for (int64_t part = 0; part + step < groups; part += 2 * step)
      for (int64_t i = 0; i < stride; ++i) partial[part * stride + i] += partial[(part + step) * stride + i];
  std::copy_n(partial.data(), size, dweight);
  if (dbias) std::copy_n(partial.data() + size, s.c_out, dbias);
}

#define SIGMA_INSTANTIATE(T)                                                     \
  template void conv_forward(const ConvSize&, const T*, const T*, const T*, T*); \
  template void conv_backward_data(const ConvSize&, const T*, const T*, T*);     \
  template void conv_backward_weight(const ConvSize&, const T*, const T*, T*, T*);
SIGMA_INSTANTIATE(float)
SIGMA_INSTANTIATE(double)
#undef SIGMA_INSTANTIATE

}  // namespace sigma::kernels
