// Images of any size brought to one. Bilinear with antialiasing, as Pillow's resize(BILINEAR) and
// torchvision's Resize(antialias=True) do it:
//
//   with s = in / out (at least 1) and c = (x + 1/2) in / out, output x is the mean of the inputs i weighted
//   by max(0, 1 - |i + 1/2 - c| / s),
//
// first along rows, then along columns, each in 22-bit fixed point and rounded to 8 bits: Pillow's bits, but
// where its version 13 begins with the columns; there pixels differ by 1 at most.
#pragma once

#include "data/formats/image.h"

namespace sigma {

// A part of an image, in pixels.
struct Window {
  int64_t top = 0, left = 0, height = 0, width = 0;
};

Image resized(const Image& image, int64_t height, int64_t width);
// The window alone: what lies beside it is not looked at.
Image resized(const Image& image, const Window& window, int64_t height, int64_t width);

// The smallest size of the same shape that covers height x width (torchvision's Resize where that is a
// square: the shorter side is given, the longer one rounded down), of which the middle is cut out
// (CenterCrop). An image that has the size is returned as it is.
Image fitted(const Image& image, int64_t height, int64_t width);

// From a text: "48" is 48x48, "32x48" height x width. Throws kind usage, with the place "image-size".
struct ImageSize {
  int64_t height = 0, width = 0;
};
ImageSize parse_image_size(const std::string& text);

}  // namespace sigma
