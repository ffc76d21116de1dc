// Sizes of the packed operands in panel-inl.h that do not depend on the SIMD target.
#pragma once

#include "core/kernels/scratch.h"

namespace sigma::kernels {

constexpr int64_t kPanelRows = 8;    // rows of A a panel
constexpr int64_t kPanelDepth = 16;  // values of k that lie next to each other

}  // namespace sigma::kernels
