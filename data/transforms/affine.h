// Images turned, moved, scaled and sheared about their middle: torchvision's rotate, affine, RandomRotation
// and RandomAffine, with bilinear interpolation and black beyond the edge.
#pragma once

#include "core/rng.h"
#include "data/formats/image.h"

namespace sigma {

// Degrees, counter-clockwise.
Image rotated(const Image& image, double angle);

// First sheared along x by `shear` degrees, then turned clockwise by `angle`, scaled, and moved.
struct Affine {
  double angle = 0, move_x = 0, move_y = 0, scale = 1, shear = 0;  // degrees, pixels
};
Image transformed(const Image& image, const Affine& a);

void random_rotation(Image& image, Rng rng);  // uniform in -15..15
// Uniform: angle -10..10, whole pixels up to a tenth of the width and height, scale 0.9..1.1, shear -10..10.
void random_affine(Image& image, Rng rng);

}  // namespace sigma
