// Pooling, elementwise and rearranging kernels, at the lengths where vector loops end, on every SIMD target.
#include <cmath>

#include "core/kernels/elementwise.h"
#include "core/kernels/layout.h"
#include "core/kernels/reduce.h"
#include "core/kernels/reference.h"
#include "core/kernels/sgd.h"
#include "tests/support/kernels.h"

using namespace sigma;
using namespace sigma::kernels;
using namespace sigma::test;

namespace {

// Plain mean pooling, and its transpose: fn(input index, output index, window size) for every pair.
template <class Fn>
void each_mean_term(const PoolSize& s, bool adaptive, bool count_padding, Fn&& fn) {
  for (int64_t n = 0; n < s.n; ++n)
    for (int64_t oy = 0; oy < s.oh; ++oy)
      for (int64_t ox = 0; ox < s.ow; ++ox) {
        int64_t y0 = oy * s.stride_h - s.pad_h, x0 = ox * s.stride_w - s.pad_w, y1 = y0 + s.kh,
                x1 = x0 + s.kw;
        if (adaptive) {
          y0 = oy * s.h / s.oh, x0 = ox * s.w / s.ow;
          y1 = ((oy + 1) * s.h + s.oh - 1) / s.oh, x1 = ((ox + 1) * s.w + s.ow - 1) / s.ow;
        }
        int64_t real = 0;
        auto inside = [&](int64_t y, int64_t x) { return y >= 0 && y < s.h && x >= 0 && x < s.w; };
        for (int64_t y = y0; y < y1; ++y)
          for (int64_t x = x0; x < x1; ++x) real += inside(y, x);
        int64_t count = count_padding ? s.kh * s.kw : real;
        for (int64_t y = y0; y < y1; ++y)
          for (int64_t x = x0; x < x1; ++x)
            for (int64_t c = 0; c < s.c && inside(y, x); ++c)
              fn(((n * s.h + y) * s.w + x) * s.c + c, ((n * s.oh + oy) * s.ow + ox) * s.c + c, count);
      }
}

template <class T>
void check_close(const std::vector<T>& got, const std::vector<T>& expected, double bound) {
  double worst = 0, largest = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    double d = std::fabs(static_cast<double>(got[i]) - static_cast<double>(expected[i]));
    if (!(d <= worst)) worst = d;  // a NaN stays
    largest = std::max(largest, std::fabs(static_cast<double>(expected[i])));
  }
  CHECK(worst <= bound);
  if (got.size() > 8) CHECK(largest > 0.01);
}

// A copy of `v` that starts `shift` elements after a 64-byte boundary.
template <class T>
struct Shifted {
  std::vector<T> memory;
  T* p;
  Shifted(const std::vector<T>& v, int shift)
      : memory(v.size() + 64 / sizeof(T) + static_cast<size_t>(shift)) {
    auto address = reinterpret_cast<uintptr_t>(memory.data());
    p = memory.data() + ((address + 63) / 64 * 64 - address) / sizeof(T) + shift;
    std::copy(v.begin(), v.end(), p);
  }
  std::vector<T> values(size_t n) const { return {p, p + n}; }
};

}  // namespace

TEST_CASE("pooling equals the plain loops", "[kernels]") {
  const PoolSize sizes[] = {{2, 6, 6, 3, 3, 3, 2, 2, 2, 2, 0, 0},  {2, 7, 5, 17, 4, 3, 3, 3, 2, 2, 1, 1},
                            {3, 5, 5, 1, 5, 5, 3, 3, 1, 1, 1, 1},  {1, 9, 8, 16, 2, 2, 2, 3, 5, 4, 0, 0},
                            {2, 4, 4, 15, 1, 1, 4, 4, 1, 1, 0, 0}, {0, 4, 4, 2, 2, 2, 2, 2, 2, 2, 0, 0},
                            {2, 3, 6, 33, 4, 3, 2, 2, 1, 2, 1, 0}, {9, 40, 40, 4, 20, 20, 2, 2, 2, 2, 0, 0}};
  auto check = [&](auto zero) {
    using T = decltype(zero);
    for (const PoolSize& s : sizes) {
      INFO("size " << &s - sizes);
      int64_t in = s.n * s.h * s.w * s.c, out = s.n * s.oh * s.ow * s.c;
      // Few distinct values: ties are common, and the first of equals must win. A NaN wins over all.
      auto x = integers<T>(in, 1, -2, 2), dy = integers<T>(out, 2), y = nans<T>(out), y2 = y;
      for (size_t i = 7; i < x.size(); i += 61) x[i] = std::numeric_limits<T>::quiet_NaN();
      std::vector<int32_t> index(static_cast<size_t>(out), -1), index2 = index;
      max_pool_forward(s, x.data(), y.data(), index.data());
      reference::max_pool_forward(s, x.data(), y2.data(), index2.data());
      CHECK(index == index2);
      int64_t wrong = 0;
      for (size_t i = 0; i < y.size(); ++i)
        wrong += !(y[i] == y2[i] || (std::isnan(y[i]) && std::isnan(y2[i])));
      CHECK(wrong == 0);
      auto dx = nans<T>(in);
      std::vector<T> dx2(static_cast<size_t>(in), T(0));
      max_pool_backward(s, dy.data(), index.data(), dx.data());
      for (int64_t i = 0; i < out; ++i) {
        int64_t image = i / (s.oh * s.ow * s.c), at = index2[static_cast<size_t>(i)];
        dx2[static_cast<size_t>((image * s.h * s.w + at) * s.c + i % s.c)] += dy[static_cast<size_t>(i)];
      }
      check_equal(dx, dx2);

      x = integers<T>(in, 3);
      for (bool adaptive : {false, true})
        for (bool counted : {false, true}) {
          if (adaptive && counted) continue;
          std::vector<T> m2(static_cast<size_t>(out), T(0)), d2(static_cast<size_t>(in), T(0));
          auto m = nans<T>(out), d = nans<T>(in);
          each_mean_term(s, adaptive, counted, [&](int64_t i, int64_t o, int64_t count) {
            m2[static_cast<size_t>(o)] += x[static_cast<size_t>(i)] / static_cast<T>(count);
            d2[static_cast<size_t>(i)] += dy[static_cast<size_t>(o)] / static_cast<T>(count);
          });
          if (adaptive) {
            adaptive_avg_pool_forward(s, x.data(), m.data());
            adaptive_avg_pool_backward(s, dy.data(), d.data());
          } else {
            avg_pool_forward(s, counted, x.data(), m.data());
            avg_pool_backward(s, counted, dy.data(), d.data());
          }
          // At most 400 terms of at most 4, or 16 overlapping windows, each with a few roundings.
          double u = sizeof(T) == 4 ? 0x1p-24 : 0x1p-53;
          check_close(m, m2, 400 * 4 * u);
          check_close(d, d2, 16 * 4 * 4 * u);
        }
    }
  };
  on_every_machine([&] { check(float{}); });
  check(double{});
}

TEST_CASE("elementwise sums, products and updates are exact at every length and alignment", "[kernels]") {
  auto check = [](auto zero) {
    using T = decltype(zero);
    for (int64_t n : {0, 1, 3, 15, 16, 17, 130, 32767, 32768, 32769})
      for (int shift : {0, 1, 3}) {
        INFO("length " << n << " shift " << shift);
        auto count = static_cast<size_t>(n);
        auto a = integers<T>(n, 1), b = integers<T>(n, 2), expected = a;
        Shifted<T> sa(a, shift), sb(b, 2 * shift), out(nans<T>(n), shift);
        add(n, sa.p, sb.p, out.p);
        for (size_t i = 0; i < count; ++i) expected[i] = a[i] + b[i];
        check_equal(out.values(count), expected);
        add(n, sa.p, sb.p, sa.p);  // in place
        check_equal(sa.values(count), expected);
        scale(n, sb.p, T(-3), sb.p);
        for (size_t i = 0; i < count; ++i) expected[i] = -3 * b[i];
        check_equal(sb.values(count), expected);

        // Dyadic factors, so that nothing rounds, fused or not.
        const auto g = integers<T>(n, 3), v = integers<T>(n, 4), p = integers<T>(n, 5);
        for (bool nesterov : {false, true})
          for (bool first : {false, true})
            for (double momentum : {0.0, 0.5}) {
              SgdStep s{0.25, momentum, nesterov ? 0 : 0.5, 0.5, nesterov, first};
              auto v2 = v, p2 = p;
              Shifted<T> sg(g, shift), sv(v, 1 + shift), sp(p, shift);
              const SgdParameter<T> one{n, s, sg.p, momentum > 0 ? sv.p : nullptr, sp.p};
              sgd_update(&one, 1);
              for (size_t i = 0; i < count; ++i) {
                double d = static_cast<double>(g[i]) + 0.5 * static_cast<double>(p[i]), step = d;
                if (momentum > 0) {
                  double velocity = first ? d : 0.5 * static_cast<double>(v[i]) + (1 - s.dampening) * d;
                  v2[i] = static_cast<T>(velocity);
                  step = nesterov ? d + 0.5 * velocity : velocity;
                }
                p2[i] = static_cast<T>(static_cast<double>(p[i]) - 0.25 * step);
              }
              check_equal(sp.values(count), p2);
              check_equal(sv.values(count), v2);
            }

        double squares = 0;
        for (T value : a) squares += static_cast<double>(value) * static_cast<double>(value);
        Shifted<T> again(a, shift);
        CHECK(sum_of_squares(again.p, n) == squares);
        CHECK(all_finite(again.p, n));
        if (n) again.p[n - 1] = std::numeric_limits<T>::infinity();
        CHECK(all_finite(again.p, n) == (n == 0));
      }
    for (auto [rows, n] : {std::pair<int64_t, int64_t>{0, 3}, {1, 17}, {5, 1}, {300, 130}, {3, 40000}}) {
      auto x = integers<T>(rows * n, 6), bias = integers<T>(n, 7), y = x, sums = nans<T>(n);
      std::vector<T> expected(static_cast<size_t>(n), T(0)), shifted = x;
      for (size_t i = 0; i < x.size(); ++i) {
        expected[i % bias.size()] += x[i];
        shifted[i] += bias[i % bias.size()];
      }
      column_sums(x.data(), rows, n, sums.data());
      CHECK(sums == expected);
      add_rows(rows, n, y.data(), bias.data(), false, y.data());
      check_equal(y, shifted);
    }
  };
  on_every_machine([&] { check(float{}); });
  check(double{});
}

TEST_CASE("activations and their derivatives match long double at every length", "[kernels]") {
  struct Case {
    Activation kind;
    bool saves_output;
    long double (*f)(long double);
    long double (*df)(long double);
  };
  using L = long double;
  static const L root2 = std::sqrt(L(2));
  const Case cases[] = {
      {Activation::relu, true, [](L x) { return x > 0 ? x : 0; }, [](L x) { return x > 0 ? L(1) : 0; }},
      {Activation::leaky_relu, false, [](L x) { return x > 0 ? x : x / 4; },
       [](L x) { return x > 0 ? L(1) : L(0.25); }},
      {Activation::sigmoid, true, [](L x) { return 1 / (1 + std::exp(-x)); },
       [](L x) { return std::exp(-x) / ((1 + std::exp(-x)) * (1 + std::exp(-x))); }},
      {Activation::tanh, true, [](L x) { return std::tanh(x); },
       [](L x) { return 1 - std::tanh(x) * std::tanh(x); }},
      {Activation::gelu, false, [](L x) { return x / 2 * (1 + std::erf(x / root2)); },
       [](L x) {
         return (1 + std::erf(x / root2)) / 2 + x * std::exp(-x * x / 2) / std::sqrt(2 * std::acos(L(-1)));
       }}};
  auto check = [&](auto zero) {
    using T = decltype(zero);
    const double u = sizeof(T) == 4 ? 0x1p-24 : 0x1p-53;
    for (const Case& k : cases)
      for (int64_t n : {0, 1, 3, 15, 16, 17, 130, 32769})
        for (int shift : {0, 1}) {
          INFO("activation " << static_cast<int>(k.kind) << " length " << n << " shift " << shift);
          auto x = integers<T>(n, 1, -96, 96), g = integers<T>(n, 2), y = x, dx = x;
          for (T& v : x) v /= 16;  // -6 to 6
          for (size_t i = 0; i < x.size(); ++i) {
            y[i] = static_cast<T>(k.f(static_cast<L>(x[i])));
            dx[i] = static_cast<T>(static_cast<L>(g[i]) * k.df(static_cast<L>(x[i])));
          }
          Shifted<T> sx(x, shift), sg(g, shift), sy(nans<T>(n), shift), sdx(nans<T>(n), shift);
          activation_forward(k.kind, n, sx.p, T(0.25), sy.p);
          // A handful of roundings of values up to 6; g is at most 4, slopes at most 1.13, and erf's and
          // exp's errors are below 2 u each.
          check_close(sy.values(x.size()), y, 6 * 6 * u);
          activation_backward(k.kind, n, sg.p, k.saves_output ? sy.p : sx.p, T(0.25), sdx.p);
          check_close(sdx.values(x.size()), dx, 4 * 16 * u);
        }
    // Far out nothing overflows to NaN; a NaN stays one.
    const T huge = std::numeric_limits<T>::max(), nan = std::numeric_limits<T>::quiet_NaN();
    const T far[] = {huge, -huge, T(0), nan};
    for (const Case& k : cases) {
      T y[4];
      activation_forward(k.kind, 4, far, T(0.25), y);
      CHECK(std::isfinite(y[0]));
      CHECK(std::isfinite(y[1]));
      CHECK(y[2] == static_cast<T>(k.f(0)));
      CHECK(std::isnan(y[3]));
    }
  };
  on_every_machine([&] { check(float{}); });
  check(double{});
}

TEST_CASE("batches of matrices are transposed at sizes around the tile", "[kernels]") {
  for (int64_t rows : {0, 1, 15, 16, 17, 130})
    for (int64_t cols : {0, 1, 15, 16, 17, 33})
      for (int64_t batch : {0, 1, 3, 70}) {
        auto from = integers<float>(batch * rows * cols, 1), to = nans<float>(batch * rows * cols),
             expected = to;
        for (int64_t b = 0; b < batch; ++b)
          for (int64_t i = 0; i < rows; ++i)
            for (int64_t j = 0; j < cols; ++j)
              expected[static_cast<size_t>((b * cols + j) * rows + i)] =
                  from[static_cast<size_t>((b * rows + i) * cols + j)];
        transpose_batched(from.data(), batch, rows, cols, to.data());
        check_equal(to, expected);
      }
}
