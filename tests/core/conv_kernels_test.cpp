// The two algorithms of convolution, each called by itself: Winograd's error against its bound and against
// the plain loops, adjoints, linearity, and what the epilogue sums.
#include <cmath>

#include "core/kernels/conv_direct.h"
#include "core/kernels/conv_winograd.h"
#include "core/kernels/norm.h"
#include "core/kernels/reference.h"
#include "tests/support/kernels.h"

using namespace sigma;
using namespace sigma::kernels;
using namespace sigma::test;

namespace {

ConvSize square(int64_t n, int64_t h, int64_t w, int64_t c_in, int64_t c_out, int64_t pad_h, int64_t pad_w,
                int64_t kernel = 3, int64_t stride = 1) {
  ConvSize s{n, h, w, c_in, 0, 0, c_out, kernel, kernel, stride, stride, pad_h, pad_w, 1, 1, 1};
  s.oh = (h + 2 * pad_h - kernel) / stride + 1, s.ow = (w + 2 * pad_w - kernel) / stride + 1;
  return s;
}

// Odd and even sides, single pixels, every padding, one and several tasks, panels and channel blocks.
const std::vector<ConvSize>& winograd_sizes() {
  static const std::vector<ConvSize> sizes = {
      square(1, 1, 1, 16, 16, 1, 1),   square(17, 1, 1, 32, 16, 1, 1), square(2, 1, 1, 16, 48, 2, 2),
      square(1, 3, 3, 16, 32, 0, 0),   square(2, 7, 5, 48, 16, 0, 0),  square(3, 8, 9, 16, 64, 1, 1),
      square(1, 33, 6, 16, 16, 1, 1),  square(2, 5, 4, 32, 80, 2, 2),  square(1, 4, 7, 112, 16, 1, 0),
      square(17, 3, 2, 16, 16, 0, 2),  square(1, 5, 70, 16, 32, 2, 1), square(2, 3, 3, 160, 144, 1, 1),
      square(1, 9, 11, 32, 160, 1, 1), square(5, 6, 6, 64, 64, 1, 1)};
  return sizes;
}

template <class T>
std::vector<T> normals(int64_t n, uint64_t seed, double deviation = 1, double mean = 0) {
  std::vector<T> v(static_cast<size_t>(n));
  Rng rng(seed, "conv kernels");
  for (T& x : v) x = static_cast<T>(mean + deviation * rng.next_normal());
  return v;
}

std::vector<double> widened(const std::vector<float>& v) { return {v.begin(), v.end()}; }

struct Data {
  std::vector<float> x, w, bias, dy;
  explicit Data(const ConvSize& s)
      : x(normals<float>(s.n * s.pixels_in() * s.c_in, 1)),
        w(normals<float>(s.c_out * s.taps(), 2, 0.1)),
        bias(normals<float>(s.c_out, 3)),
        dy(normals<float>(s.n * s.pixels_out() * s.c_out, 4)) {}
};

const double kU = 0x1p-24;
double gamma(double roundings) { return roundings * kU / (1 - roundings * kU); }

// conv_winograd.h's bound of a 3x3 sum over `c` channels of images n x h x w: for every output pixel and
// output channel 4 * sum over c of (sum |image| over the 9 pixels) (sum |filter| over the 9 taps), times the
// roundings' share.
// `filter_sums` is [outputs][c].
std::vector<double> sum_bound(int64_t n, int64_t h, int64_t w, int64_t c, const std::vector<float>& image,
                              int64_t oh, int64_t ow, int64_t pad_h, int64_t pad_w, int64_t outputs,
                              const std::vector<double>& filter_sums) {
  std::vector<double> bound(static_cast<size_t>(n * oh * ow * outputs)), patch(static_cast<size_t>(c));
  double* to = bound.data();
  for (int64_t i = 0; i < n; ++i)
    for (int64_t oy = 0; oy < oh; ++oy)
      for (int64_t ox = 0; ox < ow; ++ox, to += outputs) {
        std::fill(patch.begin(), patch.end(), 0.0);
        for (int64_t y = std::max<int64_t>(0, oy - pad_h); y < std::min(h, oy - pad_h + 3); ++y)
          for (int64_t x = std::max<int64_t>(0, ox - pad_w); x < std::min(w, ox - pad_w + 3); ++x)
            for (int64_t k = 0; k < c; ++k)
              patch[static_cast<size_t>(k)] +=
                  std::fabs(static_cast<double>(image[static_cast<size_t>(((i * h + y) * w + x) * c + k)]));
        for (int64_t o = 0; o < outputs; ++o) {
          double sum = 0;
          for (int64_t k = 0; k < c; ++k)
            sum += patch[static_cast<size_t>(k)] * filter_sums[static_cast<size_t>(o * c + k)];
          to[o] = 4 * gamma(static_cast<double>(c) + 10) * sum;
        }
      }
  return bound;
}

// sum |w| over the taps, [c_out][c_in] or, transposed, [c_in][c_out].
std::vector<double> filter_sums(const ConvSize& s, const std::vector<float>& w, bool transposed) {
  std::vector<double> sums(static_cast<size_t>(s.c_out * s.c_in), 0.0);
  for (int64_t i = 0; i < s.c_out * s.taps(); ++i) {
    int64_t o = i / s.taps(), c = i % s.c_in;
    sums[static_cast<size_t>(transposed ? c * s.c_out + o : o * s.c_in + c)] +=
        std::fabs(static_cast<double>(w[static_cast<size_t>(i)]));
  }
  return sums;
}

// The weight gradient's bound: 4 * sum over tiles of (sum |dy| over its 2x2 pixels) (sum |x| over its 4x4).
std::vector<double> gradient_bound(const ConvSize& s, const Data& d) {
  std::vector<double> pairs(static_cast<size_t>(s.c_out * s.c_in), 0.0);
  auto box = [](const std::vector<float>& image, int64_t h, int64_t w, int64_t c, int64_t i, int64_t y0,
                int64_t x0, int64_t side) {
    std::vector<double> sum(static_cast<size_t>(c), 0.0);
    for (int64_t y = std::max<int64_t>(0, y0); y < std::min(h, y0 + side); ++y)
      for (int64_t x = std::max<int64_t>(0, x0); x < std::min(w, x0 + side); ++x)
        for (int64_t k = 0; k < c; ++k)
          sum[static_cast<size_t>(k)] +=
              std::fabs(static_cast<double>(image[static_cast<size_t>(((i * h + y) * w + x) * c + k)]));
    return sum;
  };
  int64_t tiles = 0;
  for (int64_t i = 0; i < s.n; ++i)
    for (int64_t y = 0; y < s.oh; y += 2)
      for (int64_t x = 0; x < s.ow; x += 2, ++tiles) {
        auto g = box(d.dy, s.oh, s.ow, s.c_out, i, y, x, 2);
        auto v = box(d.x, s.h, s.w, s.c_in, i, y - s.pad_h, x - s.pad_w, 4);
        for (size_t o = 0; o < g.size(); ++o)
          for (size_t c = 0; c < v.size(); ++c) pairs[o * v.size() + c] += g[o] * v[c];
      }
  std::vector<double> bound(static_cast<size_t>(s.c_out * s.taps()));
  for (int64_t i = 0; i < s.c_out * s.taps(); ++i)
    bound[static_cast<size_t>(i)] = 4 * gamma(static_cast<double>(tiles) + 8) *
                                    pairs[static_cast<size_t>(i / s.taps() * s.c_in + i % s.c_in)];
  return bound;
}

double rms_error(const std::vector<float>& got, const std::vector<double>& exact) {
  double sum = 0;
  for (size_t i = 0; i < got.size(); ++i)
    sum += (static_cast<double>(got[i]) - exact[i]) * (static_cast<double>(got[i]) - exact[i]);
  return std::sqrt(sum / static_cast<double>(got.size()));
}

// Every value within its bound, and the whole about as good as the plain loops in float32, if those sum up
// enough products for it to be a question: a sum of one or two rounds once or twice, transforms or not.
void check_error(const char* what, const std::vector<float>& got, const std::vector<double>& exact,
                 const std::vector<double>& bound, double plain_rms, int64_t products = 16) {
  INFO(what);
  REQUIRE(got.size() == exact.size());
  REQUIRE(got.size() == bound.size());
  int64_t outside = 0;
  for (size_t i = 0; i < got.size(); ++i)
    outside += !(std::fabs(static_cast<double>(got[i]) - exact[i]) <= bound[i]);
  CHECK(outside == 0);
  if (products >= 16) CHECK(rms_error(got, exact) <= 2 * plain_rms);
}

double dot(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

struct Algorithm {
  const char* name;
  void (*forward)(const ConvSize&, const float*, const float*, const float*, float*, const ConvEpilogue&);
  void (*backward_data)(const ConvSize&, const float*, const float*, float*);
  void (*backward_weight)(const ConvSize&, const float*, const float*, float*);
};
const Algorithm kWinograd{"winograd", winograd_forward<float>, winograd_backward_data<float>,
                          winograd_backward_weight<float>};
const Algorithm kDirect{"direct", direct_forward<float>, direct_backward_data<float>,
                        direct_backward_weight<float>};

}  // namespace

TEST_CASE("Winograd's results are within their error bound and as good as the plain loops", "[kernels]") {
  for (const ConvSize& s : winograd_sizes()) {
    INFO("size " << &s - winograd_sizes().data());
    REQUIRE(winograd_fits(s));
    const Data d(s);
    const auto x = widened(d.x), w = widened(d.w), dy = widened(d.dy);
    std::vector<double> y2(dy.size()), dx2(x.size()), dw2(w.size());
    reference::conv_forward(s, x.data(), w.data(), static_cast<const double*>(nullptr), y2.data());
    reference::conv_backward_data(s, dy.data(), w.data(), dx2.data());
    reference::conv_backward_weight(s, dy.data(), x.data(), dw2.data(), static_cast<double*>(nullptr));
    std::vector<float> y(y2.size()), dx(dx2.size()), dw(dw2.size());
    reference::conv_forward(s, d.x.data(), d.w.data(), static_cast<const float*>(nullptr), y.data());
    reference::conv_backward_data(s, d.dy.data(), d.w.data(), dx.data());
    reference::conv_backward_weight(s, d.dy.data(), d.x.data(), dw.data(), static_cast<float*>(nullptr));
    const double rms_y = rms_error(y, y2), rms_dx = rms_error(dx, dx2), rms_dw = rms_error(dw, dw2);
    const auto bound_y = sum_bound(s.n, s.h, s.w, s.c_in, d.x, s.oh, s.ow, s.pad_h, s.pad_w, s.c_out,
                                   filter_sums(s, d.w, false));
    const auto bound_dx = sum_bound(s.n, s.oh, s.ow, s.c_out, d.dy, s.h, s.w, 2 - s.pad_h, 2 - s.pad_w,
                                    s.c_in, filter_sums(s, d.w, true));
    const auto bound_dw = gradient_bound(s, d);
    on_every_machine([&] {
      y = nans<float>(s.n * s.pixels_out() * s.c_out), dx = nans<float>(s.n * s.pixels_in() * s.c_in);
      dw = nans<float>(s.c_out * s.taps());
      winograd_forward(s, d.x.data(), d.w.data(), nullptr, y.data(), {});
      check_error("forward", y, y2, bound_y, rms_y);
      winograd_backward_data(s, d.dy.data(), d.w.data(), dx.data());
      check_error("backward to the data", dx, dx2, bound_dx, rms_dx);
      winograd_backward_weight(s, d.dy.data(), d.x.data(), dw.data());
      check_error("backward to the weights", dw, dw2, bound_dw, rms_dw,
                  s.n * std::min(s.pixels_in(), s.pixels_out()));
    });
  }
}

TEST_CASE("Winograd's error follows the neighbours' products and not an output's own", "[kernels]") {
  // One tap, the centre, whose own pixel is tiny next to the one to its right: the direct sum is exact, while
  // the transforms add the two and lose the tiny one. Hence the bound multiplies sums, and no bound in
  // sum |x||w| can hold.
  const ConvSize s = square(1, 3, 3, 16, 16, 0, 0);
  std::vector<float> x(9 * 16, 0.f), w(16 * 9 * 16, 0.f), y(16), direct(16);
  x[4 * 16] = 1e-9f, x[5 * 16] = 1.f;  // channel 0
  for (size_t o = 0; o < 16; ++o) w[(o * 9 + 4) * 16] = 1.f;
  const auto bound = sum_bound(1, 3, 3, 16, x, 1, 1, 0, 0, 16, filter_sums(s, w, false));
  on_every_machine([&] {
    winograd_forward(s, x.data(), w.data(), nullptr, y.data(), {});
    direct_forward(s, x.data(), w.data(), nullptr, direct.data(), {});
    for (size_t o = 0; o < 16; ++o) {
      CHECK(direct[o] == 1e-9f);
      double error = std::fabs(static_cast<double>(y[o]) - static_cast<double>(1e-9f));
      CHECK(error > 0.5e-9);  // all of it: (K + 16) u 9 |x||w| would allow 1.7e-14
      CHECK(error <= bound[o]);
    }
  });
}

TEST_CASE("both algorithms' backward passes are the adjoints of their forward passes", "[kernels]") {
  // Small integers: every sum is exact, and so is <conv(x), y> = <x, conv'(y)> = <w, dw>.
  auto check = [](const Algorithm& a, const ConvSize& s) {
    INFO(a.name << " " << s.n << "x" << s.h << "x" << s.w << " " << s.c_in << " to " << s.c_out);
    const auto x = integers<float>(s.n * s.pixels_in() * s.c_in, 1),
               w = integers<float>(s.c_out * s.taps(), 2),
               dy = integers<float>(s.n * s.pixels_out() * s.c_out, 3);
    auto y = nans<float>(s.n * s.pixels_out() * s.c_out), dx = nans<float>(s.n * s.pixels_in() * s.c_in),
         dw = nans<float>(s.c_out * s.taps());
    a.forward(s, x.data(), w.data(), nullptr, y.data(), {});
    a.backward_data(s, dy.data(), w.data(), dx.data());
    a.backward_weight(s, dy.data(), x.data(), dw.data());
    CHECK(dot(y, dy) != 0);
    CHECK(dot(y, dy) == dot(x, dx));
    CHECK(dot(y, dy) == dot(w, dw));
  };
  on_every_machine([&] {
    for (const ConvSize& s : winograd_sizes()) {
      check(kWinograd, s);
      check(kDirect, s);
    }
    check(kDirect, square(3, 9, 7, 5, 6, 2, 1, 4, 3));
    check(kDirect, square(2, 8, 5, 3, 17, 0, 0, 1, 2));
  });
}

TEST_CASE("the weight gradient is linear in the images and in their gradients", "[kernels]") {
  auto check = [](const Algorithm& a, const ConvSize& s) {
    INFO(a.name << " " << s.n << "x" << s.h << "x" << s.w << " " << s.c_in << " to " << s.c_out);
    const auto x1 = integers<float>(s.n * s.pixels_in() * s.c_in, 1),
               x2 = integers<float>(s.n * s.pixels_in() * s.c_in, 2),
               g1 = integers<float>(s.n * s.pixels_out() * s.c_out, 3),
               g2 = integers<float>(s.n * s.pixels_out() * s.c_out, 4);
    auto combined = [](const std::vector<float>& p, const std::vector<float>& q) {
      std::vector<float> sum(p.size());
      for (size_t i = 0; i < p.size(); ++i) sum[i] = 2 * p[i] - q[i];
      return sum;
    };
    auto gradient = [&](const std::vector<float>& g, const std::vector<float>& x) {
      auto dw = nans<float>(s.c_out * s.taps());
      a.backward_weight(s, g.data(), x.data(), dw.data());
      return dw;
    };
    check_equal(gradient(combined(g1, g2), x1), combined(gradient(g1, x1), gradient(g2, x1)));
    check_equal(gradient(g1, combined(x1, x2)), combined(gradient(g1, x1), gradient(g1, x2)));
  };
  on_every_machine([&] {
    for (size_t i : {3, 5, 9, 11, 13}) {
      check(kWinograd, winograd_sizes()[i]);
      check(kDirect, winograd_sizes()[i]);
    }
    check(kDirect, square(3, 9, 7, 5, 6, 2, 1, 4, 3));
  });
}

TEST_CASE("statistics summed during a convolution are those of its outputs", "[kernels]") {
  // Small batches, odd sizes, and images far from zero: deviation 1e-2 around 1e4, whose squares would lose
  // everything in float64 sums without a pivot.
  auto check = [](const Algorithm& a, const ConvSize& s, double mean, double deviation) {
    for (bool relu : {false, true})
      for (bool with_bias : {false, true}) {
        INFO(a.name << " " << s.n << "x" << s.h << "x" << s.w << " " << s.c_in << " to " << s.c_out
                    << " around " << mean << " relu " << relu << " bias " << with_bias);
        const auto x = normals<float>(s.n * s.pixels_in() * s.c_in, 1, deviation, mean),
                   w = normals<float>(s.c_out * s.taps(), 2, 0.1), b = normals<float>(s.c_out, 3);
        const float* bias = with_bias ? b.data() : nullptr;
        const int64_t rows = s.n * s.pixels_out();
        auto plain = nans<float>(rows * s.c_out), y = plain;
        a.forward(s, x.data(), w.data(), bias, plain.data(), {});
        const auto count = static_cast<size_t>(s.c_out);
        std::vector<double> m = nans<double>(s.c_out), v = m, m2 = m, v2 = m;
        a.forward(s, x.data(), w.data(), bias, y.data(), {relu, m.data(), v.data()});
        int64_t wrong = 0, cut = 0;
        for (size_t i = 0; i < y.size(); ++i) {
          cut += plain[i] < 0;
          wrong += !(y[i] == (relu && plain[i] < 0 ? 0 : plain[i]));
        }
        CHECK(wrong == 0);
        CHECK(cut > 0);
        reference::norm_statistics(y.data(), rows, s.c_out, m2.data(), v2.data());
        std::vector<float> low(count, INFINITY), high(count, -INFINITY);
        for (size_t i = 0; i < y.size(); ++i) {
          low[i % count] = std::min(low[i % count], y[i]);
          high[i % count] = std::max(high[i % count], y[i]);
        }
        for (size_t c = 0; c < count; ++c) {
          // Sums of `rows` deviations of at most the range from the pivot, and of their squares; at the end
          // the mean is rounded once. For these sizes at most 1e-13 of the range.
          const double range = static_cast<double>(high[c]) - static_cast<double>(low[c]),
                       each = (static_cast<double>(rows) + 16) * 0x1p-53;
          wrong += !(std::fabs(m[c] - m2[c]) <= each * range + 0x1p-52 * std::fabs(m2[c]));
          wrong += !(std::fabs(v[c] - v2[c]) <= 4 * each * range * range);
          wrong += !(rows == 1 || v2[c] > 0 || relu);
        }
        CHECK(wrong == 0);
        std::vector<double> m3(m), v3(v);  // and what the layers one by one compute
        norm_statistics(y.data(), rows, s.c_out, m3.data(), v3.data());
        for (size_t c = 0; c < count; ++c) {
          wrong += !(std::fabs(m[c] - m3[c]) <= 1e-13 * std::sqrt(v3[c]) + 0x1p-52 * std::fabs(m3[c]));
          wrong += !(std::fabs(v[c] - v3[c]) <= 1e-13 * v3[c]);
        }
        CHECK(wrong == 0);
      }
  };
  on_every_machine([&] {
    for (auto [mean, deviation] : {std::pair(0.0, 1.0), std::pair(1e4, 1e-2)}) {
      for (const ConvSize& s : {square(1, 2, 1, 16, 16, 1, 1), square(2, 7, 5, 32, 48, 0, 0),
                                square(3, 9, 13, 16, 16, 1, 1), square(17, 3, 5, 16, 32, 2, 2)}) {
        check(kWinograd, s, mean, deviation);
        check(kDirect, s, mean, deviation);
      }
      check(kDirect, square(2, 9, 7, 3, 6, 1, 1, 5, 2), mean, deviation);
      check(kDirect, square(1, 40, 33, 2, 5, 1, 1), mean, deviation);
      check(kDirect, square(5, 1, 3, 7, 17, 0, 0, 1), mean, deviation);
    }
  });
}

TEST_CASE("statistics of a convolution whose outputs are all alike are exact", "[kernels]") {
  // Without padding and with equal images every output of a channel is the same number: variance 0, whatever
  // the mean is. One image of one pixel is the smallest case.
  on_every_machine([&] {
    for (const ConvSize& s : {square(1, 3, 3, 16, 16, 0, 0), square(3, 7, 6, 16, 32, 0, 0)}) {
      const std::vector<float> x(static_cast<size_t>(s.n * s.pixels_in() * s.c_in), 1e4f + 0.25f);
      const auto w = normals<float>(s.c_out * s.taps(), 2);
      for (const Algorithm& a : {kWinograd, kDirect}) {
        auto y = nans<float>(s.n * s.pixels_out() * s.c_out);
        std::vector<double> m = nans<double>(s.c_out), v = m;
        a.forward(s, x.data(), w.data(), nullptr, y.data(), {false, m.data(), v.data()});
        for (size_t c = 0; c < m.size(); ++c) {
          CHECK(m[c] == static_cast<double>(y[c]));
          CHECK(v[c] == 0);
        }
      }
    }
  });
}
