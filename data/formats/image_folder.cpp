#include "data/formats/image_folder.h"

#include <algorithm>
#include <filesystem>

#include "core/check.h"
#include "core/parallel.h"
#include "core/text.h"
#include "data/formats/image.h"

namespace sigma {
namespace {

namespace fs = std::filesystem;

bool is_image(const fs::path& path) {
  std::string ext = path.extension().string();
  std::transform(ext.begin(), ext.end(), ext.begin(), [](unsigned char c) { return std::tolower(c); });
  return ext == ".png" || ext == ".jpg" || ext == ".jpeg";
}

// Names in byte order: neither the locale nor the order of the directory may matter.
std::vector<std::string> names_in(const fs::path& folder, bool folders) {
  std::vector<std::string> names;
  std::error_code error;
  for (auto it = fs::directory_iterator(folder, error); !error && it != fs::directory_iterator();
       it.increment(error)) {
    std::string name = it->path().filename().string();
    std::error_code entry_error;  // a link that leads nowhere, or in a circle, is no folder
    if (name.empty() || name[0] == '.') continue;
    if (folders ? fs::is_directory(it->path(), entry_error) : is_image(it->path())) names.push_back(name);
  }
  if (error) fail(ErrorKind::io, folder.string(), "cannot list the folder: {}", error.message());
  std::sort(names.begin(), names.end());
  return names;
}

struct File {
  fs::path path;
  int64_t label;
};

std::vector<File> list_part(const fs::path& part, std::vector<std::string>& classes, bool training) {
  std::error_code ignored;
  if (!fs::is_directory(part, ignored))
    fail(ErrorKind::io, part.string(), "expected a folder with one folder of images a class");
  std::vector<std::string> names = names_in(part, true);
  for (const std::string& name : names)  // they go into files and onto the terminal
    if (!is_printable(name))
      fail(ErrorKind::data, part.string(),
           "the class folder \"{}\" has a name that is not UTF-8 or holds control characters; rename it",
           name);
  if (names.empty()) fail(ErrorKind::data, part.string(), "expected at least one class folder, found none");
  if (training) classes = names;
  std::vector<File> files;
  for (const std::string& name : names) {
    auto known = std::find(classes.begin(), classes.end(), name);
    if (known == classes.end())
      fail(ErrorKind::data, (part / name).string(), "class \"{}\" is not among the training classes", name);
    std::vector<std::string> images = names_in(part / name, false);
    if (images.empty())
      fail(ErrorKind::data, (part / name).string(), "the class folder holds no PNG or JPEG image");
    for (const std::string& image : images) files.push_back({part / name / image, known - classes.begin()});
  }
  return files;
}

}  // namespace

Dataset load_image_folder(const std::string& path) {
  Dataset d;
  std::vector<File> files[2] = {list_part(fs::path(path) / "train", d.class_names, true), {}};
  if (d.class_names.size() < 2)
    fail(ErrorKind::data, (fs::path(path) / "train").string(), "expected at least 2 class folders, found {}",
         d.class_names.size());
  files[1] = list_part(fs::path(path) / "test", d.class_names, false);
  std::vector<Image> images[2];
  int64_t channels = 1;
  for (int part = 0; part < 2; ++part) {
    images[part].resize(files[part].size());
    parallel_for(static_cast<int64_t>(files[part].size()), [&](int64_t i) {
      images[part][static_cast<size_t>(i)] = read_image(files[part][static_cast<size_t>(i)].path.string());
    });
    for (size_t i = 0; i < images[part].size(); ++i) {
      const Image &image = images[part][i], &first = images[0][0];
      channels = std::max(channels, image.channels);
      if (image.height != first.height || image.width != first.width)
        fail(ErrorKind::data, files[part][i].path.string(),
             "{}x{} pixels, expected {}x{} as in {}; resize the images to one size", image.width,
             image.height, first.width, first.height, files[0][0].path.filename().string());
    }
  }
  for (int part = 0; part < 2; ++part) {
    Split& split = part == 0 ? d.train : d.test;
    const Image& first = images[0][0];
    split.images =
        Tensor::empty({static_cast<int64_t>(files[part].size()), channels, first.height, first.width},
                      DType::uint8, Layout::channels_last);
    split.labels = Tensor::empty({static_cast<int64_t>(files[part].size())}, DType::int64);
    uint8_t* to = split.images.mutable_data<uint8_t>();
    int64_t* labels = split.labels.mutable_data<int64_t>();
    for (size_t i = 0; i < images[part].size(); ++i) {
      Image image = to_channels(images[part][i], channels);
      to = std::copy(image.pixels.begin(), image.pixels.end(), to);
      labels[i] = files[part][i].label;
    }
  }
  return d;
}

}  // namespace sigma
