// The image files that words of a command line stand for.
#pragma once

#include <string>
#include <vector>

namespace sigma {

struct ImagePaths {
  std::vector<std::string> files;
  struct Problem {
    std::string word, what;
  };
  std::vector<Problem> problems;  // words that stand for no image
  int64_t others = 0;             // files of folders that are no PNG or JPEG by name
};

// A file stands for itself, whatever its name; a folder for all PNG and JPEG files below it, in byte order of
// their paths, without names that begin with a dot and without links to folders; any other word with *, ? or
// [...] for the images that it matches, each between two slashes, as in a shell.
ImagePaths find_images(const std::vector<std::string>& words);

}  // namespace sigma
