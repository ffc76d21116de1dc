// Loads and stores of vectors whose elements are kept as float, double or bfloat16. Included once a SIMD
// target.
#if defined(SIGMA_KERNELS_CONVERT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SIGMA_KERNELS_CONVERT_INL_H_
#undef SIGMA_KERNELS_CONVERT_INL_H_
#else
#define SIGMA_KERNELS_CONVERT_INL_H_
#endif

#include <hwy/highway.h>

#include "core/bfloat16.h"

HWY_BEFORE_NAMESPACE();
namespace sigma::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class D>
HWY_INLINE hn::Vec<D> load(D d, const hn::TFromD<D>* from) {
  return hn::LoadU(d, from);
}
template <class D>
HWY_INLINE hn::Vec<D> load(D d, const bfloat16* from) {
  const hn::RebindToUnsigned<D> d32;
  const hn::Rebind<uint16_t, D> d16;
  const auto bits = hn::LoadU(d16, reinterpret_cast<const uint16_t*>(from));
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(d32, bits)));
}

// float32 to bfloat16 bits, to the nearest, ties to even; a NaN keeps its sign and payload and becomes quiet,
// as in bfloat16.h and as AVX512-BF16 does it.
template <class D>
HWY_INLINE hn::Vec<hn::Rebind<uint16_t, D>> round_bits(D, hn::Vec<D> v) {
  const hn::RebindToUnsigned<D> du;
  const hn::RebindToSigned<D> di;
  const hn::Rebind<uint16_t, D> d16;
  const auto u = hn::BitCast(du, v);
  const auto high = hn::ShiftRight<16>(u), odd = hn::And(high, hn::Set(du, 1u));
  const auto rounded = hn::ShiftRight<16>(u + hn::Set(du, 0x7fffu) + odd);
  const auto bits = hn::IfThenElse(hn::RebindMask(du, v == v), rounded, hn::Or(high, hn::Set(du, 0x40u)));
  return hn::DemoteTo(d16, hn::BitCast(di, bits));  // saturates at 65535, which nothing exceeds
}

template <class D>
HWY_INLINE void store(hn::Vec<D> v, D d, hn::TFromD<D>* to) {
  hn::StoreU(v, d, to);
}
template <class D>
HWY_INLINE void store(hn::Vec<D> v, D d, bfloat16* to) {
  hn::StoreU(round_bits(d, v), hn::Rebind<uint16_t, D>(), reinterpret_cast<uint16_t*>(to));
}

// Where there are instructions for it MaskedLoad and BlendedStore touch the selected lanes alone. Elsewhere
// (NEON, SSE, the emulation) Highway reads all of them, and writes back what it read: past the end of an
// array, and over what another thread writes there.
constexpr bool kMasksMemory = (HWY_TARGET & (HWY_AVX2 | HWY_AVX3 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 |
                                             HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV | HWY_SCALAR)) != 0;

// The first `count` lanes, at least one, which `some` selects; the others are zero, and are not touched in
// memory.
template <class D, class M>
HWY_INLINE hn::Vec<D> load_some(D d, const hn::TFromD<D>* from, M some, int64_t count) {
  if constexpr (kMasksMemory) return hn::MaskedLoad(some, d, from);
  if (count == static_cast<int64_t>(hn::Lanes(d))) return hn::LoadU(d, from);
  alignas(64) hn::TFromD<D> buffer[hn::MaxLanes(D())] = {};
  for (int64_t i = 0; i < count; ++i) buffer[i] = from[i];
  return hn::Load(d, buffer);
}
template <class D, class M>
HWY_INLINE hn::Vec<D> load_some(D d, const bfloat16* from, M, int64_t count) {
  if (count == static_cast<int64_t>(hn::Lanes(d))) return load(d, from);
  alignas(64) bfloat16 buffer[hn::MaxLanes(D())] = {};
  for (int64_t i = 0; i < count; ++i) buffer[i] = from[i];
  return load(d, buffer);
}
template <class D, class M>
HWY_INLINE void store_some(hn::Vec<D> v, D d, hn::TFromD<D>* to, M some, int64_t count) {
  if constexpr (kMasksMemory) return hn::BlendedStore(v, some, d, to);
  if (count == static_cast<int64_t>(hn::Lanes(d))) return hn::StoreU(v, d, to);
  alignas(64) hn::TFromD<D> buffer[hn::MaxLanes(D())];
  hn::Store(v, d, buffer);
  for (int64_t i = 0; i < count; ++i) to[i] = buffer[i];
}
template <class D, class M>
HWY_INLINE void store_some(hn::Vec<D> v, D d, bfloat16* to, M, int64_t count) {
  if (count == static_cast<int64_t>(hn::Lanes(d))) return store(v, d, to);
  alignas(64) bfloat16 buffer[hn::MaxLanes(D())];
  store(v, d, buffer);
  for (int64_t i = 0; i < count; ++i) to[i] = buffer[i];
}

}  // namespace sigma::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
