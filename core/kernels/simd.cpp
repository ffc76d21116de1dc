#include "core/kernels/simd.h"

#include <hwy/highway.h>

#include <algorithm>
#include <atomic>
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

// What this CPU can run. Asked once: Highway's SupportedTargets() itself makes the choice anew, among all
// targets (1.0.3), and so would undo what was forced.
int64_t available() {
  static const int64_t all = hwy::SupportedTargets();
  return all;
}

std::atomic<int64_t> chosen{0};  // 0: not forced

void choose(int64_t targets) {
  chosen = targets;
  hwy::GetChosenTarget().Update(targets);
}

}  // namespace

std::string simd_name() {
  initialize_simd();
  const int64_t on = chosen ? chosen.load() : available();
  for (int64_t target : kTargets)
    if (on & target) return name_of_target(target);
  return name_of_target(on & -on);
}

std::vector<std::string> simd_targets() {
  initialize_simd();
  std::vector<std::string> names;
  for (int64_t target : kTargets)
    if (available() & target) names.push_back(name_of_target(target));
  return names;
}

bool force_simd(std::string_view name) {
  const int64_t all = available();
  if (name.empty()) {
    choose(all);
    return true;
  }
  for (int64_t target : kTargets) {
    if (lower(name_of_target(target)) != lower(name)) continue;
    if (!(all & target)) return false;
    choose(all & ~(target - 1));  // better targets have lower bits
    return true;
  }
  return false;
}

void initialize_simd() {
  static std::once_flag once;
  std::call_once(once, [] {
    available();
    if (const char* name = std::getenv("SIGMA_SIMD")) force_simd(name);
  });
}

namespace {
// Static initialisation, so that every dispatch in the process sees the choice.
[[maybe_unused]] const bool initialized = (initialize_simd(), true);
}  // namespace

}  // namespace sigma::kernels
