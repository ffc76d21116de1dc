// A black rectangle: torchvision's RandomErasing(p=0.5, scale=(0.02, 0.33), ratio=(0.3, 3.3), value=0) on
// pixels. DeVries and Taylor 2017; Zhong et al. 2020.
#pragma once

#include "core/rng.h"
#include "data/formats/image.h"

namespace sigma {

void cutout(Image& image, Rng rng);

}  // namespace sigma
