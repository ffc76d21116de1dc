#include "data/formats/image_paths.h"

#include <fnmatch.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "data/formats/folder_listing.h"

namespace sigma {
namespace {

namespace fs = std::filesystem;

bool is_hidden(const fs::path& path) { return path.filename().string().starts_with('.'); }

class Finder {
 public:
  void word(const std::string& word) {
    std::error_code error;
    const fs::file_status status = fs::status(word, error);
    if (fs::is_directory(status)) {
      const size_t before = found_.files.size() + found_.problems.size();
      folder(word);
      if (found_.files.size() + found_.problems.size() == before)
        found_.problems.push_back({word, "the folder holds no PNG or JPEG image"});
    } else if (!fs::exists(status) && word.find_first_of("*?[") != word.npos) {
      pattern(word);
    } else {
      found_.files.push_back(word);  // reading it tells what is wrong with it
    }
  }
  ImagePaths found() { return std::move(found_); }

 private:
  std::vector<fs::path> entries(const fs::path& path) {
    std::error_code error;
    std::vector<fs::path> all;
    for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error))
      all.push_back(it->path());
    if (error) found_.problems.push_back({path.string(), "cannot list the folder: " + error.message()});
    std::sort(all.begin(), all.end());
    return all;
  }

  void folder(const fs::path& path) {
    std::error_code ignored;
    for (const fs::path& p : entries(path)) {
      if (is_hidden(p)) continue;
      if (fs::is_directory(p, ignored)) {
        if (!fs::is_symlink(p, ignored)) folder(p);
      } else if (has_image_name(p)) {
        found_.files.push_back(p.string());
      } else {
        ++found_.others;
      }
    }
  }

  void pattern(const std::string& word) {
    const fs::path path(word);
    std::vector<fs::path> matches{path.is_absolute() ? path.root_path() : fs::path()};
    std::error_code ignored;
    for (const fs::path& part : path.relative_path()) {
      std::vector<fs::path> next;
      for (const fs::path& at : matches) {
        if (!at.empty() && !fs::is_directory(at, ignored)) continue;
        for (const fs::path& p : entries(at.empty() ? "." : at))
          if (fnmatch(part.c_str(), p.filename().c_str(), FNM_PERIOD) == 0) next.push_back(at / p.filename());
      }
      matches = std::move(next);
    }
    const size_t before = found_.files.size();
    for (const fs::path& p : matches)
      if (has_image_name(p) && !fs::is_directory(p, ignored)) found_.files.push_back(p.string());
    if (found_.files.size() == before) found_.problems.push_back({word, "no PNG or JPEG file is named so"});
  }

  ImagePaths found_;
};

}  // namespace

ImagePaths find_images(const std::vector<std::string>& words) {
  Finder finder;
  for (const std::string& w : words) finder.word(w);
  return finder.found();
}

}  // namespace sigma
