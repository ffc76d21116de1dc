#include "tests/support/sample_bytes.h"

#include <zlib.h>

#include <stdexcept>

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#include <stb/stb_image_write.h>
#pragma GCC diagnostic pop

namespace sigma::test {

std::string big_endian(uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16), static_cast<char>(value >> 8),
          static_cast<char>(value)};
}

std::string idx(const std::vector<uint32_t>& sizes, const std::string& data, uint8_t element_type) {
  std::string bytes{0, 0, static_cast<char>(element_type), static_cast<char>(sizes.size())};
  for (uint32_t size : sizes) bytes += big_endian(size);
  return bytes + data;
}

std::string some_pixels(size_t count, uint32_t seed) {
  std::string pixels(count, 0);
  for (char& p : pixels) p = static_cast<char>((seed = seed * 1664525 + 1013904223) >> 24);
  return pixels;
}

std::string some_labels(size_t count, uint8_t classes) {
  std::string labels(count, 0);
  for (size_t i = 0; i < count; ++i) labels[i] = static_cast<char>(i % classes);
  return labels;
}

std::string gzipped(const std::string& bytes, int level) {
  z_stream stream{};
  if (deflateInit2(&stream, level, Z_DEFLATED, 16 + 15, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    throw std::runtime_error("deflateInit2 failed");
  std::string out(deflateBound(&stream, bytes.size()) + 64, 0);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  int status = deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  if (status != Z_STREAM_END) throw std::runtime_error("deflate failed");
  return out;
}

std::string cifar(size_t records, bool hundred) {
  std::string bytes;
  for (size_t i = 0; i < records; ++i) {
    if (hundred) bytes += static_cast<char>(i % 20);
    bytes += static_cast<char>(i % (hundred ? 100 : 10));
    bytes += some_pixels(3072, static_cast<uint32_t>(i));
  }
  return bytes;
}

std::string png_chunk(const std::string& type, const std::string& content) {
  std::string body = type + content;
  auto crc = crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size()));
  return big_endian(static_cast<uint32_t>(content.size())) + body + big_endian(static_cast<uint32_t>(crc));
}

int channels_of(uint8_t color_type) {
  return color_type == 0 ? 1 : color_type == 2 ? 3 : color_type == 4 ? 2 : 4;
}

std::string png(uint32_t width, uint32_t height, uint8_t color_type, const std::string& pixels) {
  std::string header = big_endian(width) + big_endian(height) + '\x08' + static_cast<char>(color_type) +
                       std::string(3, '\0'),
              rows;
  size_t row = static_cast<size_t>(channels_of(color_type)) * width;
  for (size_t at = 0; at < pixels.size(); at += row) rows += '\0' + pixels.substr(at, row);  // filter: none
  std::string packed(compressBound(rows.size()), 0);
  uLongf size = packed.size();
  compress(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(rows.data()),
           rows.size());
  packed.resize(size);
  return "\x89PNG\r\n\x1a\n" + png_chunk("IHDR", header) + png_chunk("IDAT", packed) + png_chunk("IEND", "");
}

std::string jpeg(int width, int height, int channels, const std::string& pixels) {
  std::string out;
  auto append = [](void* to, void* data, int size) {
    static_cast<std::string*>(to)->append(static_cast<char*>(data), static_cast<size_t>(size));
  };
  if (!stbi_write_jpg_to_func(append, &out, width, height, channels, pixels.data(), 100))
    throw std::runtime_error("the JPEG could not be written");
  return out;
}

}  // namespace sigma::test
