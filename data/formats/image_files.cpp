#include "data/formats/image_files.h"

#include <zlib.h>

#include "core/sha256.h"

namespace sigma {

Image ImageFiles::original(int64_t row) const {
  const File& f = files_.at(static_cast<size_t>(row));
  if (f.kept) return to_channels(*f.kept, channels_);
  const Bytes bytes = read_file(f.file.path, kMaxImageFile);
  if (bytes.size() != f.bytes || crc32(0, bytes.data(), static_cast<uInt>(bytes.size())) != f.checksum)
    fail(ErrorKind::data, f.file.path, "it is no longer what it was when the run began");
  return to_channels(decode_image(bytes, f.file.path), channels_);
}

std::shared_ptr<const ImageSource> ImageFiles::subset(const std::vector<int64_t>& rows) const {
  std::vector<File> some;
  some.reserve(rows.size());
  for (int64_t row : rows) some.push_back(files_.at(static_cast<size_t>(row)));
  return std::make_shared<ImageFiles>(std::move(some), channels_, height_, width_, any_size_);
}

std::string ImageFiles::digest() const {
  Sha256 hash;
  for (const File& f : files_) hash.update(fmt::format("{}\n{} {:08x}\n", f.file.name, f.bytes, f.checksum));
  return hash.hex();
}

}  // namespace sigma
