#include "core/kernels/simd.h"

#include <hwy/highway.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>

namespace sigma::kernels {
namespace {

// Highway before 1.0.4 has no SSE2 target; its portable one, compiled for the x86-64 baseline, is the same
// thing.
#if !defined(HWY_SSE2)
#define HWY_SSE2 HWY_EMU128
#endif
constexpr int64_t kTargets[] = {HWY_AVX3, HWY_AVX2, HWY_SSE2};

std::string name_of_target(int64_t target) {
#if defined(__x86_64__)
  if (target == HWY_EMU128) return "SSE2";
#endif
  return hwy::TargetName(target);
}

std::string lower(std::string_view s) {
  std::string out(s);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return std::tolower(c); });
  return out;
}

int64_t supported() {
  hwy::DisableTargets(0);
  return hwy::SupportedTargets();
}

}  // namespace

std::string simd_name() {
  initialize_simd();
  int64_t on = hwy::SupportedTargets();
  for (int64_t target : kTargets)
    if (on & target) return name_of_target(target);
  return name_of_target(on & -on);
}

std::vector<std::string> simd_targets() {
  static const int64_t all = supported();
  std::vector<std::string> names;
  for (int64_t target : kTargets)
    if (all & target) names.push_back(name_of_target(target));
  initialize_simd();
  return names;
}

bool force_simd(std::string_view name) {
  if (name.empty()) {
    hwy::DisableTargets(0);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    return true;
  }
  int64_t all = supported();
  for (int64_t target : kTargets) {
    if (lower(name_of_target(target)) != lower(name)) continue;
    if (!(all & target)) return false;
    hwy::DisableTargets(target - 1);  // better targets have lower bits
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    return true;
  }
  return false;
}

void initialize_simd() {
  static std::once_flag once;
  std::call_once(once, [] {
    if (const char* name = std::getenv("SIGMA_SIMD")) force_simd(name);
  });
}

namespace {
// Static initialisation, so that every dispatch in the process sees the choice.
[[maybe_unused]] const bool initialized = (initialize_simd(), true);
}  // namespace

}  // namespace sigma::kernels
