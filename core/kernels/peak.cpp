#include "core/kernels/peak.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/peak.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace sigma::kernels::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// Two FMAs a cycle with a latency of four cycles need eight chains; with sixteen nothing else can be in the
// way (AVX2 has sixteen registers, of which two hold the operands: twelve chains).
int64_t rounds_of(int64_t rounds, float* keep) {
  const hn::CappedTag<float, 16> d;
  constexpr int kChains = HWY_TARGET == HWY_AVX3 ? 16 : 12;
  const auto factor = hn::Set(d, 0.999f), term = hn::Set(d, *keep);
  hn::Vec<decltype(d)> sum[kChains];
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) sum[i] = hn::Set(d, static_cast<float>(i));
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) sum[i] = hn::MulAdd(sum[i], factor, term);
  }
  for (int i = 1; i < kChains; ++i) sum[0] = sum[0] + sum[i];
  *keep = hn::GetLane(sum[0]);
  return rounds * kChains * 2 * static_cast<int64_t>(hn::Lanes(d));
}

}  // namespace
}  // namespace sigma::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sigma::kernels {
HWY_EXPORT(rounds_of);
int64_t multiply_add_rounds(int64_t rounds, float* keep) {
  return HWY_DYNAMIC_DISPATCH(rounds_of)(rounds, keep);
}
}  // namespace sigma::kernels
#endif
