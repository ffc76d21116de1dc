// How a camera was held: the tag Orientation of the Exif block of a JPEG (CIPA DC-008, Exif 2.32; TIFF 6.0).
#pragma once

#include "data/formats/image.h"

namespace sigma {

// 1 to 8; 1, upright, when there is no such tag, or the block is not what it should be: a viewer would show
// the image all the same. Of any bytes; those of no JPEG give 1.
int exif_orientation(const Bytes& jpeg);

// The image as it is to be seen. Orientation 1 is as stored, 2 mirrored left to right, 3 turned by half, 4
// mirrored top to bottom, 5 mirrored about the main diagonal, 6 to be turned right by a quarter, 7 mirrored
// about the other diagonal, 8 to be turned left by a quarter.
Image upright(Image image, int orientation);

}  // namespace sigma
