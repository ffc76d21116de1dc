#include <filesystem>
#include <utility>

#include "data/dataset.h"

namespace sigma {
namespace {

constexpr size_t kPixels = 32 * 32;

void append_file(const std::string& path, bool hundred, Bytes& images, std::vector<int64_t>& labels) {
  std::string place = std::filesystem::path(path).filename().string();
  Bytes bytes = read_file(path, uint64_t{1} << 30);
  size_t label_bytes = hundred ? 2 : 1, record = label_bytes + 3 * kPixels;
  if (bytes.empty() || bytes.size() % record)
    fail(ErrorKind::data, place, "{} bytes, expected a multiple of {} (one image and its label)",
         bytes.size(), record);
  int limit = hundred ? 100 : 10;
  for (size_t at = 0; at < bytes.size(); at += record) {
    const uint8_t* label = bytes.data() + at + label_bytes - 1;
    if (hundred && bytes[at] >= 20)
      fail(ErrorKind::data, place, "at byte {}: coarse label {}, expected 0..19", at, bytes[at]);
    if (*label >= limit)
      fail(ErrorKind::data, place, "at byte {}: label {}, expected 0..{}", at + label_bytes - 1, *label,
           limit - 1);
    labels.push_back(*label);
    const uint8_t* planes = label + 1;
    for (size_t p = 0; p < kPixels; ++p)
      for (size_t c = 0; c < 3; ++c) images.push_back(planes[c * kPixels + p]);
  }
}

Split load_part(const std::string& folder, const std::vector<std::string>& files, bool hundred) {
  Bytes images;
  std::vector<int64_t> labels;
  for (const std::string& file : files) {
    std::string path = (std::filesystem::path(folder) / file).string();
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored))
      fail(ErrorKind::io, path, "the file does not exist; `sigma data fetch` downloads the public data sets");
    append_file(path, hundred, images, labels);
  }
  Split split;
  split.images =
      Tensor::empty({static_cast<int64_t>(labels.size()), 3, 32, 32}, DType::uint8, Layout::channels_last);
  std::copy(images.begin(), images.end(), split.images.mutable_data<uint8_t>());
  split.labels = Tensor::from<int64_t>(labels, {static_cast<int64_t>(labels.size())});
  return split;
}

// One name a line, where the file is there; numbers otherwise.
std::vector<std::string> class_names(const std::string& path, size_t count) {
  std::vector<std::string> names;
  std::error_code ignored;
  if (std::filesystem::exists(path, ignored)) {
    std::string line;
    for (uint8_t byte : read_file(path, 1 << 20)) {
      if (byte == '\r') continue;
      if (byte != '\n')
        line += static_cast<char>(byte);
      else if (!line.empty())
        names.push_back(std::exchange(line, ""));
    }
    if (!line.empty()) names.push_back(line);
  }
  if (names.size() == count) return names;
  names.clear();
  for (size_t i = 0; i < count; ++i) names.push_back(std::to_string(i));
  return names;
}

}  // namespace

Dataset load_cifar(const std::string& folder, bool hundred) {
  Dataset d;
  std::vector<std::string> train, test;
  if (hundred) {
    train = {"train.bin"};
    test = {"test.bin"};
  } else {
    for (int i = 1; i <= 5; ++i) train.push_back(fmt::format("data_batch_{}.bin", i));
    test = {"test_batch.bin"};
  }
  d.train = load_part(folder, train, hundred);
  d.test = load_part(folder, test, hundred);
  auto names = std::filesystem::path(folder) / (hundred ? "fine_label_names.txt" : "batches.meta.txt");
  d.class_names = class_names(names.string(), hundred ? 100 : 10);
  return d;
}

}  // namespace sigma
