#include "data/formats/exif.h"

#include <zlib.h>

#include <cstdlib>

#include "data/transforms/resize.h"
#include "tests/fuzz/target.h"
#include "tests/support/sample_bytes.h"

namespace sigma::fuzz {
namespace {

// A palette PNG of 4 bits a pixel, interlaced.
std::string palette_png() {
  std::string header = test::big_endian(5) + test::big_endian(3) + std::string("\x04\x03\0\0\x01", 5);
  std::string rows;  // the passes of 5x3 have rows of 1, 1, 0, 2, 3 2, and 5 pixels
  for (size_t bytes : {1, 1, 1, 2, 1, 1, 3}) rows += '\0' + std::string(bytes, '\x11');
  std::string packed(compressBound(rows.size()), '\0');
  uLongf size = packed.size();
  compress(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(rows.data()),
           rows.size());
  packed.resize(size);
  return "\x89PNG\r\n\x1a\n" + test::png_chunk("IHDR", header) + test::png_chunk("PLTE", "abcdef") +
         test::png_chunk("tRNS", "a") + test::png_chunk("IDAT", packed) + test::png_chunk("IEND", "");
}

// A JPEG with an Exif block before all else: little-endian, one entry before the orientation.
std::string turned_jpeg() {
  const std::string entry1("\x00\x01\x03\x00\x01\x00\x00\x00\x01\x00\x00\x00", 12),
      entry2("\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00", 12);
  const std::string exif =
      std::string("Exif\0\0II\x2a\x00\x08\x00\x00\x00\x02\x00", 16) + entry1 + entry2 + std::string(4, '\0');
  const std::string file = test::jpeg(9, 8, 3, test::some_pixels(216));
  return file.substr(0, 2) + "\xff\xe1" + std::string(1, '\0') + static_cast<char>(exif.size() + 2) + exif +
         file.substr(2);
}

// 16 bits a sample, grey, of which one is transparent: the rows of a grey and alpha PNG with another header.
std::string deep_png() {
  const std::string pairs = test::png(6, 5, 4, test::some_pixels(60));
  std::string header = pairs.substr(16, 13);
  header[8] = 16;
  header[9] = 0;
  return pairs.substr(0, 8) + test::png_chunk("IHDR", header) +
         test::png_chunk("tRNS", std::string(2, '\1')) + pairs.substr(33);
}

std::vector<std::string> seeds() {
  std::vector<std::string> files = {test::progressive_jpeg(),
                                    test::separate_scans_jpeg(),
                                    test::grey_progressive_jpeg(),
                                    palette_png(),
                                    test::jpeg(9, 8, 3, test::some_pixels(216)),
                                    turned_jpeg(),
                                    deep_png()};
  for (uint8_t color : {0, 2, 4, 6})
    files.push_back(test::png(6, 5, color,
                              test::some_pixels(size_t{30} * static_cast<size_t>(test::channels_of(color)))));
  return files;
}

uint32_t word(const Bytes& b, size_t at) {
  return uint32_t{b[at]} << 24 | uint32_t{b[at + 1]} << 16 | uint32_t{b[at + 2]} << 8 | b[at + 3];
}

// Makes every checksum of a PNG right: else hardly a mutation would reach what lies behind them.
Bytes with_right_checksums(Bytes b) {
  if (b.size() < 8 || b[0] != 0x89) return b;
  for (size_t at = 8; b.size() - at >= 12;) {
    const uint32_t length = word(b, at);
    if (length > b.size() - at - 12) break;
    const uLong crc = crc32(0, b.data() + at + 4, length + 4);
    for (size_t i = 0; i < 4; ++i) b[at + 8 + length + i] = static_cast<uint8_t>(crc >> (24 - 8 * i));
    at += 12 + length;
  }
  return b;
}

void parse(const Bytes& bytes) {
  const Bytes file = with_right_checksums(bytes);
  exif_orientation(file);  // of what no decoder would take, too
  const Image a = decode_image(file, "file");
  const Image b = decode_image(file, "file");
  if (a.pixels != b.pixels) std::abort();  // what is decoded depends on the file alone
  to_channels(a, 4 - a.channels);
  fitted(a, 7, 5);
}

}  // namespace

const Target image = {"image", seeds, parse};

}  // namespace sigma::fuzz
