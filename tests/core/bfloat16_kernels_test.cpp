// Kernels on bfloat16 values against float: each reads what is stored, computes in float and rounds once, so
// that for exact sums the result is the plain twin's, rounded, and for any data the float kernel's, rounded.
// Bits, not bounds.
#include <cmath>

#include "core/kernels/elementwise.h"
#include "core/kernels/layout.h"
#include "core/kernels/norm.h"
#include "core/kernels/reduce.h"
#include "core/kernels/reference.h"
#include "tests/support/kernels.h"

using namespace sigma;
using namespace sigma::kernels;
using namespace sigma::test;
using Half = std::vector<bfloat16>;
using Float = std::vector<float>;

namespace {

Float wide(const Half& v) { return {v.begin(), v.end()}; }
Half rounded(const Float& v) {
  Half out;
  for (float x : v) out.push_back(bfloat16(x));
  return out;
}
Half unset(int64_t n) { return Half(static_cast<size_t>(n), bfloat16(NAN)); }

// Small integers, or normal values.
Half data(int64_t n, uint64_t seed, bool integer) {
  if (integer) return rounded(integers<float>(n, seed));
  Half v;
  Rng rng(seed, "bfloat16 kernels");
  for (int64_t i = 0; i < n; ++i) v.push_back(bfloat16(rng.next_normal()));
  return v;
}

void check_bits(const Half& got, const Half& expected) {
  REQUIRE(got.size() == expected.size());
  int64_t wrong = 0, nonzero = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    // Zeros of either sign are alike: a sum of nothing and a product with zero differ in it.
    wrong += !(got[i].bits == expected[i].bits || (got[i] == 0.f && expected[i] == 0.f));
    nonzero += expected[i] != 0.f;
  }
  CHECK(wrong == 0);
  if (got.size() > 8) CHECK(nonzero > 0);
}
void check_bits(const Half& got, const Float& expected) { check_bits(got, rounded(expected)); }

}  // namespace

TEST_CASE("convolutions on bfloat16 are those on float, rounded once", "[bfloat16][kernels]") {
  struct Case {
    int64_t n, h, w, c_in, c_out, kernel, stride, pad, dilation, groups;
  };
  const Case cases[] = {
      {2, 5, 5, 3, 4, 3, 1, 0, 1, 1},   {1, 7, 7, 1, 1, 3, 2, 1, 1, 1},   {2, 8, 8, 4, 6, 3, 1, 2, 2, 1},
      {2, 9, 7, 4, 6, 3, 2, 1, 1, 2},   {2, 6, 6, 6, 6, 3, 1, 1, 1, 6},   {2, 5, 4, 8, 17, 1, 1, 0, 1, 1},
      {2, 5, 5, 4, 6, 1, 2, 0, 1, 1},   {0, 5, 5, 3, 4, 3, 1, 1, 1, 1},   {1, 3, 3, 2, 2, 5, 1, 3, 1, 1},
      {17, 6, 6, 5, 16, 3, 1, 1, 1, 1}, {2, 8, 8, 16, 16, 3, 1, 1, 1, 1}, {3, 7, 9, 32, 48, 3, 1, 0, 1, 1},
      {1, 1, 1, 16, 32, 3, 1, 1, 1, 1}, {2, 9, 9, 16, 32, 3, 2, 1, 1, 1}, {2, 3, 2, 144, 160, 3, 1, 1, 1, 1}};
  on_every_machine([&] {
    for (const Case& k : cases)
      for (bool integer : {true, false}) {
        INFO("case " << &k - cases << " integers " << integer);
        auto out_size = [&](int64_t size) {
          return (size + 2 * k.pad - k.dilation * (k.kernel - 1) - 1) / k.stride + 1;
        };
        ConvSize s{k.n,      k.h,      k.w,      k.c_in, out_size(k.h), out_size(k.w), k.c_out,    k.kernel,
                   k.kernel, k.stride, k.stride, k.pad,  k.pad,         k.dilation,    k.dilation, k.groups};
        int64_t in = s.n * s.pixels_in() * s.c_in, out = s.n * s.pixels_out() * s.c_out,
                taps = s.c_out * s.taps();
        Half x = data(in, 1, integer), dy = data(out, 2, integer);
        Float w = wide(data(taps, 3, integer)), b = wide(data(s.c_out, 4, integer));
        if (!integer)
          for (float& v : w) v *= 1.001f;  // weights are not rounded
        Float wx = wide(x), wdy = wide(dy), y2 = nans<float>(out), dx2 = nans<float>(in), dw2(w.size()),
              db2(b.size());
        if (integer) {
          reference::conv_forward(s, wx.data(), w.data(), b.data(), y2.data());
          reference::conv_backward_data(s, wdy.data(), w.data(), dx2.data());
          reference::conv_backward_weight(s, wdy.data(), wx.data(), dw2.data(), db2.data());
        } else {
          conv_forward(s, wx.data(), w.data(), b.data(), y2.data());
          conv_backward_data(s, wdy.data(), w.data(), dx2.data());
          conv_backward_weight(s, wdy.data(), wx.data(), dw2.data(), db2.data());
        }
        Half y = unset(out), dx = unset(in);
        Float dw = nans<float>(taps), db = nans<float>(s.c_out);
        std::vector<double> mean(b.size()), var(mean), mean2(mean), var2(mean);
        ConvEpilogue moments;
        if (out > 0) moments.mean = mean.data(), moments.var = var.data();
        conv_forward(s, x.data(), w.data(), b.data(), y.data(), moments);
        check_bits(y, y2);
        if (out > 0) {  // of what is stored, not of what was rounded away: batch norm normalises that
          Float stored = wide(y);
          reference::norm_statistics(stored.data(), s.n * s.pixels_out(), s.c_out, mean2.data(), var2.data());
          for (size_t c = 0; c < mean.size(); ++c) {
            CHECK(mean[c] == Approx(mean2[c]).epsilon(1e-12).margin(1e-12));
            CHECK(var[c] == Approx(var2[c]).epsilon(1e-12).margin(1e-12));
          }
        }
        conv_forward(s, x.data(), w.data(), b.data(), y.data(), {.relu = true});
        for (float& v : y2) v = v < 0 ? 0 : v;
        check_bits(y, y2);
        conv_backward_data(s, dy.data(), w.data(), dx.data());
        check_bits(dx, dx2);
        conv_backward_weight(s, dy.data(), x.data(), dw.data(), db.data());
        CHECK(dw == dw2);
        CHECK(db == db2);
      }
  });
}

TEST_CASE("batch-norm kernels on bfloat16 are those on float, rounded once", "[bfloat16][kernels]") {
  on_every_machine([] {
    for (int64_t channels : {1, 3, 15, 16, 17, 64, 130})
      for (int64_t rows : {1, 3, 129, 1000})
        for (bool integer : {true, false}) {
          INFO(rows << " rows, " << channels << " channels, integers " << integer);
          int64_t n = rows * channels;
          Half x = data(n, 1, integer), g = data(n, 2, integer), skip = data(n, 3, integer);
          Float wx = wide(x), wg = wide(g), wskip = wide(skip);
          auto constants = [&](uint64_t seed) {
            Float v = wide(data(channels, seed, integer));
            for (float& c : v) c *= integer ? 1.f : 1.001f;
            return v;
          };
          Float mean = constants(4), scale = constants(5), shift = constants(6), a = constants(7),
                b = constants(8), k = constants(9);
          auto count = static_cast<size_t>(channels);
          std::vector<double> m(count), v(count), m2(count), v2(count), sg(count), sgx(count), sg2(count),
              sgx2(count);
          norm_statistics(x.data(), rows, channels, m.data(), v.data());
          norm_statistics(wx.data(), rows, channels, m2.data(), v2.data());
          CHECK(m == m2);
          CHECK(v == v2);
          const NormAffine<float> f{mean.data(), scale.data(), shift.data()};
          std::vector<double> wide_mean(mean.begin(), mean.end());
          for (int with_skip : {0, 1})
            for (int relu : {0, 1}) {
              INFO("skip " << with_skip << " relu " << relu);
              Half y = unset(n), dx = unset(n), masked = unset(n);
              Float y2(wx.size()), dx2(wx.size()), masked2(wx.size());
              norm_apply(x.data(), rows, channels, f, with_skip ? skip.data() : nullptr, relu, y.data());
              norm_apply(wx.data(), rows, channels, f, with_skip ? wskip.data() : nullptr, relu, y2.data());
              if (integer)
                for (size_t i = 0; i < y2.size(); ++i) {
                  size_t c = i % count;
                  float sum = (wx[i] - mean[c]) * scale[c] + shift[c] + (with_skip ? wskip[i] : 0.f);
                  y2[i] = relu && sum < 0 ? 0 : sum;
                }
              check_bits(y, y2);
              y2 = wide(y);  // as stored
              NormMask<bfloat16> mask;
              NormMask<float> mask2;
              if (relu && with_skip) mask.y = y.data(), mask2.y = y2.data();
              if (relu && !with_skip) mask.affine = mask2.affine = &f;
              norm_backward_reduce(g.data(), x.data(), rows, channels, wide_mean.data(), mask, masked.data(),
                                   sg.data(), sgx.data());
              norm_backward_reduce(wg.data(), wx.data(), rows, channels, wide_mean.data(), mask2,
                                   masked2.data(), sg2.data(), sgx2.data());
              check_bits(masked, masked2);
              CHECK(sg == sg2);
              CHECK(sgx == sgx2);
              mask.y = nullptr, mask2.y = nullptr;
              norm_backward_apply(g.data(), x.data(), rows, channels, f, mask, a.data(), b.data(), k.data(),
                                  dx.data());
              norm_backward_apply(wg.data(), wx.data(), rows, channels, f, mask2, a.data(), b.data(),
                                  k.data(), dx2.data());
              check_bits(dx, dx2);
            }
        }
  });
}

// Means and overlapping windows were added up in bfloat16, a rounding an addition: the mean of 32 x 32 ones
// was 0.25.
TEST_CASE("pooling on bfloat16 is that on float, rounded once", "[bfloat16][kernels]") {
  const PoolSize sizes[] = {
      {2, 6, 6, 3, 3, 3, 2, 2, 2, 2, 0, 0},     {2, 7, 5, 17, 4, 3, 3, 3, 2, 2, 1, 1},
      {3, 5, 5, 1, 5, 5, 3, 3, 1, 1, 1, 1},     {2, 9, 8, 16, 4, 4, 2, 2, 2, 2, 0, 0},
      {2, 4, 4, 15, 1, 1, 4, 4, 1, 1, 0, 0},    {0, 4, 4, 2, 2, 2, 2, 2, 2, 2, 0, 0},
      {2, 32, 32, 5, 1, 1, 32, 32, 1, 1, 0, 0}, {1, 14, 14, 33, 6, 6, 9, 9, 1, 1, 0, 0}};
  on_every_machine([&] {
    for (const PoolSize& s : sizes)
      for (bool integer : {true, false}) {
        INFO("size " << &s - sizes << " integers " << integer);
        int64_t in = s.n * s.h * s.w * s.c, out = s.n * s.oh * s.ow * s.c;
        Half x = data(in, 1, integer), dy = data(out, 2, integer), y = unset(out), dx = unset(in);
        Float wx = wide(x), wdy = wide(dy), y2 = nans<float>(out), dx2 = nans<float>(in);
        std::vector<int32_t> index(static_cast<size_t>(out), -1), index2 = index;
        max_pool_forward(s, x.data(), y.data(), index.data());
        max_pool_forward(s, wx.data(), y2.data(), index2.data());
        CHECK(index == index2);
        check_bits(y, y2);
        max_pool_backward(s, dy.data(), index.data(), dx.data());
        max_pool_backward(s, wdy.data(), index.data(), dx2.data());
        check_bits(dx, dx2);
        for (int mode : {0, 1, 2}) {
          INFO("mode " << mode);
          y = unset(out), dx = unset(in);
          if (mode < 2) {
            avg_pool_forward(s, mode, x.data(), y.data());
            avg_pool_forward(s, mode, wx.data(), y2.data());
            avg_pool_backward(s, mode, dy.data(), dx.data());
            avg_pool_backward(s, mode, wdy.data(), dx2.data());
          } else {
            adaptive_avg_pool_forward(s, x.data(), y.data());
            adaptive_avg_pool_forward(s, wx.data(), y2.data());
            adaptive_avg_pool_backward(s, dy.data(), dx.data());
            adaptive_avg_pool_backward(s, wdy.data(), dx2.data());
          }
          check_bits(y, y2);
          check_bits(dx, dx2);
        }
      }
    const PoolSize global{1, 32, 32, 3, 1, 1, 0, 0, 0, 0, 0, 0};
    Half ones(32 * 32 * 3, bfloat16(1)), mean = unset(3);
    adaptive_avg_pool_forward(global, ones.data(), mean.data());
    check_bits(mean, Float{1, 1, 1});
    // A NaN wins over all, as in float.
    ones[3 * 33] = bfloat16(NAN);
    std::vector<int32_t> index(3);
    max_pool_forward({1, 32, 32, 3, 1, 1, 32, 32, 1, 1, 0, 0}, ones.data(), mean.data(), index.data());
    CHECK(std::isnan(mean[0]));
    CHECK(index == std::vector<int32_t>{33, 0, 0});
  });
}

TEST_CASE("elementwise and rearranging kernels on bfloat16 are those on float, rounded once",
          "[bfloat16][kernels]") {
  on_every_machine([] {
    for (int64_t n : {0, 1, 3, 15, 16, 17, 130, 32769})
      for (bool integer : {true, false}) {
        INFO("length " << n << " integers " << integer);
        // One element in: vectors are not aligned.
        auto tail = [](Half v) { return Half(v.begin() + 1, v.end()); };
        Half a = data(n + 1, 1, integer), b = data(n + 1, 2, integer), y = unset(n + 1);
        Float wa = wide(a), wb = wide(b), y2(wa.size());
        add(n, a.data() + 1, b.data() + 1, y.data() + 1);
        add(n, wa.data() + 1, wb.data() + 1, y2.data() + 1);
        y2[0] = 0;
        check_bits(tail(y), Float(y2.begin() + 1, y2.end()));
        CHECK(std::isnan(y[0]));
        Half in_place = a;
        add(n, in_place.data() + 1, b.data() + 1, in_place.data() + 1);
        check_bits(tail(in_place), tail(y));
        scale(n, a.data() + 1, -0.3f, y.data() + 1);
        scale(n, wa.data() + 1, -0.3f, y2.data() + 1);
        check_bits(tail(y), Float(y2.begin() + 1, y2.end()));
        for (Activation kind : {Activation::relu, Activation::leaky_relu, Activation::sigmoid,
                                Activation::tanh, Activation::gelu}) {
          INFO("activation " << static_cast<int>(kind));
          activation_forward(kind, n, a.data() + 1, 0.1f, y.data() + 1);
          activation_forward(kind, n, wa.data() + 1, 0.1f, y2.data() + 1);
          check_bits(tail(y), Float(y2.begin() + 1, y2.end()));
          activation_backward(kind, n, b.data() + 1, a.data() + 1, 0.1f, y.data() + 1);
          activation_backward(kind, n, wb.data() + 1, wa.data() + 1, 0.1f, y2.data() + 1);
          check_bits(tail(y), Float(y2.begin() + 1, y2.end()));
        }
      }
    for (auto [rows, n] : {std::pair<int64_t, int64_t>{0, 3}, {1, 17}, {5, 1}, {300, 130}, {3, 40000}}) {
      INFO(rows << " rows of " << n);
      Half x = data(rows * n, 3, false), y = unset(rows * n), to = unset(rows * n);
      Float wx = wide(x), bias = wide(data(n, 4, false)), y2(wx.size()), sums(bias.size()), sums2(sums),
            from = wx, to2(wx.size());
      for (float& v : from) v *= 1.001f;
      column_sums(x.data(), rows, n, sums.data());
      column_sums(wx.data(), rows, n, sums2.data());
      CHECK(sums == sums2);
      for (const float* shift : {static_cast<const float*>(nullptr), static_cast<const float*>(bias.data())})
        for (bool relu : {false, true}) {
          add_rows(rows, n, from.data(), shift, relu, y.data());
          add_rows(rows, n, from.data(), shift, relu, y2.data());
          check_bits(y, y2);
        }
      transpose_batched(x.data(), 1, rows, n, to.data());
      transpose_batched(wx.data(), 1, rows, n, to2.data());
      check_bits(to, to2);
    }
  });
}
