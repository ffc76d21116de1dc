// bfloat16 as a number format: rounding, the same bits from scalar code and every SIMD target, and tensors of
// it.
#include "core/bfloat16.h"

#include <cmath>
#include <cstring>

#include "core/kernels/conv.h"
#include "core/kernels/elementwise.h"
#include "core/kernels/norm.h"
#include "core/math.h"
#include "core/safetensors.h"
#include "tests/support/kernels.h"

using namespace sigma;
using namespace sigma::test;
using sigma::test::Contains;

namespace {

bfloat16 of_bits(uint32_t bits) {
  bfloat16 b;
  b.bits = static_cast<uint16_t>(bits);
  return b;
}
float float_of_bits(uint32_t bits) { return std::bit_cast<float>(bits); }

// Nearest by distance, in double, where both neighbours and both distances are exact; infinity stands at
// 2^128.
uint16_t nearest(float v) {
  uint32_t u = std::bit_cast<uint32_t>(v), low = u >> 16 & 0x7fff, sign = u >> 16 & 0x8000;
  if (std::isnan(v)) return static_cast<uint16_t>(u >> 16 | 0x40);  // quiet, sign and payload kept
  if (std::isinf(v)) return static_cast<uint16_t>(u >> 16);
  auto value = [](uint32_t bits) {
    return bits == 0x7f80 ? 0x1p128 : static_cast<double>(float_of_bits(bits << 16));
  };
  double a = std::fabs(static_cast<double>(v)), below = a - value(low), above = value(low + 1) - a;
  bool up = above < below || (above == below && low % 2 == 1);
  return static_cast<uint16_t>(sign | (low + up));
}

// Every upper half with lower halves around the tie, and random ones.
std::vector<float> many_floats() {
  std::vector<float> v;
  Rng rng(1, "bfloat16");
  for (uint32_t high = 0; high < 65536; ++high) {
    for (uint32_t low : {0u, 1u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu})
      v.push_back(float_of_bits(high << 16 | low));
    v.push_back(float_of_bits(high << 16 | static_cast<uint32_t>(rng.next_below(65536))));
  }
  return v;
}

int64_t count_wrong(const bfloat16* got, const std::vector<uint16_t>& expected, size_t n) {
  int64_t wrong = 0;
  for (size_t i = 0; i < n; ++i) wrong += got[i].bits != expected[i];
  return wrong;
}

}  // namespace

TEST_CASE("bfloat16 rounds to the nearest, ties to even, and keeps NaN, infinity and the sign of zero",
          "[bfloat16]") {
  auto rounded = [](float v) { return static_cast<float>(bfloat16(v)); };
  CHECK(rounded(1) == 1);
  CHECK(rounded(1 + 0x1p-8f) == 1);                // a tie, down to even
  CHECK(rounded(1 + 3 * 0x1p-8f) == 1 + 0x1p-6f);  // a tie, up to even
  CHECK(rounded(1 + 0x1p-8f + 0x1p-23f) == 1 + 0x1p-7f);
  CHECK(rounded(257) == 256);
  CHECK(bfloat16(-0.f).bits == 0x8000);
  CHECK(bfloat16(0.f).bits == 0);
  CHECK(bfloat16(INFINITY).bits == 0x7f80);
  CHECK(bfloat16(-INFINITY).bits == 0xff80);
  CHECK(rounded(0x1.fep127f) == 0x1.fep127f);      // the largest
  CHECK(rounded(0x1.fefffep127f) == 0x1.fep127f);  // below half a step more
  CHECK(rounded(0x1.ffp127f) == INFINITY);         // half a step more
  CHECK(rounded(-0x1.fffffep127f) == -INFINITY);
  CHECK(bfloat16(0x1p-133f).bits == 1);  // the smallest denormal
  CHECK(bfloat16(0x1p-134f).bits == 0);  // half of it: a tie with zero
  CHECK(bfloat16(-0x1.8p-134f).bits == 0x8001);
  CHECK(std::isnan(rounded(float_of_bits(0x7f800001))));  // its payload lies in the bits that go
  CHECK(std::isnan(rounded(float_of_bits(0xffffffff))));

  int64_t wrong = 0, changed = 0;
  for (float v : many_floats()) wrong += bfloat16(v).bits != nearest(v);
  CHECK(wrong == 0);
  // To float and back loses nothing, but that signalling NaNs become quiet.
  for (uint32_t b = 0; b < 65536; ++b) {
    bfloat16 x = of_bits(b);
    uint32_t kept = std::isnan(static_cast<float>(x)) ? b | 0x40 : b;
    changed += bfloat16(static_cast<float>(x)).bits != kept;
  }
  CHECK(changed == 0);
}

TEST_CASE("conversion kernels give the bits of the scalar conversion at every length and alignment",
          "[bfloat16][kernels]") {
  const std::vector<float> values = many_floats();
  std::vector<uint16_t> expected;
  for (float v : values) expected.push_back(nearest(v));
  on_every_machine([&] {
    std::vector<bfloat16> out(values.size());
    kernels::round(static_cast<int64_t>(values.size()), values.data(), out.data());
    CHECK(count_wrong(out.data(), expected, out.size()) == 0);
    std::vector<float> wide(out.size());
    kernels::convert(static_cast<int64_t>(out.size()), out.data(), wide.data());
    int64_t wrong = 0;
    for (size_t i = 0; i < out.size(); ++i)
      wrong += std::bit_cast<uint32_t>(wide[i]) != static_cast<uint32_t>(out[i].bits) << 16;
    CHECK(wrong == 0);
    for (int64_t n : {0, 1, 3, 15, 16, 17, 130})
      for (size_t shift : {0u, 1u, 3u}) {
        INFO("length " << n << " shift " << shift);
        auto count = static_cast<size_t>(n);
        const size_t first = values.size() / 2 - 70 + shift;  // around infinity, NaN and minus zero
        std::vector<bfloat16> some(count + shift + 1, of_bits(0x1234));
        kernels::round(n, values.data() + first, some.data() + shift);
        CHECK(count_wrong(some.data() + shift,
                          {expected.begin() + static_cast<int64_t>(first), expected.end()}, count) == 0);
        CHECK(some[count + shift].bits == 0x1234);  // nothing beyond
        std::vector<float> back(count + shift + 1, 7);
        kernels::convert(n, some.data() + shift, back.data() + shift);
        wrong = 0;
        for (size_t i = 0; i < count; ++i)
          wrong += std::bit_cast<uint32_t>(back[i + shift]) != static_cast<uint32_t>(some[i + shift].bits)
                                                                   << 16;
        CHECK(wrong == 0);
        CHECK(back[count + shift] == 7);
      }
  });
}

// Vector stores made every NaN 0x7fc0 where the scalar code at the end of a row kept sign and payload, so
// that the bits depended on where in a row a value stood.
TEST_CASE("the kernels' own vector stores round like the scalar conversion, NaN included",
          "[bfloat16][kernels]") {
  std::vector<float> values = many_floats();
  std::vector<float> nan(values.end() - 7 * 100, values.end());  // upper halves 0xff9c to 0xffff
  nan.insert(nan.end(), values.begin() + 7 * 0x7f70, values.begin() + 7 * 0x7fb0);
  values.insert(values.begin(), nan.begin(), nan.end());
  on_every_machine([&] {
    // A convolution of one pixel of value 1: y = weight, rounded by the kernel's store. Arithmetic takes
    // denormal numbers as zero (denormals.h), and 0 + -0 is 0.
    auto stored = [](float w) { return std::fpclassify(w) == FP_SUBNORMAL ? 0.f : w + 0.f; };
    for (int64_t n :
         {int64_t{1}, int64_t{3}, int64_t{15}, int64_t{16}, int64_t{17}, int64_t{130}, int64_t{30001}}) {
      INFO("channels " << n);
      kernels::ConvSize s{1, 1, 1, 1, 1, 1, n, 1, 1, 1, 1, 0, 0, 1, 1, 1};
      const bfloat16 one(1);
      for (int64_t at = 0; at < (n == 30001 ? static_cast<int64_t>(values.size()) : n); at += n) {
        const int64_t from = std::min(at, static_cast<int64_t>(values.size()) - n);
        const float* w = values.data() + from;
        std::vector<bfloat16> y(static_cast<size_t>(n));
        kernels::conv_forward(s, &one, w, static_cast<const float*>(nullptr), y.data());
        int64_t wrong = 0;
        for (int64_t i = 0; i < n; ++i) wrong += y[static_cast<size_t>(i)].bits != nearest(stored(w[i]));
        CHECK(wrong == 0);
      }
    }
    // Every bfloat16 through the load and the store of batch normalization's backward pass.
    std::vector<bfloat16> all(65536 + 3), masked(all.size());
    for (size_t i = 0; i < all.size(); ++i) all[i] = of_bits(static_cast<uint32_t>(i));
    auto channels = static_cast<int64_t>(all.size());  // three scalar columns at the end
    std::vector<double> mean(all.size()), sum_g(all.size()), sum_gx(all.size());
    kernels::norm_backward_reduce(all.data(), all.data(), 1, channels, mean.data(), {}, masked.data(),
                                  sum_g.data(), sum_gx.data());
    int64_t wrong = 0;
    for (size_t i = 0; i < all.size(); ++i) wrong += masked[i].bits != nearest(static_cast<float>(all[i]));
    CHECK(wrong == 0);
  });
}

TEST_CASE("tensors of bfloat16 hold, print, rearrange and save their values", "[bfloat16][tensor]") {
  const DType b = DType::bfloat16;
  Tensor ones = Tensor::ones({2, 3}, b), zeros = Tensor::zeros({3}, b), full = Tensor::full({2}, 1.01, b);
  CHECK(ones.bytes() == 12);
  CHECK(ones.to_vector() == std::vector<double>(6, 1.0));
  CHECK(zeros.to_vector() == std::vector<double>(3, 0.0));
  CHECK(full.to_vector() == std::vector<double>(2, 1.0078125));
  CHECK(Tensor::scalar(-2.5, b).item() == -2.5);
  CHECK(full.str() == "Tensor((2), bfloat16, [1.00781, 1.00781])");
  CHECK_THAT(error_of([&] { full.data<float>(); }),
             Contains("expected float32 elements, the tensor holds bfloat16"));

  Tensor x = random_integers({2, 3, 4, 5}, -100, 100, 1, b), wide = x.to(DType::float32);
  std::vector<double> values = wide.to_vector();
  CHECK(norm2(wide) > 100);
  CHECK(x.to_vector() == values);
  CHECK(x.at({1, 2, 3, 4}) == wide.at({1, 2, 3, 4}));
  CHECK(x.to(Layout::channels_last).at({1, 2, 0, 4}) == wide.at({1, 2, 0, 4}));
  CHECK(x.to(Layout::channels_last).to_vector() == values);
  CHECK(x.to(Layout::channels_last).to(DType::float32).to_vector() == values);
  for (DType d : {DType::float64, DType::int64, DType::float32}) CHECK(identical(x.to(d).to(b), x));
  CHECK(x.reshape({6, -1}).to_vector() == values);
  auto same = [](const Tensor& got, const Tensor& expected) {
    CHECK(got.dtype() == DType::bfloat16);
    CHECK(identical(got.to(DType::float32), expected));
  };
  same(permute(x, {3, 0, 2, 1}), permute(wide, {3, 0, 2, 1}));
  same(slice(x, 1, 1, 2), slice(wide, 1, 1, 2));
  same(cat({x, x}, 2), cat({wide, wide}, 2));
  same(index_rows(x, {1, 0, 1}), index_rows(wide, {1, 0, 1}));
  same(amax(x, {1}), amax(wide, {1}));
  same(sum(x, {2}), sum(wide, {2}).to(b).to(DType::float32));
  CHECK(identical(argmax(x, 1), argmax(wide, 1)));
  CHECK(sum(Tensor::ones({1000}, b)).item() == 1000);  // one rounding, not one a term
  Tensor to = Tensor::empty({2, 3, 4, 5}, b, Layout::channels_last);
  to.copy_(wide);
  same(to, wide.to(Layout::channels_last));
  to.fill_(3);
  CHECK(to.at({0, 0, 0, 0}) == 3);
  CHECK(all_finite(x));
  CHECK(!all_finite(Tensor::full({3}, INFINITY, b)));
  CHECK(Tensor::full({1}, 1e39, b).item() == INFINITY);

  SafeTensors file;
  file.tensors = {{"x", x}, {"empty", Tensor::zeros({0, 4}, b)}};
  std::string bytes = serialize_safetensors(file);
  CHECK(bytes.find("\"dtype\":\"BF16\"") != std::string::npos);  // not the bytes themselves in a message
  SafeTensors back = parse_safetensors(Bytes(bytes.begin(), bytes.end()), "memory");
  CHECK(identical(back.tensors.at("x"), x));
  CHECK(back.tensors.at("empty").dtype() == b);
}
