// Folders of images, one folder a class.
#pragma once

#include "data/dataset.h"

namespace sigma {

// path/train/<class>/*.png|jpg|jpeg and path/test/<class>/...; all images of one size. Classes are those of
// train, in byte order; their names are UTF-8 without control characters. Throws kind io when a folder is
// missing, kind data when an image or a name cannot be used.
Dataset load_image_folder(const std::string& path);

}  // namespace sigma
