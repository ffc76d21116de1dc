// A look at every file of a folder of images, to tell all that is wrong with it or worth knowing at once.
#pragma once

#include <string>
#include <vector>

namespace sigma {

struct FolderFinding {
  std::string file;
  // layout      no training can begin: a class without images, of another part alone, without a usable name
  // unreadable  the image is damaged or of a kind that is not read
  // unlabelled  an image outside of the class folders
  // format      no PNG or JPEG by name
  // nested      in a folder within a class folder; it is taken
  // size, aspect, channels   other than most images have, where more than half have the same
  // 16-bit, turned, transparent   scaled to 8 bits, turned by its Exif orientation, put on white
  // duplicate   the same pixels as an image before it
  // leak        the same pixels as a training image, in the test or validation part
  std::string kind;
  std::string what;  // in a sentence
  bool bad = false;  // training refuses it: layout, unreadable
};

struct FolderReport {
  int64_t images = 0, classes = 0;
  std::vector<FolderFinding> findings;  // the bad ones first, then file by file
  std::vector<std::string> notes;  // of all images, in sentences: "images have 200 sizes, 32x40 to 160x155"
  int64_t bad() const;
};

// Reads all files; two images are the same when the SHA-256 of their decoded pixels is. Throws kind io when a
// folder cannot be listed.
FolderReport check_image_folder(const std::string& path);

}  // namespace sigma
