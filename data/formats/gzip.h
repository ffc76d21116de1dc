// gzip (RFC 1952).
#pragma once

#include <string>

#include "core/file.h"

namespace sigma {

// Inflates exactly one member, whose checksum and length are verified; nothing may follow it. The output is
// bounded by 1100 times the input, which is beyond what deflate can reach, and by 4 GiB. Throws kind data.
Bytes gunzip(const Bytes& bytes, const std::string& place);

}  // namespace sigma
