#include "data/formats/cifar.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "core/check.h"
#include "core/text.h"

namespace sigma {
namespace {

constexpr int64_t kSide = 32;
constexpr size_t kPixels = kSide * kSide;

Split load_part(const std::string& folder, const std::vector<std::string>& files, bool hundred) {
  std::vector<Split> parts;
  int64_t images = 0;
  for (const std::string& file : files) {
    std::filesystem::path path = std::filesystem::path(folder) / file;
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored))
      fail(ErrorKind::io, path.string(),
           "the file does not exist; `sigma data fetch` downloads the public data sets");
    parts.push_back(parse_cifar(read_file(path.string(), uint64_t{1} << 30), file, hundred));
    images += parts.back().size();
  }
  if (parts.size() == 1) return parts[0];
  Split split;
  split.images = Tensor::empty({images, 3, kSide, kSide}, DType::uint8, Layout::channels_last);
  split.labels = Tensor::empty({images}, DType::int64);
  auto* pixels = split.images.mutable_data<uint8_t>();
  auto* labels = split.labels.mutable_data<int64_t>();
  for (const Split& part : parts) {
    pixels = std::copy_n(part.images.data<uint8_t>(), part.images.numel(), pixels);
    labels = std::copy_n(part.labels.data<int64_t>(), part.size(), labels);
  }
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
  if (names.size() == count && std::all_of(names.begin(), names.end(), is_printable)) return names;
  names.clear();
  for (size_t i = 0; i < count; ++i) names.push_back(std::to_string(i));
  return names;
}

}  // namespace

Split parse_cifar(const Bytes& bytes, const std::string& place, bool hundred) {
  const size_t label_bytes = hundred ? 2 : 1, record = label_bytes + 3 * kPixels;
  if (bytes.empty() || bytes.size() % record)
    fail(ErrorKind::data, place, "{} bytes, expected a multiple of {} (one image and its label)",
         bytes.size(), record);
  const auto count = static_cast<int64_t>(bytes.size() / record);
  const int limit = hundred ? 100 : 10;
  Split split;
  split.images = Tensor::empty({count, 3, kSide, kSide}, DType::uint8, Layout::channels_last);
  split.labels = Tensor::empty({count}, DType::int64);
  auto* pixels = split.images.mutable_data<uint8_t>();
  auto* labels = split.labels.mutable_data<int64_t>();
  for (size_t at = 0; at < bytes.size(); at += record) {
    const uint8_t* label = bytes.data() + at + label_bytes - 1;
    if (hundred && bytes[at] >= 20)
      fail(ErrorKind::data, place, "at byte {}: coarse label {}, expected 0..19", at, bytes[at]);
    if (*label >= limit)
      fail(ErrorKind::data, place, "at byte {}: label {}, expected 0..{}", at + label_bytes - 1, *label,
           limit - 1);
    *labels++ = *label;
    const uint8_t* planes = label + 1;
    for (size_t p = 0; p < kPixels; ++p)
      for (size_t c = 0; c < 3; ++c) *pixels++ = planes[c * kPixels + p];
  }
  return split;
}

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
