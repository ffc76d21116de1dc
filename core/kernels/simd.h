// Which SIMD target runs. The kernel files are compiled once for each target (SSE2, AVX2, AVX-512) by
// Highway's foreach_target; the choice is made at run time. SIGMA_SIMD=sse2|avx2|avx3 in the environment, or
// force_simd, picks a lower one.
//
// A kernel file defines, inside the per-target namespace, a function that returns a table of function
// pointers for float and for double; the public functions call through the table that HWY_DYNAMIC_DISPATCH
// picks.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sigma::kernels {

std::string simd_name();                  // "AVX3"
std::vector<std::string> simd_targets();  // the targets this CPU can run, best first
bool force_simd(std::string_view name);   // false when unknown or not available; "" lifts the force
void initialize_simd();                   // applies SIGMA_SIMD; called before the first dispatch

}  // namespace sigma::kernels
