// Kernels against their plain twins. Small integers make the sums exact, so the tolerance is zero; every SIMD
// target of the CPU and several numbers of threads must give the same.
#include <cmath>

#include "core/kernels/norm.h"
#include "core/kernels/reference.h"
#include "tests/support/kernels.h"

using namespace sigma;
using namespace sigma::kernels;
using namespace sigma::test;

namespace {

template <class T>
void check_gemm(bool parallel, Trans ta, Trans tb, int64_t m, int64_t n, int64_t k, T alpha, T beta,
                int64_t slack) {
  INFO((parallel ? "parallel " : "") << m << "x" << n << "x" << k << " transposes " << (ta == Trans::yes)
                                     << (tb == Trans::yes) << " alpha " << alpha << " beta " << beta);
  int64_t lda = (ta == Trans::yes ? m : k) + slack, ldb = (tb == Trans::yes ? k : n) + slack, ldc = n + slack;
  auto a = integers<T>(lda * (ta == Trans::yes ? k : m) + 1, 1);
  auto b = integers<T>(ldb * (tb == Trans::yes ? n : k) + 1, 2);
  auto c = beta == 0 ? nans<T>(m * ldc) : integers<T>(m * ldc, 3), expected = c;
  auto run = parallel ? parallel_gemm<T> : gemm<T>;
  run(ta, tb, m, n, k, alpha, a.data(), lda, b.data(), ldb, beta, c.data(), ldc);
  reference::gemm(ta, tb, m, n, k, alpha, a.data(), lda, b.data(), ldb, beta, expected.data(), ldc);
  int64_t wrong = 0, nonzero = 0;
  for (size_t i = 0; i < c.size(); ++i) {
    bool same =
        c[i] == expected[i] || (std::isnan(c[i]) && std::isnan(expected[i]));  // columns beyond n stay
    wrong += !same;
    nonzero += expected[i] != 0 && !std::isnan(expected[i]);
  }
  CHECK(wrong == 0);
  if (alpha != 0 && m * n > 8 && k > 2) CHECK(nonzero > 0);
}

}  // namespace

TEST_CASE("matrix products of small integers are exact for all sizes and transposes", "[kernels]") {
  const int64_t sizes[] = {0, 1, 3, 15, 16, 17, 130};
  for (Trans ta : {Trans::no, Trans::yes})
    for (Trans tb : {Trans::no, Trans::yes})
      for (int64_t m : sizes)
        for (int64_t n : sizes)
          for (int64_t k : sizes) {
            check_gemm<float>(false, ta, tb, m, n, k, 1, 0, 0);
            if (m < 130 || n < 130) check_gemm<double>(false, ta, tb, m, n, k, 2, -1, 3);
          }
  for (float alpha : {0.f, 1.f, -2.f})
    for (float beta : {0.f, 1.f, 3.f})
      check_gemm<float>(false, Trans::no, Trans::yes, 17, 16, 15, alpha, beta, 5);
  check_gemm<double>(false, Trans::yes, Trans::no, 3, 5, 0, 1.0, 2.0, 0);
  check_gemm<double>(false, Trans::yes, Trans::no, 4, 5, 6, 0.0, 0.0, 2);
}

TEST_CASE("matrix products cut into tiles are exact and the same for any number of threads", "[kernels]") {
  for (int threads : {1, 2, 3}) {
    int before = num_threads();
    set_num_threads(threads);
    for (Trans ta : {Trans::no, Trans::yes})
      for (Trans tb : {Trans::no, Trans::yes}) {
        check_gemm<float>(true, ta, tb, 300, 70, 100, 1, 0, 0);
        check_gemm<float>(true, ta, tb, 70, 301, 100, 2, 1, 3);
        check_gemm<double>(true, ta, tb, 257, 257, 33, 1, 0, 1);
        check_gemm<double>(true, ta, tb, 3, 0, 5, 1, 0, 0);
      }
    set_num_threads(before);
  }
}

TEST_CASE("convolutions of small integers equal the plain loops", "[kernels]") {
  struct Case {
    int64_t n, h, w, c_in, c_out, kh, kw, sh, sw, ph, pw, dh, dw, groups;
  };
  const Case cases[] = {
      {2, 5, 5, 3, 4, 3, 3, 1, 1, 0, 0, 1, 1, 1},    {2, 5, 6, 3, 4, 3, 3, 1, 1, 1, 1, 1, 1, 1},
      {1, 7, 7, 1, 1, 3, 3, 2, 2, 1, 1, 1, 1, 1},    {3, 6, 9, 2, 5, 2, 4, 2, 1, 0, 2, 1, 1, 1},
      {2, 8, 8, 4, 6, 3, 3, 1, 1, 2, 2, 2, 2, 1},    {2, 9, 7, 4, 6, 3, 2, 2, 1, 1, 0, 1, 3, 2},
      {2, 6, 6, 6, 6, 3, 3, 1, 1, 1, 1, 1, 1, 6},    {2, 6, 5, 3, 9, 3, 3, 2, 1, 1, 1, 1, 1, 3},
      {2, 4, 4, 3, 5, 4, 4, 1, 1, 0, 0, 1, 1, 1},    {2, 9, 9, 2, 3, 2, 2, 4, 3, 0, 0, 1, 1, 1},
      {2, 5, 4, 8, 7, 1, 1, 1, 1, 0, 0, 1, 1, 1},    {2, 5, 5, 4, 6, 1, 1, 1, 1, 0, 0, 1, 1, 2},
      {2, 5, 5, 4, 6, 1, 1, 2, 2, 0, 0, 1, 1, 1},    {2, 4, 4, 2, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1},
      {0, 5, 5, 3, 4, 3, 3, 1, 1, 1, 1, 1, 1, 1},    {1, 1, 1, 2, 3, 3, 3, 1, 1, 1, 1, 1, 1, 1},
      {1, 3, 3, 2, 2, 5, 5, 1, 1, 3, 3, 1, 1, 1},    {17, 6, 6, 5, 16, 3, 3, 1, 1, 1, 1, 1, 1, 1},
      {1, 90, 100, 3, 2, 5, 5, 1, 1, 2, 2, 1, 1, 1}, {2, 1, 12, 3, 4, 1, 5, 1, 2, 0, 2, 1, 1, 1},
      {33, 4, 4, 1, 3, 3, 3, 1, 1, 0, 0, 1, 1, 1},   {1, 40, 40, 32, 4, 3, 3, 1, 1, 1, 1, 1, 1, 1},
      {2, 11, 11, 2, 2, 3, 3, 3, 3, 0, 0, 4, 4, 1},  {2, 8, 8, 16, 16, 3, 3, 1, 1, 1, 1, 1, 1, 1},
      {3, 7, 9, 32, 48, 3, 3, 1, 1, 0, 0, 1, 1, 1},  {5, 5, 4, 48, 16, 3, 3, 1, 1, 2, 1, 1, 1, 1},
      {1, 1, 1, 16, 32, 3, 3, 1, 1, 1, 1, 1, 1, 1},  {2, 3, 2, 144, 160, 3, 3, 1, 1, 1, 2, 1, 1, 1},
      {2, 9, 9, 16, 32, 3, 3, 2, 2, 1, 1, 1, 1, 1},  {2, 8, 6, 32, 16, 1, 1, 2, 2, 0, 0, 1, 1, 1}};
  // The plain loops run once for all machines: they take longest.
  auto check = [&](auto zero, auto each_machine) {
    using T = decltype(zero);
    for (const Case& k : cases)
      for (bool with_bias : {false, true}) {
        ConvSize s{k.n,  k.h,  k.w,  k.c_in, 0,    0,    k.c_out, k.kh,
                   k.kw, k.sh, k.sw, k.ph,   k.pw, k.dh, k.dw,    k.groups};
        s.oh = (s.h + 2 * s.pad_h - s.dilation_h * (s.kh - 1) - 1) / s.stride_h + 1;
        s.ow = (s.w + 2 * s.pad_w - s.dilation_w * (s.kw - 1) - 1) / s.stride_w + 1;
        INFO("case " << &k - cases << " bias " << with_bias);
        int64_t in = s.n * s.pixels_in() * s.c_in, out = s.n * s.pixels_out() * s.c_out,
                taps = s.c_out * s.taps();
        auto x = integers<T>(in, 1), w = integers<T>(taps, 2), b = integers<T>(s.c_out, 3),
             dy = integers<T>(out, 4);
        const T* bias = with_bias ? b.data() : nullptr;
        auto y2 = nans<T>(out), dx2 = nans<T>(in), dw2 = nans<T>(taps), db2 = nans<T>(s.c_out);
        reference::conv_forward(s, x.data(), w.data(), bias, y2.data());
        reference::conv_backward_data(s, dy.data(), w.data(), dx2.data());
        reference::conv_backward_weight(s, dy.data(), x.data(), dw2.data(), with_bias ? db2.data() : nullptr);
        each_machine([&] {
          auto y = nans<T>(out), dx = nans<T>(in), dw = nans<T>(taps), db = nans<T>(s.c_out);
          conv_forward(s, x.data(), w.data(), bias, y.data());
          check_equal(y, y2);
          conv_backward_data(s, dy.data(), w.data(), dx.data());
          check_equal(dx, dx2);
          conv_backward_weight(s, dy.data(), x.data(), dw.data(), with_bias ? db.data() : nullptr);
          if (s.n) check_equal(dw, dw2);
          if (!s.n) CHECK(dw == dw2);  // zeros by right: there is no image
          if (with_bias) CHECK(db == db2);
        });
      }
  };
  check(float{}, on_every_machine);
  check(double{}, [](auto fn) { fn(); });
}

TEST_CASE("batch-norm kernels match two-pass statistics and plain loops", "[kernels]") {
  auto check = [](auto zero) {
    using T = decltype(zero);
    for (int64_t channels : {1, 3, 15, 16, 17, 64, 130})
      for (int64_t rows : {1, 2, 3, 129, 2500}) {
        INFO(rows << " rows, " << channels << " channels");
        int64_t n = rows * channels;
        auto x = integers<T>(n, 1, -9, 9), g = integers<T>(n, 2), y = nans<T>(n), y2 = y, dx = y, dx2 = y;
        for (int64_t i = 0; i < n; ++i)
          x[static_cast<size_t>(i)] += static_cast<T>(1000 * (i % channels % 3));
        auto mean = integers<T>(channels, 3), scale = integers<T>(channels, 4),
             shift = integers<T>(channels, 5);
        auto a = integers<T>(channels, 6), b = integers<T>(channels, 7), c = integers<T>(channels, 8);
        auto count = static_cast<size_t>(channels);
        std::vector<double> m(count), v(count), m2(count), v2(count);
        norm_statistics(x.data(), rows, channels, m.data(), v.data());
        reference::norm_statistics(x.data(), rows, channels, m2.data(), v2.data());
        int64_t wrong = 0;
        for (size_t i = 0; i < count; ++i) {
          // The sums of integers are exact; each of the parts rounds four times on its way into the total,
          // whose terms are at most the range 18 and its square.
          double each = 4 * static_cast<double>(norm_tasks(rows, channels)) * 0x1p-53;
          wrong += !(std::fabs(m[i] - m2[i]) <= 0x1p-53 * std::fabs(m2[i]) + each * 18);
          wrong += !(std::fabs(v[i] - v2[i]) <= each * 18 * 18);
        }
        CHECK(wrong == 0);
        if (rows > 100) CHECK(v2[0] > 1);
        // Forward with and without skip and ReLU; backward with no mask, the mask of the affine map, and that
        // of y.
        auto skip = integers<T>(n, 9);
        const NormAffine<T> f{mean.data(), scale.data(), shift.data()};
        std::vector<double> wide_mean(mean.begin(), mean.end());
        for (int with_skip : {0, 1})
          for (int relu : {0, 1}) {
            INFO("skip " << with_skip << " relu " << relu);
            norm_apply(x.data(), rows, channels, f, with_skip ? skip.data() : nullptr, relu, y.data());
            NormMask<T> mask;
            if (relu && with_skip) mask.y = y2.data();
            if (relu && !with_skip) mask.affine = &f;
            std::vector<double> sg(count), sgx(count), sg2(count), sgx2(count);
            auto masked = nans<T>(n), masked2 = masked;
            for (size_t i = 0; i < x.size(); ++i) {
              size_t k = i % count;
              T xhat = (x[i] - mean[k]) * scale[k] + shift[k], sum = with_skip ? xhat + skip[i] : xhat;
              y2[i] = relu && sum < 0 ? 0 : sum;
              masked2[i] = relu && !(sum > 0) ? 0 : g[i];
              sg2[k] += static_cast<double>(masked2[i]);
              sgx2[k] += static_cast<double>(masked2[i] * (x[i] - mean[k]));
              dx2[i] = a[k] * masked2[i] - b[k] - c[k] * xhat;
            }
            norm_backward_reduce(g.data(), x.data(), rows, channels, wide_mean.data(), mask, masked.data(),
                                 sg.data(), sgx.data());
            if (with_skip) mask.y = nullptr;
            norm_backward_apply(with_skip ? masked.data() : g.data(), x.data(), rows, channels, f, mask,
                                a.data(), b.data(), c.data(), dx.data());
            check_equal(y, y2);
            check_equal(masked, masked2);
            check_equal(dx, dx2);
            CHECK(sg == sg2);
            CHECK(sgx == sgx2);
          }
      }
  };
  on_every_machine([&] { check(float{}); });
  check(double{});
}

// The multiply-add of the vector loops is not fused on SSE2, that of the forward pass always is: an output
// that is only what the product's rounding leaves was positive forward and masked backward.
TEST_CASE("the mask of a ReLU that is computed again from x is that of the forward pass to the last bit",
          "[kernels]") {
  auto check = [](auto zero) {
    using T = decltype(zero);
    Rng rng(1, "mask");
    for (int64_t channels : {1, 3, 8, 16, 17, 64, 130})
      for (int64_t rows : {1, 5, 130}) {
        INFO(rows << " rows, " << channels << " channels");
        const auto count = static_cast<size_t>(channels);
        std::vector<T> mean(count), scale(count), shift(count), x(count * static_cast<size_t>(rows)), y(x),
            dx(x);
        std::vector<T> masked(x), g(x.size(), T(1)), one(count, T(1)), none(count, T(0));
        for (size_t c = 0; c < count; ++c) {
          mean[c] = static_cast<T>(rng.next_normal()), scale[c] = static_cast<T>(rng.next_normal());
          const T v = static_cast<T>(rng.next_normal());
          shift[c] = -(v - mean[c]) * scale[c];  // rounded, so that the output is the rounding's error
          for (size_t i = c; i < x.size(); i += count)
            x[i] = i / count % 2 ? v : static_cast<T>(rng.next_normal());
        }
        const NormAffine<T> f{mean.data(), scale.data(), shift.data()};
        const std::vector<double> m(count, 0.0);
        std::vector<double> sum_g(count), sum_gx(count);
        const T* skip = nullptr;
        norm_apply(x.data(), rows, channels, f, skip, true, y.data());
        const NormMask<T> mask{&f, nullptr};
        norm_backward_reduce(g.data(), x.data(), rows, channels, m.data(), mask, masked.data(), sum_g.data(),
                             sum_gx.data());
        norm_backward_apply(g.data(), x.data(), rows, channels, f, mask, one.data(), none.data(), none.data(),
                            dx.data());
        int64_t wrong = 0, tiny = 0;
        for (size_t i = 0; i < x.size(); ++i) {
          wrong += masked[i] != (y[i] > 0 ? T(1) : T(0));
          wrong += dx[i] != (y[i] > 0 ? T(1) : T(0));
          tiny += y[i] > 0 && y[i] < std::numeric_limits<T>::epsilon();
        }
        CHECK(wrong == 0);
        if (rows > 1 && channels > 8) CHECK(tiny > 0);
      }
  };
  on_every_machine([&] {
    check(float{});
    check(double{});
  });
}
