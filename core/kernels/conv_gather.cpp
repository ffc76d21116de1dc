// Index arithmetic of conv_direct.h.
#include <algorithm>

#include "core/kernels/conv_direct.h"

namespace sigma::kernels {

Gather forward_gather(const ConvSize& s) {
  Gather g;
  g.n = s.n, g.h = s.h, g.w = s.w, g.c = s.c_in;
  g.top = s.pad_h, g.left = s.pad_w;
  g.padded_h = s.h + 2 * s.pad_h, g.padded_w = s.w + 2 * s.pad_w;
  g.rows = g.out_h = s.oh, g.columns = g.out_w = s.ow;
  g.step_y = s.stride_h, g.step_x = s.stride_w;
  g.last_row = (s.kh - 1) * s.dilation_h;
  g.groups = s.groups, g.group_in = s.c_in / s.groups;
  g.out_c = s.c_out, g.group_out = s.c_out / s.groups;
  bool whole_rows = s.groups == 1 && s.dilation_w == 1;  // the taps of one kernel row lie next to each other
  g.length = whole_rows ? s.kw * s.c_in : g.group_in;
  for (int64_t ky = 0; ky < s.kh; ++ky)
    for (int64_t kx = 0; kx < (whole_rows ? 1 : s.kw); ++kx)
      g.offsets.push_back((ky * s.dilation_h * g.padded_w + kx * s.dilation_w) * s.c_in);
  return g;
}

Gather backward_gather(const ConvSize& s, int64_t phase_y, int64_t phase_x, std::vector<int64_t>& taps) {
  Gather g;
  g.n = s.n, g.h = s.oh, g.w = s.ow, g.c = s.c_out;
  g.rows = s.h > phase_y ? (s.h - phase_y + s.stride_h - 1) / s.stride_h : 0;
  g.columns = s.w > phase_x ? (s.w - phase_x + s.stride_w - 1) / s.stride_w : 0;
  g.out_h = s.h, g.out_w = s.w, g.out_c = s.c_in;
  g.out_y = phase_y, g.out_x = phase_x, g.out_step_y = s.stride_h, g.out_step_x = s.stride_w;
  g.groups = s.groups, g.group_in = s.c_out / s.groups, g.group_out = s.c_in / s.groups;
  g.length = g.group_in;
  // Output row t receives source row t + shift for each kernel row that fits the phase.
  struct Fit {
    int64_t kernel, shift;
  };
  auto fits = [](int64_t kernel, int64_t phase, int64_t pad, int64_t dilation, int64_t stride) {
    std::vector<Fit> list;
    for (int64_t k = 0; k < kernel; ++k)
      if (int64_t d = phase + pad - k * dilation; d % stride == 0) list.push_back({k, d / stride});
    return list;
  };
  auto ys = fits(s.kh, phase_y, s.pad_h, s.dilation_h, s.stride_h);
  auto xs = fits(s.kw, phase_x, s.pad_w, s.dilation_w, s.stride_w);
  taps.clear();
  if (ys.empty() || xs.empty()) return g;
  auto low = [](const std::vector<Fit>& list) {
    return std::min_element(list.begin(), list.end(), [](Fit a, Fit b) { return a.shift < b.shift; })->shift;
  };
  auto high = [](const std::vector<Fit>& list) {
    return std::max_element(list.begin(), list.end(), [](Fit a, Fit b) { return a.shift < b.shift; })->shift;
  };
  g.top = std::max<int64_t>(0, -low(ys)), g.left = std::max<int64_t>(0, -low(xs));
  g.padded_h = g.top + std::max(g.h, g.rows + high(ys)),
  g.padded_w = g.left + std::max(g.w, g.columns + high(xs));
  g.first_row = low(ys) + g.top, g.last_row = high(ys) + g.top;
  for (Fit y : ys)
    for (Fit x : xs) {
      g.offsets.push_back(((y.shift + g.top) * g.padded_w + x.shift + g.left) * g.c);
      taps.push_back(y.kernel * s.kw + x.kernel);
    }
  return g;
}

}  // namespace sigma::kernels
