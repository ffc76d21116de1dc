// Files: whole reads with a size limit, and writes that either happen completely or leave the old file as it
// was.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sigma {

using Bytes = std::vector<uint8_t>;

// Reads a regular file of at most `limit` bytes. Throws kind io when it cannot be opened or read, kind data
// when it is larger or no regular file.
Bytes read_file(const std::string& path, uint64_t limit = uint64_t{8} << 30);

// Writes a temporary file beside `path`, syncs it, renames it over `path` and syncs the folder. On any error
// (disk full included) the temporary file is removed, the old file stays, and an Error of kind io names path
// and reason.
void write_file_atomic(const std::string& path, const std::vector<std::string_view>& parts);
inline void write_file_atomic(const std::string& path, std::string_view content) {
  write_file_atomic(path, std::vector<std::string_view>{content});
}

// SHA-256, see core/sha256.h; throws like read_file.
std::string sha256_of_file(const std::string& path);

}  // namespace sigma
