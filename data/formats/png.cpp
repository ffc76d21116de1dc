#include "data/formats/png.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/check.h"
#include "core/text.h"
#include "data/formats/image.h"

namespace sigma {
namespace {

constexpr size_t kSignature = 8;
constexpr uint64_t kMaxPixels = uint64_t{256} << 20;  // unpacked, bytes

struct Header {
  int64_t width = 0, height = 0;
  int depth = 0, color = 0, channels = 0;
  bool interlaced = false;
};

// The rows of an image, or of one of its seven passes (PNG 8.2).
struct Pass {
  int64_t width, height;
};

std::vector<Pass> passes_of(const Header& h) {
  if (!h.interlaced) return {{h.width, h.height}};
  struct Grid {
    int x, y, dx, dy;
  };
  constexpr Grid kAdam7[] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                             {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};
  std::vector<Pass> passes;
  for (const Grid& g : kAdam7) {
    const Pass pass{(h.width - g.x + g.dx - 1) / g.dx, (h.height - g.y + g.dy - 1) / g.dy};
    if (pass.width > 0 && pass.height > 0) passes.push_back(pass);
  }
  return passes;
}

// Takes the unpacked bytes as they come and checks each row once it is whole.
class Rows {
 public:
  Rows(const Header& header, size_t colors, const std::string& place)
      : header_(header), colors_(colors), place_(place), passes_(passes_of(header)) {
    for (const Pass& p : passes_) expected_ += static_cast<uint64_t>(p.height) * (1 + row_bytes(p.width));
    begin_row();
  }
  uint64_t expected() const { return expected_; }
  bool whole() const { return pass_ == passes_.size(); }
  uint64_t taken() const { return taken_; }

  // False when there are more bytes than the image has.
  bool take(const uint8_t* bytes, size_t count) {
    taken_ += count;
    while (count > 0) {
      if (whole()) return false;
      const size_t part = std::min(count, row_.size() - filled_);
      std::memcpy(row_.data() + filled_, bytes, part);
      filled_ += part;
      bytes += part;
      count -= part;
      if (filled_ == row_.size()) end_row();
    }
    return true;
  }

 private:
  size_t row_bytes(int64_t width) const {
    return static_cast<size_t>((width * header_.channels * header_.depth + 7) / 8);
  }
  void begin_row() {
    filled_ = 0;
    if (row_number_ == 0 && !whole()) {
      row_.assign(1 + row_bytes(passes_[pass_].width), 0);
      above_.assign(row_.size(), 0);
    }
  }
  void end_row() {
    if (row_[0] > 4) fail(ErrorKind::data, place_, "row {}: filter {}, expected 0..4", row_number_, row_[0]);
    if (header_.color == 3) {
      unfilter();
      check_colors();
      std::swap(row_, above_);
    }
    if (++row_number_ == passes_[pass_].height) {
      row_number_ = 0;
      ++pass_;
    }
    begin_row();
  }

  // Pixels of a palette take a byte at most, so that the pixel to the left is the byte to the left (PNG 9.2).
  void unfilter() {
    const int filter = row_[0];
    for (size_t i = 1; i < row_.size(); ++i) {
      const int a = i > 1 ? row_[i - 1] : 0, b = above_[i], c = i > 1 ? above_[i - 1] : 0;
      int guess = 0;
      if (filter == 1) guess = a;
      if (filter == 2) guess = b;
      if (filter == 3) guess = (a + b) / 2;
      if (filter == 4) {
        const int pa = std::abs(b - c), pb = std::abs(a - c), pc = std::abs(a + b - 2 * c);
        guess = pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
      }
      row_[i] = static_cast<uint8_t>(row_[i] + guess);
    }
  }
  void check_colors() const {
    const auto depth = static_cast<size_t>(header_.depth), per_byte = 8 / depth;
    const auto width = static_cast<size_t>(passes_[pass_].width);
    for (size_t x = 0; x < width; ++x) {
      const size_t shift = 8 - depth * (1 + x % per_byte);
      const size_t color = size_t{row_[1 + x / per_byte]} >> shift & ((size_t{1} << depth) - 1);
      if (color >= colors_)
        fail(ErrorKind::data, place_, "a pixel has colour {}, but the palette has {} colours", color,
             colors_);
    }
  }

  const Header& header_;
  size_t colors_;
  const std::string& place_;
  std::vector<Pass> passes_;
  uint64_t expected_ = 0, taken_ = 0;
  size_t pass_ = 0, filled_ = 0;
  int64_t row_number_ = 0;
  Bytes row_, above_;  // the filter's number first
};

class PngChecker {
 public:
  PngChecker(const Bytes& bytes, const std::string& place) : bytes_(bytes), place_(place) {}

  void check() {
    for (size_t at = kSignature; !ended_;) at = chunk(at);
    if (data_.empty()) fail(ErrorKind::data, place_, "the PNG has no data (IDAT)");
    unpack();
  }

 private:
  struct Part {
    size_t at, length;
  };

  [[noreturn]] void refuse(size_t at, const std::string& why) const {
    fail(ErrorKind::data, place_, "at byte {}: {}", at, why);
  }
  uint32_t word(size_t i) const {
    return uint32_t{bytes_[i]} << 24 | uint32_t{bytes_[i + 1]} << 16 | uint32_t{bytes_[i + 2]} << 8 |
           bytes_[i + 3];
  }

  size_t chunk(size_t at) {
    if (bytes_.size() - at < 12) refuse(bytes_.size(), "the PNG is cut off");
    const uint32_t length = word(at);
    if (length > bytes_.size() - at - 12) refuse(bytes_.size(), "the PNG is cut off");
    const uint32_t found = word(at + 8 + length);
    const auto crc = static_cast<uint32_t>(crc32(0, bytes_.data() + at + 4, length + 4));
    if (crc != found)
      refuse(at + 8 + length, fmt::format("checksum {:08x} of a PNG chunk, expected {:08x}", found, crc));
    const std::string_view type(reinterpret_cast<const char*>(bytes_.data() + at + 4), 4);
    const size_t content = at + 8;
    if (at == kSignature ? type != "IHDR" || length != 13 : type == "IHDR")
      refuse(at, at == kSignature ? "expected an IHDR chunk of 13 bytes first" : "a second IHDR chunk");
    if (type == "IHDR")
      header(content);
    else if (type == "PLTE")
      palette(at, length);
    else if (type == "tRNS")
      transparency(at, length);
    else if (type == "IDAT")
      data(at, length);
    else if (type == "IEND")
      ended_ = true;
    else if (!(type[0] & 0x20))  // a capital: one must understand it
      refuse(at, fmt::format("the PNG chunk {} is not supported", printable(type)));
    return content + length + 4;
  }

  void header(size_t at) {
    for (size_t side : {at, at + 4})
      if (word(side) == 0 || word(side) > kMaxSide)
        refuse(side, fmt::format("{} pixels {}, expected 1..{}", word(side), side == at ? "wide" : "high",
                                 kMaxSide));
    header_.width = word(at);
    header_.height = word(at + 4);
    header_.depth = bytes_[at + 8];
    header_.color = bytes_[at + 9];
    const int depth = header_.depth, color = header_.color;
    if (depth == 0 || depth > 16 || (depth & (depth - 1)))
      refuse(at + 8, fmt::format("bit depth {}, expected 1, 2, 4, 8 or 16", depth));
    if (color > 6 || color == 1 || color == 5)
      refuse(at + 9, fmt::format("color type {}, expected 0, 2, 3, 4 or 6", color));
    if ((color == 3 && depth > 8) || (color != 0 && color != 3 && depth < 8))
      refuse(at + 8, fmt::format("bit depth {} does not go with color type {}", depth, color));
    if (bytes_[at + 10] || bytes_[at + 11] || bytes_[at + 12] > 1)
      refuse(at + 10,
             fmt::format("methods {} {} {} of compression, filter and interlacing, expected 0 0 0 or 0 0 1",
                         bytes_[at + 10], bytes_[at + 11], bytes_[at + 12]));
    header_.interlaced = bytes_[at + 12] == 1;
    header_.channels = color == 2 ? 3 : color == 4 ? 2 : color == 6 ? 4 : 1;
  }

  void palette(size_t at, size_t length) {
    if (colors_ > 0 || !data_.empty()) refuse(at, "a palette (PLTE) out of place");
    if (length == 0 || length > 768 || length % 3)
      refuse(at, fmt::format("a palette (PLTE) of {} bytes, expected 3 to 768 by 3", length));
    colors_ = length / 3;
  }

  void transparency(size_t at, size_t length) {
    if (!data_.empty()) refuse(at, "transparency (tRNS) out of place");
    const int color = header_.color;
    if (color > 3) refuse(at, fmt::format("transparency (tRNS) with color type {}", color));
    if (color == 3 ? length > colors_ : length != static_cast<size_t>(2 * header_.channels))
      refuse(at, fmt::format("transparency (tRNS) of {} bytes", length));
  }

  void data(size_t at, size_t length) {
    if (header_.color == 3 && colors_ == 0)
      refuse(at, "a PNG with a palette but no PLTE chunk before its data");
    data_.push_back({at + 8, length});
    packed_ += length;
  }

  void unpack() const {
    Rows rows(header_, colors_, place_);
    // Deflate shrinks by at most about 1032 to 1.
    if (rows.expected() > kMaxPixels || rows.expected() > 1100 * packed_ + 65536)
      fail(ErrorKind::data, place_, "{}x{} pixels are more than {}", header_.width, header_.height,
           rows.expected() > kMaxPixels ? fmt::format("fit in {} bytes", kMaxPixels)
                                        : fmt::format("{} bytes of data can hold", packed_));
    z_stream stream{};
    if (inflateInit(&stream) != Z_OK) fail(ErrorKind::memory, place_, "zlib could not be initialised");
    struct End {
      z_stream* s;
      ~End() { inflateEnd(s); }
    } end{&stream};
    Bytes out(65536);
    int status = Z_OK;
    for (const Part& part : data_) {
      stream.next_in = const_cast<Bytef*>(bytes_.data() + part.at);
      stream.avail_in = static_cast<uInt>(part.length);
      while (status == Z_OK && (stream.avail_in > 0 || stream.avail_out == 0)) {
        stream.next_out = out.data();
        stream.avail_out = static_cast<uInt>(out.size());
        status = inflate(&stream, Z_NO_FLUSH);
        if (status == Z_BUF_ERROR) status = Z_OK;  // it wants the next part
        if (!rows.take(out.data(), out.size() - stream.avail_out))
          fail(ErrorKind::data, place_, "more pixels than the {}x{} of the header", header_.width,
               header_.height);
      }
    }
    finish(stream, status, rows);
  }

  void finish(const z_stream& stream, int status, const Rows& rows) const {
    const std::string_view problem = stream.msg ? stream.msg : "";
    if (status == Z_DATA_ERROR && problem == "incorrect data check")
      fail(ErrorKind::data, place_, "the pixels do not match their checksum (Adler-32)");
    if (status != Z_OK && status != Z_STREAM_END)
      fail(ErrorKind::data, place_, "damaged compressed data of the PNG ({})",
           problem.empty() ? "preset dictionary" : problem);
    if (status != Z_STREAM_END)
      fail(ErrorKind::data, place_, "the compressed data of the PNG end early: {} of {} bytes of pixels",
           rows.taken(), rows.expected());
    if (!rows.whole())
      fail(ErrorKind::data, place_, "{} bytes of pixels, expected {} for {}x{}", rows.taken(),
           rows.expected(), header_.width, header_.height);
  }

  const Bytes& bytes_;
  const std::string& place_;
  Header header_;
  size_t colors_ = 0;
  std::vector<Part> data_;
  uint64_t packed_ = 0;
  bool ended_ = false;
};

}  // namespace

void check_png(const Bytes& bytes, const std::string& place) { PngChecker(bytes, place).check(); }

}  // namespace sigma
