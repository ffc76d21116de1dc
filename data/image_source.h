// Images that stay in their files until they are needed: what a Split reads when they are not in memory, or
// when they have sizes of their own.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/shape.h"
#include "data/formats/image.h"

namespace sigma {

// Every function may be called from several threads at once.
class ImageSource {
 public:
  virtual ~ImageSource() = default;
  // (N, C, H, W) as a network gets them.
  virtual Shape shape() const = 0;
  // Whether originals have sizes of their own, so that a crop may choose from all that a file shows.
  virtual bool any_size() const = 0;
  // Of C channels, and of HxW pixels unless any_size(). Throws as read_image, and kind data when the file is
  // no longer what it was.
  virtual Image original(int64_t row) const = 0;
  // These images in this order.
  virtual std::shared_ptr<const ImageSource> subset(const std::vector<int64_t>& rows) const = 0;
  // Of names, sizes and checksums of the files, wherever their folder is: differs when one of them does.
  virtual std::string digest() const = 0;
};

}  // namespace sigma
