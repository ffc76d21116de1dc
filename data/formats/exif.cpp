#include "data/formats/exif.h"

#include <cstring>

namespace sigma {
namespace {

// Numbers of a TIFF block, in its byte order. Reads beyond its end are zeros, which mean nothing to it.
class Tiff {
 public:
  Tiff(const uint8_t* bytes, size_t size) : bytes_(bytes), size_(size) {}

  int orientation() const {
    if (size_ < 8 || bytes_[0] != bytes_[1] || (bytes_[0] != 'I' && bytes_[0] != 'M') || word(2) != 42)
      return 1;
    const size_t directory = long_word(4), entries = word(directory);
    for (size_t i = 0; i < entries; ++i) {
      const size_t entry = directory + 2 + 12 * i;
      if (entry + 12 > size_) return 1;
      if (word(entry) != 0x0112) continue;
      const bool one_short = word(entry + 2) == 3 && long_word(entry + 4) == 1;
      const auto value = static_cast<int>(word(entry + 8));
      return one_short && value >= 1 && value <= 8 ? value : 1;
    }
    return 1;
  }

 private:
  size_t byte(size_t at) const { return at < size_ ? bytes_[at] : 0; }
  size_t word(size_t at) const {
    return bytes_[0] == 'I' ? byte(at) | byte(at + 1) << 8 : byte(at) << 8 | byte(at + 1);
  }
  size_t long_word(size_t at) const {
    return bytes_[0] == 'I' ? word(at) | word(at + 2) << 16 : word(at) << 16 | word(at + 2);
  }
  const uint8_t* bytes_;
  size_t size_;
};

}  // namespace

int exif_orientation(const Bytes& b) {
  constexpr char kExif[6] = {'E', 'x', 'i', 'f', 0, 0};
  if (b.size() < 4 || b[0] != 0xff || b[1] != 0xd8) return 1;
  // Segments before the first scan: marker, length, content; the first Exif block counts.
  for (size_t at = 2; b.size() - at >= 4;) {
    if (b[at] != 0xff) return 1;
    const int marker = b[at + 1];
    if (marker == 0xff) {  // a fill byte
      ++at;
      continue;
    }
    const size_t length = size_t{b[at + 2]} << 8 | b[at + 3];
    if (marker == 0xda || marker == 0xd9 || length < 2 || length > b.size() - at - 2) return 1;
    if (marker == 0xe1 && length >= 2 + sizeof kExif && std::memcmp(&b[at + 4], kExif, sizeof kExif) == 0)
      return Tiff(&b[at + 4 + sizeof kExif], length - 2 - sizeof kExif).orientation();
    at += 2 + length;
  }
  return 1;
}

Image upright(Image image, int orientation) {
  if (orientation <= 1 || orientation > 8) return image;
  const bool swaps = orientation >= 5;  // rows become columns
  const int64_t h = image.height, w = image.width, c = image.channels;
  Image out = image;
  out.height = swaps ? w : h;
  out.width = swaps ? h : w;
  // Pixel (y, x) of the result is pixel (i, k) of the file.
  const bool from_below = orientation == 3 || orientation == 4 || orientation == 7 || orientation == 6,
             from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  uint8_t* to = out.pixels.data();
  for (int64_t y = 0; y < out.height; ++y)
    for (int64_t x = 0; x < out.width; ++x, to += c) {
      const int64_t row = swaps ? x : y, column = swaps ? y : x;
      const int64_t i = from_below ? h - 1 - row : row, k = from_right ? w - 1 - column : column;
      std::memcpy(to, image.pixels.data() + (i * w + k) * c, static_cast<size_t>(c));
    }
  return out;
}

}  // namespace sigma
