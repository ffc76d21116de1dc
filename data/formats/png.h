// What a PNG file must be before a decoder may see it (ISO/IEC 15948, PNG third edition).
#pragma once

#include <string>

#include "core/file.h"

namespace sigma {

// Throws kind data, naming place and byte, unless the chunks are known and whole, each with its checksum, the
// compressed data unpack without error to exactly the pixels that the header declares, their Adler-32 fits,
// and no pixel has a colour that the palette has not (stb_image would read whatever lies there in memory).
void check_png(const Bytes& bytes, const std::string& place);

}  // namespace sigma
