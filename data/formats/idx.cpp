#include "data/formats/idx.h"

#include <cstring>
#include <filesystem>

#include "core/check.h"
#include "data/formats/gzip.h"

namespace sigma {
namespace {

std::string file_name(const std::string& path) { return std::filesystem::path(path).filename().string(); }

// The file or its .gz, unpacked.
Bytes read_plain_or_gz(const std::string& folder, const std::string& name, std::string& place) {
  auto plain = std::filesystem::path(folder) / name;
  std::error_code ignored;
  if (std::filesystem::exists(plain, ignored)) {
    place = name;
    return read_file(plain.string());
  }
  std::string packed = plain.string() + ".gz";
  place = name + ".gz";
  if (!std::filesystem::exists(packed, ignored))
    fail(ErrorKind::io, plain.string(),
         "neither this file nor {} exists; `sigma data fetch` downloads the public data sets", place);
  return gunzip(read_file(packed), place);
}

Split load_part(const std::string& folder, const std::string& part, int64_t classes) {
  std::string images_place, labels_place;
  Bytes image_bytes = read_plain_or_gz(folder, part + "-images-idx3-ubyte", images_place);
  IdxFile images = parse_idx(image_bytes, images_place, 3);
  IdxFile labels =
      parse_idx(read_plain_or_gz(folder, part + "-labels-idx1-ubyte", labels_place), labels_place, 1);
  if (labels.dims[0] != images.dims[0])
    fail(ErrorKind::data, labels_place, "at byte 4: {} labels, but {} images", labels.dims[0],
         images.dims[0]);
  Split split;
  split.images =
      Tensor::empty({images.dims[0], 1, images.dims[1], images.dims[2]}, DType::uint8, Layout::channels_last);
  std::memcpy(split.images.mutable_raw(), images.data.data(), images.data.size());
  split.labels = Tensor::empty({labels.dims[0]}, DType::int64);
  int64_t* y = split.labels.mutable_data<int64_t>();
  for (size_t i = 0; i < labels.data.size(); ++i) {
    if (labels.data[i] >= classes)
      fail(ErrorKind::data, labels_place, "at byte {}: label {}, expected 0..{}", 8 + i, labels.data[i],
           classes - 1);
    y[i] = labels.data[i];
  }
  return split;
}

}  // namespace

IdxFile parse_idx(const Bytes& bytes, const std::string& place, int expected_rank) {
  auto bad = [&](size_t at, const std::string& why) {
    fail(ErrorKind::data, place, "at byte {}: {}", at, why);
  };
  if (bytes.size() < 4) bad(0, fmt::format("the file has {} bytes, too few for an IDX header", bytes.size()));
  if (bytes[0] != 0 || bytes[1] != 0)
    bad(0, fmt::format("magic {:02x}{:02x}{:02x}{:02x}, expected {:08x}", bytes[0], bytes[1], bytes[2],
                       bytes[3], 0x800 + expected_rank));
  if (bytes[2] != 8) bad(2, fmt::format("element type {:#04x}, expected 0x08 (unsigned byte)", bytes[2]));
  if (bytes[3] != expected_rank) bad(3, fmt::format("{} dimensions, expected {}", bytes[3], expected_rank));
  size_t header = 4 + 4 * static_cast<size_t>(expected_rank);
  if (bytes.size() < header)
    bad(4, fmt::format("the file has {} bytes, too few for its header of {}", bytes.size(), header));
  IdxFile file;
  uint64_t count = 1;
  for (size_t i = 0; i < static_cast<size_t>(expected_rank); ++i) {
    const uint8_t* p = bytes.data() + 4 + 4 * i;
    uint64_t dim = (uint64_t{p[0]} << 24) | (uint64_t{p[1]} << 16) | (uint64_t{p[2]} << 8) | p[3];
    uint64_t most = i == 0 ? UINT32_MAX : 16384;
    if (dim == 0 || dim > most)
      bad(4 + 4 * i, fmt::format("{} is {}, expected 1..{}",
                                 i == 0   ? "the number of items"
                                 : i == 1 ? "the number of rows"
                                          : "the number of columns",
                                 dim, most));
    count *= dim;  // at most 2^32 * 2^14 * 2^14
    file.dims.push_back(static_cast<int64_t>(dim));
  }
  if (bytes.size() - header != count)
    bad(header, fmt::format("{} bytes of data, expected {}", bytes.size() - header, count));
  file.data.assign(bytes.begin() + static_cast<std::ptrdiff_t>(header), bytes.end());
  return file;
}

Dataset load_idx(const std::string& folder, std::vector<std::string> class_names) {
  Dataset d;
  d.class_names = std::move(class_names);
  d.train = load_part(folder, "train", d.classes());
  d.test = load_part(folder, "t10k", d.classes());
  if (d.train.images.dim(2) != d.test.images.dim(2) || d.train.images.dim(3) != d.test.images.dim(3))
    fail(ErrorKind::data, file_name(folder) + "/t10k-images-idx3-ubyte",
         "at byte 8: images of {}x{}, but the training images have {}x{}", d.test.images.dim(2),
         d.test.images.dim(3), d.train.images.dim(2), d.train.images.dim(3));
  return d;
}

}  // namespace sigma
