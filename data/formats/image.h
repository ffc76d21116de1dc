// Image files: PNG and JPEG.
#pragma once

#include <string>

#include "core/file.h"

namespace sigma {

inline constexpr int kMaxSide = 16384;  // pixels

// One decoded image.
struct Image {
  int64_t height = 0, width = 0, channels = 0;  // 1 or 3
  Bytes pixels;                                 // [height][width][channels]
};

// PNG or JPEG, at most 64 MiB and 16384 pixels a side. The file must be whole: a PNG's checksums and palette
// and every bit of a JPEG are verified before it is decoded. Throws kind data, naming `place` and the byte.
Image decode_image(const Bytes& bytes, const std::string& place);
Image read_image(const std::string& path);

// Grey (1) to colour (3) or back (ITU-R BT.601 luma). Throws kind usage for other numbers of channels.
Image to_channels(const Image& image, int64_t channels);

}  // namespace sigma
