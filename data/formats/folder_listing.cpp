#include "data/formats/folder_listing.h"

#include <algorithm>
#include <filesystem>

#include "core/text.h"

namespace sigma {
namespace {

namespace fs = std::filesystem;

bool is_folder(const fs::path& path) {
  std::error_code ignored;  // a link that leads nowhere, or in a circle, is no folder
  return fs::is_directory(path, ignored);
}

// Names in byte order: neither the locale nor the order of the directory may matter.
std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (auto it = fs::directory_iterator(folder, error); !error && it != fs::directory_iterator();
       it.increment(error)) {
    std::string name = it->path().filename().string();
    if (!name.empty() && name[0] != '.') names.push_back(name);
  }
  if (error) fail(ErrorKind::io, folder.string(), "cannot list the folder: {}", error.message());
  std::sort(names.begin(), names.end());
  return names;
}

class Lister {
 public:
  explicit Lister(const std::string& path) : root_(path) {}

  FolderListing list() {
    const bool train = exists(root_ / "train"), test = exists(root_ / "test");
    all_.split = train || test || !is_folder(root_);
    all_.has_test = test;
    if (!all_.split) {
      part(root_, all_.train, true);
    } else {
      part(root_ / "train", all_.train, true);
      if (test) part(root_ / "test", all_.test, false);
      for (const char* name : {"validation", "valid", "val"})
        if (train && is_folder(root_ / name)) all_.validation_name = name;
      if (!all_.validation_name.empty()) part(root_ / all_.validation_name, all_.validation, false);
      if (is_folder(root_))
        for (const std::string& name : names_in(root_))
          if (name != "train" && name != "test" && name != all_.validation_name) beside(root_ / name);
    }
    return std::move(all_);
  }

 private:
  static bool exists(const fs::path& path) {
    std::error_code ignored;
    return fs::exists(path, ignored);
  }
  void problem(ErrorKind kind, const fs::path& place, const std::string& what) {
    all_.problems.push_back({kind, place.string(), what});
  }
  // What lies outside of the class folders.
  void beside(const fs::path& path) {
    (has_image_name(path) && !is_folder(path) ? all_.unlabelled : all_.others).push_back(path.string());
  }

  void part(const fs::path& folder, std::vector<FolderFile>& files, bool training) {
    if (!is_folder(folder))
      return problem(ErrorKind::io, folder, "expected a folder with one folder of images a class");
    std::vector<std::string> names;
    for (const std::string& name : names_in(folder)) {
      if (!is_folder(folder / name))
        beside(folder / name);
      else if (is_printable(name))  // they go into files and onto the terminal
        names.push_back(name);
      else
        problem(
            ErrorKind::data, folder,
            fmt::format("the class folder \"{}\" has a name that is not UTF-8 or holds control characters; "
                        "rename it",
                        printable(name)));
    }
    if (names.empty()) problem(ErrorKind::data, folder, "expected at least one class folder, found none");
    if (training) all_.classes = names;
    for (const std::string& name : names) {
      auto known = std::find(all_.classes.begin(), all_.classes.end(), name);
      if (known == all_.classes.end()) {
        problem(ErrorKind::data, folder / name,
                fmt::format("class \"{}\" is not among the training classes", name));
        continue;
      }
      const size_t before = files.size();
      images(folder / name, files, known - all_.classes.begin(), 0);
      if (files.size() == before)
        problem(ErrorKind::data, folder / name, "the class folder holds no PNG or JPEG image");
    }
    if (training && names.size() == 1)
      problem(ErrorKind::data, folder, "expected at least 2 class folders, found 1");
  }

  void images(const fs::path& folder, std::vector<FolderFile>& files, int64_t label, int depth) {
    constexpr int kDeepest = 32;
    std::vector<std::string> below;
    for (const std::string& name : names_in(folder)) {
      const fs::path path = folder / name;
      std::error_code ignored;
      if (is_folder(path)) {
        if (fs::is_symlink(path, ignored) || depth == kDeepest)  // it might lead in a circle
          all_.others.push_back(path.string());
        else
          below.push_back(name);
      } else if (has_image_name(path)) {
        files.push_back({path.string(), path.lexically_relative(root_).string(), label});
        if (depth > 0) all_.nested.push_back(path.string());
      } else {
        all_.others.push_back(path.string());
      }
    }
    for (const std::string& name : below) images(folder / name, files, label, depth + 1);
  }

  fs::path root_;
  FolderListing all_;
};

}  // namespace

bool has_image_name(const fs::path& path) {
  std::string ext = path.extension().string();
  std::transform(ext.begin(), ext.end(), ext.begin(), [](unsigned char c) { return std::tolower(c); });
  return ext == ".png" || ext == ".jpg" || ext == ".jpeg";
}

void FolderListing::refuse() const {
  if (!problems.empty()) fail(problems[0].kind, problems[0].place, "{}", problems[0].what);
}

FolderListing list_image_folder(const std::string& path) { return Lister(path).list(); }

}  // namespace sigma
