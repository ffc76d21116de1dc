#include "data/formats/image_files.h"

#include "core/sha256.h"

namespace sigma {

Image ImageFiles::original(int64_t row) const {
  const File& f = files_.at(static_cast<size_t>(row));
  Image image = to_channels(f.kept ? *f.kept : read_image(f.file.path), channels_);
  if (!any_size_ && (image.height != height_ || image.width != width_))
    fail(ErrorKind::data, f.file.path, "{}x{} pixels, but it had {}x{} when the run began", image.width,
         image.height, width_, height_);
  return image;
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
