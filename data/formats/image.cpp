// PNG and JPEG through stb_image, bounded: the other formats are compiled out (that is where its open
// vulnerabilities are), the file is read by us and proven to be well-formed first (jpeg.h, png.h), memory has
// a budget and begins as zeros.
#include "data/formats/image.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "core/check.h"
#include "data/formats/exif.h"
#include "data/formats/jpeg.h"
#include "data/formats/png.h"

namespace {

// Bytes that one decode may still allocate, on this thread.
thread_local size_t decode_budget = 0;

struct alignas(16) Header {
  size_t size;
};
void* budget_malloc(size_t size) {
  if (size > decode_budget) return nullptr;
  auto* h = static_cast<Header*>(std::calloc(1, sizeof(Header) + size));
  if (!h) return nullptr;
  decode_budget -= size;
  h->size = size;
  return h + 1;
}
void budget_free(void* p) {
  if (!p) return;
  Header* h = static_cast<Header*>(p) - 1;
  decode_budget += h->size;
  std::free(h);
}
void* budget_realloc(void* p, size_t size) {
  if (!p) return budget_malloc(size);
  void* fresh = budget_malloc(size);
  if (!fresh) return nullptr;
  std::memcpy(fresh, p, std::min(size, (static_cast<Header*>(p) - 1)->size));
  budget_free(p);
  return fresh;
}

}  // namespace

#define STBI_NO_STDIO
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_MAX_DIMENSIONS 16384  // kMaxSide
#define STBI_MALLOC(size) budget_malloc(size)
#define STBI_REALLOC(p, size) budget_realloc(p, size)
#define STBI_FREE(p) budget_free(p)
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wunused-but-set-variable"
#include <fmt/format.h>
#include <stb/stb_image.h>
#pragma GCC diagnostic pop

namespace sigma {
namespace {

constexpr size_t kBudget = 256 << 20;
constexpr uint8_t kPng[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

// "89 50 4e 47"
std::string hex_of(const uint8_t* bytes, size_t count) {
  std::string text;
  for (size_t i = 0; i < count; ++i) text += fmt::format("{}{:02x}", i ? " " : "", bytes[i]);
  return text;
}

Bytes eight_bits(const uint16_t* samples, size_t count) {
  Bytes out(count);
  for (size_t i = 0; i < count; ++i) out[i] = static_cast<uint8_t>((uint32_t{samples[i]} + 128) / 257);
  return out;
}

// The last channel is how much of a pixel covers the white ground.
Image on_white(const Image& image) {
  const auto c = static_cast<size_t>(image.channels) - 1, count = image.pixels.size() / (c + 1);
  Image out{image.height, image.width, image.channels - 1, Bytes(count * c)};
  out.deep = image.deep;
  const uint8_t* from = image.pixels.data();
  uint8_t* to = out.pixels.data();
  for (size_t i = 0; i < count; ++i, from += c + 1) {
    const uint32_t cover = from[c];
    out.transparent |= cover != 255;
    for (size_t k = 0; k < c; ++k)
      *to++ = static_cast<uint8_t>((from[k] * cover + 255 * (255 - cover) + 127) / 255);
  }
  return out;
}

}  // namespace

Image decode_image(const Bytes& bytes, const std::string& place) {
  if (bytes.size() > kMaxImageFile)
    fail(ErrorKind::data, place, "{} bytes, expected at most {}", bytes.size(), kMaxImageFile);
  bool png = bytes.size() >= sizeof kPng && std::memcmp(bytes.data(), kPng, sizeof kPng) == 0;
  bool jpeg = bytes.size() > 4 && bytes[0] == 0xff && bytes[1] == 0xd8;
  if (bytes.empty()) fail(ErrorKind::data, place, "the file is empty, expected a PNG or JPEG image");
  if (!png && !jpeg)
    fail(ErrorKind::data, place,
         "at byte 0: {}: this is neither a PNG (89 50 4e 47) nor a JPEG (ff d8) image",
         hex_of(bytes.data(), std::min<size_t>(4, bytes.size())));
  png ? check_png(bytes, place) : check_jpeg(bytes, place);
  int w = 0, h = 0, c = 0, n = static_cast<int>(bytes.size());
  decode_budget = kBudget;
  if (!stbi_info_from_memory(bytes.data(), n, &w, &h, &c) || w < 1 || h < 1)
    fail(ErrorKind::data, place, "damaged image: its header cannot be read");
  if (static_cast<size_t>(w) * static_cast<size_t>(h) * 4 > kBudget)
    fail(ErrorKind::data, place, "{}x{} pixels are more than fit in {} bytes", w, h, kBudget);
  const bool deep = stbi_is_16_bit_from_memory(bytes.data(), n) != 0;
  int w2 = 0, h2 = 0;  // and as many channels as there are, which the header alone does not tell
  void* pixels = deep ? static_cast<void*>(stbi_load_16_from_memory(bytes.data(), n, &w2, &h2, &c, 0))
                      : stbi_load_from_memory(bytes.data(), n, &w2, &h2, &c, 0);
  if (!pixels)
    fail(ErrorKind::data, place, "damaged image ({})",
         stbi_failure_reason() ? stbi_failure_reason() : "unknown");
  Image image{h2, w2, c, {}};
  const size_t count = static_cast<size_t>(h2) * static_cast<size_t>(w2) * static_cast<size_t>(c);
  if (deep)
    image.pixels = eight_bits(static_cast<const uint16_t*>(pixels), count);
  else
    image.pixels.assign(static_cast<const uint8_t*>(pixels), static_cast<const uint8_t*>(pixels) + count);
  image.deep = deep;
  stbi_image_free(pixels);
  if (w2 != w || h2 != h)
    fail(ErrorKind::data, place, "the header says {}x{} pixels, the data has {}x{}", w, h, w2, h2);
  if (c == 2 || c == 4) image = on_white(image);
  if (const int orientation = jpeg ? exif_orientation(bytes) : 1; orientation != 1) {
    image = upright(std::move(image), orientation);
    image.turned = true;
  }
  return image;
}

Image read_image(const std::string& path) { return decode_image(read_file(path, kMaxImageFile), path); }

Image to_channels(const Image& image, int64_t channels) {
  for (int64_t c : {image.channels, channels})
    SIGMA_CHECK(c == 1 || c == 3, "to_channels", "expected 1 or 3 channels, got {} to become {}",
                image.channels, channels);
  if (image.channels == channels) return image;
  Image out{image.height, image.width, channels, {}};
  auto pixels = static_cast<size_t>(image.height * image.width);
  out.pixels.resize(pixels * static_cast<size_t>(channels));
  for (size_t p = 0; p < pixels; ++p) {
    if (channels == 3) {
      std::fill_n(out.pixels.begin() + static_cast<std::ptrdiff_t>(3 * p), 3, image.pixels[p]);
    } else {
      const uint8_t* rgb = image.pixels.data() + 3 * p;
      out.pixels[p] = static_cast<uint8_t>((299 * rgb[0] + 587 * rgb[1] + 114 * rgb[2] + 500) / 1000);
    }
  }
  return out;
}

}  // namespace sigma
