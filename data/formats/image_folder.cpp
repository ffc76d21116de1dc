#include "data/formats/image_folder.h"

#include <zlib.h>

#include <algorithm>
#include <atomic>
#include <optional>

#include "core/check.h"
#include "core/parallel.h"
#include "data/formats/image_files.h"
#include "data/transforms/resize.h"

namespace sigma {
namespace {

// What the first look at a file tells.
struct Look {
  ImageFiles::File file;
  int64_t height = 0, width = 0, channels = 0;
  std::optional<Image> fit;    // while memory lasts
  std::optional<Error> error;  // it could not be read
};

class Reader {
 public:
  Reader(Dataset& dataset, const DatasetOptions& options) : dataset_(dataset), options_(options) {}

  // Reads the files of a part, a block at a time, so that a bad one among many is told soon.
  std::vector<Look> look_at(const std::vector<FolderFile>& files) {
    constexpr size_t kBlock = 1024;
    std::vector<Look> looks;
    looks.reserve(files.size());
    for (size_t at = 0; at < files.size(); at += kBlock) {
      std::vector<Look> block(std::min(kBlock, files.size() - at));
      parallel_for(static_cast<int64_t>(block.size()), [&](int64_t i) {
        block[static_cast<size_t>(i)] = look(files[at + static_cast<size_t>(i)]);
      });
      for (Look& l : block) {
        if (l.error && !options_.skip_bad) throw Error(*l.error);
        if (l.error)
          dataset_.skipped.push_back({l.file.file.path, reason_of(*l.error)});
        else
          looks.push_back(std::move(l));
      }
      // It will not do: not even what is there of it need be kept.
      const uint64_t all = kept_ / (at + block.size()) * files.size();
      if (all > options_.memory + options_.memory / 2) kept_ = options_.memory + 1;
      if (!in_memory()) drop(looks);
    }
    return looks;
  }
  bool in_memory() const { return kept_ <= options_.memory; }
  static void drop(std::vector<Look>& looks) {
    for (Look& l : looks) {
      l.fit.reset();
      l.file.kept.reset();
    }
  }

 private:
  static std::string reason_of(const Error& e) {
    const std::string all = e.what();
    const size_t place = e.place().size();
    return place > 0 && all.size() > place + 2 ? all.substr(place + 2) : all;
  }

  Look look(const FolderFile& file) {
    Look l{{file, 0, 0, nullptr}, 0, 0, 0, {}, {}};
    try {
      const Bytes bytes = read_file(file.path, kMaxImageFile);
      l.file.bytes = bytes.size();
      l.file.checksum = static_cast<uint32_t>(crc32(0, bytes.data(), static_cast<uInt>(bytes.size())));
      Image image = decode_image(bytes, file.path);
      l.height = image.height;
      l.width = image.width;
      l.channels = image.channels;
      keep(l, std::move(image));
    } catch (const Error& e) {
      if (e.kind() != ErrorKind::data && e.kind() != ErrorKind::io) throw;
      l.error = e;
    }
    return l;
  }

  void keep(Look& l, Image image) {
    const bool any_size = options_.height > 0;
    Image fit = any_size ? fitted(image, options_.height, options_.width) : image;
    uint64_t bytes = fit.pixels.size();
    if (any_size && options_.originals) bytes += image.pixels.size();
    // The sum of all is what decides, so that it does not matter which came first.
    if (kept_.fetch_add(bytes) + bytes > options_.memory) return;
    l.fit = std::move(fit);
    if (any_size && options_.originals) l.file.kept = std::make_shared<const Image>(std::move(image));
  }

  Dataset& dataset_;
  const DatasetOptions& options_;
  std::atomic<uint64_t> kept_{0};
};

Split split_of(std::vector<Look> looks, const DatasetOptions& o, int64_t channels, int64_t height,
               int64_t width, bool in_memory) {
  Split split;
  const auto n = static_cast<int64_t>(looks.size());
  split.labels = Tensor::empty({n}, DType::int64);
  int64_t* labels = split.labels.mutable_data<int64_t>();
  for (size_t i = 0; i < looks.size(); ++i) labels[i] = looks[i].file.file.label;
  for (const Look& l : looks) split.files.push_back(l.file.file.name);
  if (in_memory) {
    split.images = Tensor::empty({n, channels, height, width}, DType::uint8, Layout::channels_last);
    uint8_t* to = split.images.mutable_data<uint8_t>();
    for (Look& l : looks) {
      const Image image = to_channels(*l.fit, channels);
      to = std::copy(image.pixels.begin(), image.pixels.end(), to);
      l.fit.reset();
    }
    if (o.height == 0) return split;  // the originals are the images
  }
  std::vector<ImageFiles::File> files;
  files.reserve(looks.size());
  for (Look& l : looks) files.push_back(std::move(l.file));
  split.source = std::make_shared<ImageFiles>(std::move(files), channels, height, width, o.height > 0);
  return split;
}

// The size of all images; those of the first training image where none is asked for.
ImageSize size_of(const std::vector<Look> (&looks)[3], const DatasetOptions& o) {
  if (o.height > 0) return {o.height, o.width};
  const Look& first = looks[0][0];
  for (const std::vector<Look>& part : looks)
    for (const Look& l : part)
      if (l.height != first.height || l.width != first.width)
        fail(ErrorKind::usage, "image-size",
             "{} has {}x{} pixels, {} has {}x{}; give the size for all to have", l.file.file.path, l.width,
             l.height, first.file.file.name, first.width, first.height);
  return {first.height, first.width};
}

void check_measurable(const FolderListing& listing, const std::string& path, const DatasetOptions& o) {
  const bool validates = !listing.validation_name.empty();
  if (validates && o.validation > 0)
    fail(ErrorKind::usage, "val",
         "{} has a folder {} to validate with, so no part of the training images is set apart; leave it out",
         path, listing.validation_name);
  if (listing.has_test || validates || o.validation > 0 || o.without_test != WithoutTest::refuse) return;
  fail(ErrorKind::usage, "val",
       "{} has no test folder, so there is nothing to measure on: set a part of the training images apart, "
       "such as 0.1",
       path);
}

// After what could not be read is gone.
void check_classes(const std::vector<Look>& looks, const Dataset& d, const std::string& path) {
  std::vector<bool> there(d.class_names.size());
  for (const Look& l : looks) there[static_cast<size_t>(l.file.file.label)] = true;
  for (size_t c = 0; c < there.size(); ++c)
    if (!there[c])
      fail(ErrorKind::data, path, "the class folder \"{}\" holds no image that can be read",
           d.class_names[c]);
}

// Of files in the order of their classes `count`, as load_dataset takes rows.
void thin_out(std::vector<FolderFile>& files, size_t count) {
  if (count >= files.size()) return;
  std::vector<FolderFile> some;
  for (size_t i = 0; i < count; ++i) some.push_back(std::move(files[i * files.size() / count]));
  files = std::move(some);
}

}  // namespace

Dataset load_image_folder(const std::string& path, const DatasetOptions& o) {
  FolderListing listing = list_image_folder(path);
  listing.refuse();
  check_measurable(listing, path, o);
  // What a limit drops need not be read where it decides nothing.
  if (o.limit_train > 0 && o.channels == 3 && !o.skip_bad && o.without_test != WithoutTest::measure)
    thin_out(listing.train, static_cast<size_t>(o.limit_train));
  Dataset d;
  d.class_names = listing.classes;
  d.resizes = o.height > 0;
  d.passed_over = listing.unlabelled;
  d.passed_over.insert(d.passed_over.end(), listing.others.begin(), listing.others.end());
  if (!listing.has_test && listing.validation_name.empty() && o.without_test == WithoutTest::measure &&
      o.validation == 0)
    listing.test = listing.train;
  Reader reader(d, o);
  std::vector<Look> looks[3];
  looks[0] = reader.look_at(listing.train);
  if (o.skip_bad) check_classes(looks[0], d, path);
  looks[1] = reader.look_at(listing.test);
  looks[2] = reader.look_at(listing.validation);
  if (!reader.in_memory())
    for (std::vector<Look>& part : looks) Reader::drop(part);
  int64_t channels = std::max<int64_t>(1, o.channels);
  for (const std::vector<Look>& part : looks)
    for (const Look& l : part) channels = std::max(channels, l.channels);
  const ImageSize size = size_of(looks, o);
  d.train = split_of(std::move(looks[0]), o, channels, size.height, size.width, reader.in_memory());
  if (!looks[1].empty())
    d.test = split_of(std::move(looks[1]), o, channels, size.height, size.width, reader.in_memory());
  if (!looks[2].empty())
    d.validation = split_of(std::move(looks[2]), o, channels, size.height, size.width, reader.in_memory());
  return d;
}

}  // namespace sigma
