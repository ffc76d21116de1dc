// Images of a folder that are read from their files as they are needed.
#pragma once

#include "data/formats/folder_listing.h"
#include "data/image_source.h"

namespace sigma {

class ImageFiles : public ImageSource {
 public:
  struct File {
    FolderFile file;
    uint64_t bytes = 0;
    uint32_t checksum = 0;              // CRC-32 of its content
    std::shared_ptr<const Image> kept;  // where it is in memory all the same
  };
  ImageFiles(std::vector<File> files, int64_t channels, int64_t height, int64_t width, bool any_size)
      : files_(std::move(files)), channels_(channels), height_(height), width_(width), any_size_(any_size) {}

  Shape shape() const override { return {static_cast<int64_t>(files_.size()), channels_, height_, width_}; }
  bool any_size() const override { return any_size_; }
  Image original(int64_t row) const override;
  std::shared_ptr<const ImageSource> subset(const std::vector<int64_t>& rows) const override;
  std::string digest() const override;

 private:
  std::vector<File> files_;
  int64_t channels_, height_, width_;
  bool any_size_;
};

}  // namespace sigma
