// What a folder of images holds, by names alone: no file is read.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/check.h"

namespace sigma {

struct FolderFile {
  std::string path;  // as it is opened
  std::string name;  // below the folder of all, wherever that is
  int64_t label = 0;
};

struct FolderListing {
  std::vector<std::string> classes;                 // of the training part, in byte order
  std::vector<FolderFile> train, test, validation;  // by class, then in byte order of their names
  bool has_test = false;
  std::string validation_name;          // of the folder beside train/ that holds that part; "": there is none
  bool split = false;                   // into train/ and test/; else class folders are the folder's own
  std::vector<std::string> nested;      // images in folders within a class folder, which are taken
  std::vector<std::string> unlabelled;  // images outside of class folders, which are not
  std::vector<std::string> others;      // files that are no PNG or JPEG by name, links to folders
  // What no training can begin with, in the order of the folders; refuse() throws the first.
  struct Problem {
    ErrorKind kind;
    std::string place, what;
  };
  std::vector<Problem> problems;
  void refuse() const;
};

// path/train/<class>/... and path/test/<class>/..., or path/<class>/... Beside train/ the first of val/,
// valid/ and validation/ that is there is the validation part. An image belongs to the class of the first
// folder, however deep it lies; names that begin with a dot are left out. Throws kind io when a folder cannot
// be listed.
FolderListing list_image_folder(const std::string& path);

// Whether a name ends in .png, .jpg or .jpeg, in letters of either case.
bool has_image_name(const std::filesystem::path& path);

}  // namespace sigma
