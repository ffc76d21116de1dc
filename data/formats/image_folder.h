// Folders of images, one folder a class.
#pragma once

#include "data/dataset.h"

namespace sigma {

// path/train/<class>/... and path/test/<class>/..., PNG and JPEG; see folder_listing.h for what is taken.
// Classes are those of train, in byte order; their names are UTF-8 without control characters. A folder val/
// beside train/ is the validation part, and no other is set apart then. Without a test part, or without both
// (path/<class>/...), options.validation sets images apart, or options.without_test says what that means.
//
// All images are of one size, or brought to options.height x options.width by fitted() (transforms/resize.h).
// When one has colour, or options.channels is 3, grey ones become colour.
//
// Every file is read once, here: for its size, its channels, and whether it is whole. When the pixels of all
// parts take no more than options.memory bytes they stay; else a file is read again each time that its image
// is needed.
//
// Throws kind io when a folder is missing, kind data when an image or a name cannot be used (with skip_bad
// images that cannot be read are left out and listed), kind usage with the place "image-size" for images of
// several sizes where none is given, and with the place "val" when there is nothing to measure on.
Dataset load_image_folder(const std::string& path, const DatasetOptions& options = {});

}  // namespace sigma
