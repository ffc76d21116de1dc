// Image files: PNG and JPEG.
#pragma once

#include <string>

#include "core/file.h"

namespace sigma {

inline constexpr int kMaxSide = 16384;               // pixels
inline constexpr uint64_t kMaxImageFile = 64 << 20;  // bytes

// One decoded image.
struct Image {
  int64_t height = 0, width = 0, channels = 0;  // 1 or 3
  Bytes pixels;                                 // [height][width][channels]
  // Of the file that it was read from: samples of 16 bits, pixels that let shine through, a camera that was
  // not held upright.
  bool deep = false, transparent = false, turned = false;
};

// PNG or JPEG, at most 64 MiB and 16384 pixels a side. The file must be whole: a PNG's checksums and palette
// and every bit of a JPEG are verified before it is decoded. Throws kind data, naming `place` and the byte.
// Samples of 16 bits are scaled to 8 (v / 257, rounded); what is transparent shows a white ground behind it;
// a JPEG is turned and mirrored as its Exif orientation says.
Image decode_image(const Bytes& bytes, const std::string& place);
Image read_image(const std::string& path);

// Grey (1) to colour (3) or back (ITU-R BT.601 luma). Throws kind usage for other numbers of channels.
Image to_channels(const Image& image, int64_t channels);

}  // namespace sigma
