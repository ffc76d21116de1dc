// Image files that a decoder must not see, and what is read of those that it may.
#include "data/formats/image.h"

#include <zlib.h>

#include "data/formats/image_folder.h"
#include "tests/support/sample_files.h"
#include "tests/support/support.h"

using namespace sigma;
using namespace sigma::test;

namespace {

Bytes bytes(const std::string& text) { return {text.begin(), text.end()}; }

std::string refusal(const std::string& file) {
  try {
    decode_image(bytes(file), "x");
  } catch (const Error& e) {
    CHECK(e.kind() == ErrorKind::data);
    return e.what();
  }
  return "accepted";
}

std::string good_jpeg() { return jpeg(12, 10, 3, some_pixels(360)); }

// A JPEG's Huffman table segment of one table.
std::string huffman(char kind, const std::string& counts, const std::string& symbols) {
  const size_t length = 2 + 1 + counts.size() + symbols.size();
  return std::string("\xff\xc4") + static_cast<char>(length >> 8) + static_cast<char>(length & 255) + kind +
         counts + symbols;
}

// How many codes there are of a length, and of another.
std::string counts(size_t length, uint8_t number, size_t other = 1, uint8_t other_number = 0) {
  std::string all(16, '\0');
  all[other - 1] = static_cast<char>(other_number);
  all[length - 1] = static_cast<char>(number);
  return all;
}

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  const size_t at = text.find(what);
  REQUIRE(at != text.npos);
  return text.replace(at, what.size(), by);
}

std::string packed(const std::string& rows) {
  std::string out(compressBound(rows.size()), '\0');
  uLongf size = out.size();
  compress(reinterpret_cast<Bytef*>(out.data()), &size, reinterpret_cast<const Bytef*>(rows.data()),
           rows.size());
  out.resize(size);
  return out;
}

// 8 bits a pixel, with a palette of `colors` colours.
std::string palette_png(uint32_t width, uint32_t height, size_t colors, const std::string& data) {
  return "\x89PNG\r\n\x1a\n" +
         png_chunk("IHDR", big_endian(width) + big_endian(height) + std::string("\x08\x03\0\0\0", 5)) +
         png_chunk("PLTE", std::string(3 * colors, '\x42')) + png_chunk("IDAT", data) + png_chunk("IEND", "");
}

}  // namespace

TEST_CASE("JPEG: sequential, progressive, subsampled and restarted files are read") {
  Image colour = decode_image(bytes(progressive_jpeg()), "x");
  CHECK(colour.width == 17);
  CHECK(colour.height == 11);
  CHECK(colour.channels == 3);
  Image separate = decode_image(bytes(separate_scans_jpeg()), "x");
  CHECK(separate.width == 17);
  CHECK(separate.channels == 3);
  // Both are of the same picture at the same quality, but for their subsampling.
  double difference = 0;
  for (size_t i = 0; i < colour.pixels.size(); ++i)
    difference += std::abs(colour.pixels[i] - separate.pixels[i]);
  CHECK(difference / static_cast<double>(colour.pixels.size()) < 8);
  Image grey = decode_image(bytes(grey_progressive_jpeg()), "x");
  CHECK(grey.width == 20);
  CHECK(grey.channels == 1);
}

// stb_image 2.27 bounds neither the sum of a Huffman table's counts nor the codes: it wrote behind its
// tables.
TEST_CASE("JPEG: Huffman tables with too many or impossible codes are refused") {
  const std::string good = good_jpeg();
  auto with = [&](const std::string& segment) { return good.substr(0, 2) + segment + good.substr(2); };
  CHECK(refusal(with(huffman(0, std::string(16, '\xff'), std::string(4080, 0)))) ==
        "x: at byte 6: a Huffman table of 4080 symbols, expected at most 255");
  CHECK(refusal(with(huffman(0x10, counts(8, 255, 9, 2), std::string(257, 1)))) ==
        "x: at byte 6: a Huffman table of 257 symbols, expected at most 255");
  CHECK(refusal(with(huffman(0x10, counts(1, 3), std::string(3, 1)))) ==
        "x: at byte 6: 3 Huffman codes of 1 bits are more than there can be");
  CHECK(refusal(with(huffman(0x10, counts(1, 2, 2, 1), std::string(3, 1)))) ==
        "x: at byte 6: 1 Huffman codes of 2 bits are more than there can be");
  CHECK(refusal(with(huffman(0x04, counts(1, 0), ""))) ==
        "x: at byte 6: Huffman table 04, expected 00 to 03 or 10 to 13");
  CHECK(refusal(with(huffman(0x00, counts(1, 1), "\x0c"))) ==
        "x: at byte 6: a DC Huffman table with symbol 12, expected at most 11");
  CHECK(refusal(with(huffman(0x10, counts(16, 5), "ab"))) ==
        "x: at byte 4: a segment is too short for what is in it");
}

// Its bit reader then shifted by 32 and more, and what it had not decoded was whatever lay in memory.
TEST_CASE("JPEG: entropy-coded data that end early, or hold what no encoder writes, are refused") {
  const std::string good = good_jpeg();
  const size_t scan = good.find("\xff\xda");
  const std::string head = good.substr(0, scan + 14), end = "\xff\xd9";
  CHECK(refusal(head + end) == fmt::format("x: at byte {}: the data of the JPEG end early", head.size()));
  CHECK(refusal(good.substr(0, scan + 40) + end).find(": the data of the JPEG end early") !=
        std::string::npos);
  CHECK(refusal(good.substr(0, scan + 40)).find("the JPEG is cut off: no end-of-image marker") !=
        std::string::npos);
  CHECK(refusal(head + std::string("\xff\x00\xff\x00\xff\x00\xff\x00", 8) + end) != "accepted");
  std::string progressive = progressive_jpeg();
  size_t refused = 0;
  for (size_t at = progressive.find("\xff\xda"); at < progressive.size(); ++at) {
    std::string changed = progressive;
    changed[at] = static_cast<char>(changed[at] ^ 0x10);
    refused += refusal(changed) != "accepted";
  }
  CHECK(refused > 100);
}

// The check of ours then had no table for the other coefficients.
TEST_CASE("JPEG: a sequential scan that says it ends at coefficient 0 is read whole") {
  const std::string good = good_jpeg();
  std::string changed = good;
  changed[good.find("\xff\xda") + 12] = 0;
  CHECK(decode_image(bytes(changed), "x").pixels == decode_image(bytes(good), "x").pixels);
}

TEST_CASE("JPEG: kinds that are not read are refused by name") {
  const std::string good = good_jpeg(), frame = good.substr(good.find("\xff\xc0"), 19);
  auto frame_like = [&](const char* marker) {
    return replaced(good, "\xff\xc0", std::string("\xff") + marker);
  };
  for (const char* marker : {"\xc9", "\xca", "\xcb"})
    CHECK(refusal(frame_like(marker)).find("a JPEG with arithmetic coding is not supported") !=
          std::string::npos);
  CHECK(refusal(frame_like("\xc3")).find("a JPEG with lossless coding is not supported") !=
        std::string::npos);
  CHECK(refusal(frame_like("\xc5")).find("hierarchical coding") != std::string::npos);
  auto with = [&](size_t at, const std::string& by) {
    std::string changed = frame;
    return replaced(good, frame, changed.replace(at, by.size(), by));
  };
  CHECK(refusal(with(4, "\x0c")).find("a JPEG of 12 bits a sample is not supported") != std::string::npos);
  CHECK(refusal(with(9, "\x04")).find("a CMYK JPEG is not supported") != std::string::npos);
  CHECK(refusal(with(9, "\x02")).find("2 components, expected 1 or 3") != std::string::npos);
  CHECK(refusal(with(11, "\x51")).find("sampling factors 5x1, expected 1..4") != std::string::npos);
  CHECK(refusal(with(11, std::string(1, '\0'))).find("sampling factors 0x0") != std::string::npos);
  CHECK(refusal(with(13, "\x01")).find("two components of the name 1") != std::string::npos);
}

TEST_CASE("images: no more memory is asked for than the bytes of the file can fill") {
  const std::string good = good_jpeg(), frame = good.substr(good.find("\xff\xc0"), 19);
  std::string large = frame;
  large.replace(5, 4, "\x40\x00\x40\x00", 4);
  CHECK(refusal(replaced(good, frame, large)).find("16384x16384 pixels are more than") != std::string::npos);
  CHECK(refusal(palette_png(8000, 8000, 1, packed("x"))).find("8000x8000 pixels are more than") !=
        std::string::npos);
}

// stb_image takes the colour from whatever lies behind the palette on the stack: predictions differed from
// run to run.
TEST_CASE("PNG: a pixel whose colour the palette has not is refused") {
  CHECK(refusal(palette_png(2, 1, 2, packed(std::string("\0\0\1", 3)))) == "accepted");
  CHECK(refusal(palette_png(2, 1, 2, packed(std::string("\0\0\2", 3)))) ==
        "x: a pixel has colour 2, but the palette has 2 colours");
  // Filtered: 1, then 1 more than that.
  CHECK(refusal(palette_png(2, 1, 2, packed("\1\1\1"))) ==
        "x: a pixel has colour 2, but the palette has 2 colours");
  CHECK(refusal(palette_png(1, 2, 2, packed(std::string("\0\1\2\1", 4)))) ==
        "x: a pixel has colour 2, but the palette has 2 colours");
}

TEST_CASE("PNG: pixels that do not fit their checksum or their number are refused") {
  std::string data = packed(std::string("\0\0\1", 3));
  data.back() = static_cast<char>(data.back() ^ 1);
  CHECK(refusal(palette_png(2, 1, 2, data)) == "x: the pixels do not match their checksum (Adler-32)");
  CHECK(refusal(palette_png(2, 1, 2, packed(std::string("\0\0\1\0", 4)))) ==
        "x: more pixels than the 2x1 of the header");
  CHECK(refusal(palette_png(2, 2, 2, packed(std::string("\0\0\1", 3)))) ==
        "x: 3 bytes of pixels, expected 6 for 2x2");
  CHECK(refusal(palette_png(2, 1, 2, packed(std::string("\5\0\1", 3)))) ==
        "x: row 0: filter 5, expected 0..4");
}

// A checkpoint that declares two input channels made it read past the pixels.
TEST_CASE("images become grey or colour, nothing else") {
  const Image grey{1, 2, 1, {10, 20}};
  CHECK(to_channels(grey, 3).pixels == Bytes{10, 10, 10, 20, 20, 20});
  CHECK(to_channels(to_channels(grey, 3), 1).pixels == grey.pixels);
  for (int64_t channels : {0, 2, 4}) {
    CHECK_THROWS_AS(to_channels(grey, channels), Error);
    CHECK_THROWS_AS(to_channels(Image{1, 1, channels, Bytes(8)}, 1), Error);
  }
}

TEST_CASE("a class folder whose name no terminal may see is refused, and shown escaped") {
  for (auto [name, shown] :
       {std::pair{"do\xffg", "do\\xffg"}, {"do\x1b[31mg", "do\\x1b[31mg"}, {"do\ng", "do\\ng"}}) {
    TemporaryFolder folder;
    put_image_folder(folder.path());
    for (const char* part : {"train", "test"})
      std::filesystem::rename(folder.path() / part / "dog", folder.path() / part / name);
    const std::string message = error_of([&] { load_image_folder(folder.path().string()); });
    INFO(message);
    CHECK(message.find(fmt::format("the class folder \"{}\" has a name that is not UTF-8 or holds control",
                                   shown)) != std::string::npos);
  }
}
