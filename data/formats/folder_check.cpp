#include "data/formats/folder_check.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <set>

#include "core/parallel.h"
#include "core/sha256.h"
#include "data/formats/folder_listing.h"
#include "data/formats/image.h"

namespace sigma {
namespace {

struct Seen {
  int64_t height = 0, width = 0, channels = 0;
  bool deep = false, turned = false, transparent = false;
  std::string bytes, pixels;  // their digests
  std::string error;

  std::string size() const { return fmt::format("{}x{}", width, height); }
  std::string aspect() const {
    const int64_t common = std::gcd(width, height);
    return fmt::format("{}:{}", width / common, height / common);
  }
};

std::string digest(const void* data, size_t bytes, const std::string& shape = "") {
  Sha256 hash;
  hash.update(shape);
  hash.update(data, bytes);
  return hash.hex();
}

Seen see(const FolderFile& file) {
  Seen s;
  try {
    const Bytes bytes = read_file(file.path, kMaxImageFile);
    const Image image = decode_image(bytes, file.path);
    s.height = image.height;
    s.width = image.width;
    s.channels = image.channels;
    s.deep = image.deep;
    s.turned = image.turned;
    s.transparent = image.transparent;
    s.bytes = digest(bytes.data(), bytes.size());
    s.pixels = digest(image.pixels.data(), image.pixels.size(), fmt::format("{}x{} ", s.size(), s.channels));
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::data && e.kind() != ErrorKind::io) throw;
    const std::string message = e.what();
    const size_t place = e.place().size();
    s.error = place > 0 && message.size() > place + 2 ? message.substr(place + 2) : message;
  }
  return s;
}

// The value of more than half of the readable images, or nothing.
template <class Fn>
auto usual(const std::vector<Seen>& all, Fn value) -> std::optional<decltype(value(all[0]))> {
  std::map<decltype(value(all[0])), int64_t> counts;
  int64_t readable = 0;
  for (const Seen& s : all)
    if (s.error.empty()) {
      ++counts[value(s)];
      ++readable;
    }
  for (const auto& [v, n] : counts)
    if (2 * n > readable) return v;
  return {};
}

// "images have 200 sizes, 32x40 to 160x155 pixels"; of images of one size nothing.
std::string sizes(const std::vector<Seen>& all) {
  std::set<std::pair<int64_t, std::string>> by_area;
  for (const Seen& s : all)
    if (s.error.empty()) by_area.emplace(s.width * s.height, s.size());
  if (by_area.size() < 2) return "";
  return fmt::format("images have {} sizes, {} to {} pixels", by_area.size(), by_area.begin()->second,
                     by_area.rbegin()->second);
}

class Check {
 public:
  explicit Check(const FolderListing& listing) : listing_(listing), files_(listing.train) {
    for (const std::vector<FolderFile>* part : {&listing.test, &listing.validation})
      files_.insert(files_.end(), part->begin(), part->end());
    seen_.resize(files_.size());
    parallel_for(static_cast<int64_t>(files_.size()),
                 [&](int64_t i) { seen_[static_cast<size_t>(i)] = see(files_[static_cast<size_t>(i)]); });
  }

  FolderReport report() {
    report_.images = static_cast<int64_t>(files_.size());
    report_.classes = static_cast<int64_t>(listing_.classes.size());
    for (const FolderListing::Problem& p : listing_.problems) add(p.place, "layout", p.what, true);
    for (const std::string& f : listing_.unlabelled)
      add(f, "unlabelled", "it is in no class folder and is not read");
    for (const std::string& f : listing_.others)
      add(f, "format", "it is no PNG or JPEG image and is not read");
    for (const std::string& f : listing_.nested)
      add(f, "nested", "it is taken, as of the class of the first folder");
    usual_ = {usual(seen_, [](const Seen& s) { return s.size(); }),
              usual(seen_, [](const Seen& s) { return s.aspect(); }),
              usual(seen_, [](const Seen& s) { return s.channels; })};
    for (size_t i = 0; i < files_.size(); ++i) file(i);
    std::stable_partition(report_.findings.begin(), report_.findings.end(),
                          [](const FolderFinding& f) { return f.bad; });
    notes();
    return std::move(report_);
  }

 private:
  void add(const std::string& file, const std::string& kind, const std::string& what, bool bad = false) {
    report_.findings.push_back({file, kind, what, bad});
  }

  void file(size_t i) {
    const Seen& s = seen_[i];
    const std::string& path = files_[i].path;
    if (!s.error.empty()) return add(path, "unreadable", s.error, true);
    if (usual_.size && s.size() != usual_.size)
      add(path, "size", fmt::format("{} pixels, most images have {}", s.size(), *usual_.size));
    if (usual_.aspect && s.aspect() != usual_.aspect)
      add(path, "aspect", fmt::format("sides as {}, most images have {}", s.aspect(), *usual_.aspect));
    if (usual_.channels && s.channels != usual_.channels)
      add(path, "channels",
          fmt::format("{}, most images have {}", channels(s.channels), channels(*usual_.channels)));
    if (s.deep) add(path, "16-bit", "its samples of 16 bits are scaled to 8");
    if (s.turned) add(path, "turned", "it is turned as its Exif orientation says");
    if (s.transparent) add(path, "transparent", "it is put on a white ground");
    same(i);
  }
  static std::string channels(int64_t c) { return c == 1 ? "grey" : "colour"; }

  void notes() {
    if (const std::string text = sizes(seen_); !text.empty()) report_.notes.push_back(text);
    auto having = [&](auto has) {
      return std::count_if(seen_.begin(), seen_.end(),
                           [&](const Seen& s) { return s.error.empty() && has(s); });
    };
    const auto grey = having([](const Seen&s) { return s.channels == 1; }),
               colour = having([](const Seen&s) { return s.channels != 1; });
    if (grey > 0 && colour > 0)
      report_.notes.push_back(fmt::format("{} are grey, {} in colour", grey, colour));
  }

  void same(size_t i) {
    const auto [first, fresh] = first_.emplace(seen_[i].pixels, i);
    if (fresh) return;
    const size_t k = first->second, train = listing_.train.size();
    std::string what = fmt::format("the same {} as {}", seen_[i].bytes == seen_[k].bytes ? "bytes" : "pixels",
                                   files_[k].path);
    if (files_[i].label != files_[k].label)
      what += fmt::format(", but of class \"{}\"", listing_.classes[static_cast<size_t>(files_[i].label)]);
    add(files_[i].path, k < train && i >= train ? "leak" : "duplicate", what);
  }

  const FolderListing& listing_;
  std::vector<FolderFile> files_;  // of all parts
  std::vector<Seen> seen_;
  struct {
    std::optional<std::string> size, aspect;
    std::optional<int64_t> channels;
  } usual_;
  std::map<std::string, size_t> first_;  // file with these pixels
  FolderReport report_;
};

}  // namespace

int64_t FolderReport::bad() const {
  return std::count_if(findings.begin(), findings.end(), [](const FolderFinding& f) { return f.bad; });
}

FolderReport check_image_folder(const std::string& path) { return Check(list_image_folder(path)).report(); }

}  // namespace sigma
