// torchvision's RandomResizedCrop: a window of 8 to 100% of the area and a ratio of sides of 3/4 to 4/3,
// brought to the size of all. Szegedy et al. 2015.
#pragma once

#include "core/rng.h"
#include "data/transforms/resize.h"

namespace sigma {

// Ten attempts to find one that fits; then the largest in the middle whose ratio is allowed.
Window draw_window(int64_t height, int64_t width, Rng rng);

}  // namespace sigma
