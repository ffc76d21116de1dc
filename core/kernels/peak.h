// What the processor can do at most, for `sigma bench kernels` to compare the kernels with.
#pragma once

#include <cstdint>

namespace sigma::kernels {

// `rounds` rounds of 16 independent float32 multiply-adds on full vectors; returns how many floating-point
// operations that was. `keep` receives their sum, so that they are not optimised away.
int64_t multiply_add_rounds(int64_t rounds, float* keep);

}  // namespace sigma::kernels
