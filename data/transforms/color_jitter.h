// Colours as another camera or lamp would have them: torchvision's adjust_brightness, adjust_contrast,
// adjust_saturation, adjust_hue and ColorJitter, on 8-bit pixels, rounded as there.
#pragma once

#include "core/rng.h"
#include "data/formats/image.h"

namespace sigma {

// Blends with black, with the mean grey of the image, with each pixel's grey: factor 1 changes nothing, 0
// gives that alone. Grey is 0.2989 R + 0.587 G + 0.114 B. A grey image has no saturation and no hue to
// change.
void adjust_brightness(Image& image, double factor);
void adjust_contrast(Image& image, double factor);
void adjust_saturation(Image& image, double factor);
// Turns the hue, of HSV, by a part of the circle, -0.5..0.5.
void adjust_hue(Image& image, double part);

// All four in random order: factors uniform in 0.6..1.4, the hue in -0.1..0.1.
void color_jitter(Image& image, Rng rng);

}  // namespace sigma
