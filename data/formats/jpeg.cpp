#include "data/formats/jpeg.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "core/check.h"
#include "data/formats/image.h"

namespace sigma {
namespace {

using namespace jpeg;

// What a frame of another kind is called; "" for those that are read, and for what is no frame.
std::string other_frame(int marker) {
  switch (marker) {
    case 0xc3:
      return "lossless coding";
    case 0xc5:
    case 0xc6:
    case 0xc7:
      return "hierarchical coding";
    case 0xc9:
    case 0xca:
    case 0xcb:
    case 0xcc:  // its conditioning
    case 0xcd:
    case 0xce:
    case 0xcf:
      return "arithmetic coding";
    case 0xdc:
      return "a number of lines that follows the first scan (DNL)";
    default:
      return "";
  }
}

class Checker {
 public:
  Checker(const Bytes& bytes, const std::string& place) : bytes_(bytes), place_(place) {}

  void check() {
    at_ = 2;  // after the start-of-image marker
    while (true) {
      const int m = marker();
      if (m == 0xd9) return finish();
      segment(m);
    }
  }

 private:
  [[noreturn]] void refuse(size_t at, const std::string& why) {
    fail(ErrorKind::data, place_, "at byte {}: {}", at, why);
  }
  [[noreturn]] void cut_off() { refuse(bytes_.size(), "the JPEG is cut off: no end-of-image marker"); }

  // The marker at at_, with fill bytes before it.
  int marker() {
    if (at_ >= bytes_.size()) cut_off();
    if (bytes_[at_] != 0xff)
      refuse(at_, fmt::format("{:02x}, expected a marker (ff) of the JPEG", bytes_[at_]));
    while (at_ < bytes_.size() && bytes_[at_] == 0xff) ++at_;
    if (at_ >= bytes_.size()) cut_off();
    return bytes_[at_++];
  }

  void segment(int m) {
    if (const std::string other = other_frame(m); !other.empty())
      refuse(at_ - 1, fmt::format("a JPEG with {} is not supported", other));
    if (bytes_.size() - at_ < 2) cut_off();
    start_ = at_;
    const size_t length = word(at_);
    if (length < 2) refuse(at_, fmt::format("a segment of {} bytes, expected at least 2", length));
    if (length > bytes_.size() - at_) cut_off();
    end_ = at_ + length;
    at_ += 2;
    if (m == 0xc4)
      huffman_tables();
    else if (m == 0xdb)
      quantization_tables();
    else if (m == 0xdd)
      restart_interval();
    else if (m >= 0xc0 && m <= 0xc2)
      frame_header(m == 0xc2);
    else if (m == 0xda)
      return scan();
    else if ((m < 0xe0 || m > 0xef) && m != 0xfe)  // application data, a comment
      refuse(start_ - 1, fmt::format("the marker ff {:02x} has no place in a JPEG", m));
    at_ = end_;
  }

  int word(size_t at) const { return bytes_[at] << 8 | bytes_[at + 1]; }
  int byte() {
    if (at_ >= end_) refuse(start_, "a segment is too short for what is in it");
    return bytes_[at_++];
  }

  void huffman_tables() {
    while (at_ < end_) {
      const size_t begin = at_;
      const int kind = byte(), number = kind & 15;
      if (kind >> 4 > 1 || number > 3)
        refuse(begin, fmt::format("Huffman table {:02x}, expected 00 to 03 or 10 to 13", kind));
      uint8_t counts[16];
      size_t total = 0;
      for (uint8_t& count : counts) total += count = static_cast<uint8_t>(byte());
      // T.81 has 12 symbols of one kind and 176 of the other; 8-bit symbol numbers end at 255.
      if (total > 255)
        refuse(begin, fmt::format("a Huffman table of {} symbols, expected at most 255", total));
      std::vector<uint8_t> symbols(total);
      for (uint8_t& symbol : symbols) symbol = static_cast<uint8_t>(byte());
      if (kind >> 4 == 0)
        for (uint8_t symbol : symbols)
          if (symbol > 11)
            refuse(begin, fmt::format("a DC Huffman table with symbol {}, expected at most 11", symbol));
      const std::string problem = make_table(
          counts, std::move(symbols), tables_[static_cast<size_t>(kind >> 4)][static_cast<size_t>(number)]);
      if (!problem.empty()) refuse(begin, problem);
    }
  }

  void quantization_tables() {
    while (at_ < end_) {
      const size_t begin = at_;
      const int kind = byte(), number = kind & 15;
      if (kind >> 4 > 1 || number > 3)
        refuse(begin, fmt::format("quantization table {:02x}, expected 00 to 03 or 10 to 13", kind));
      for (int i = 0; i < (kind >> 4 ? 128 : 64); ++i) byte();
      quantization_[static_cast<size_t>(number)] = true;
    }
  }

  void restart_interval() {
    if (end_ - at_ != 2) refuse(start_, "a restart interval of another length than 4 bytes");
    restart_interval_ = word(at_);
  }

  void frame_header(bool progressive) {
    if (!frame_.components.empty()) refuse(start_ - 1, "a second frame header");
    if (end_ - at_ < 6) refuse(start_, "a segment is too short for what is in it");
    if (const int bits = byte(); bits != 8)
      refuse(at_ - 1, fmt::format("a JPEG of {} bits a sample is not supported, expected 8", bits));
    frame_.progressive = progressive;
    frame_.height = word(at_);
    frame_.width = word(at_ + 2);
    for (auto [side, name] : {std::pair{frame_.height, "high"}, {frame_.width, "wide"}})
      if (side < 1 || side > kMaxSide)
        refuse(at_, fmt::format("{} pixels {}, expected 1..{}", side, name, kMaxSide));
    at_ += 4;
    const int count = byte();
    if (count == 4)
      refuse(at_ - 1, "a CMYK JPEG is not supported, expected grey or colour (1 or 3 components)");
    if (count != 1 && count != 3) refuse(at_ - 1, fmt::format("{} components, expected 1 or 3", count));
    for (int i = 0; i < count; ++i) component();
    if (at_ != end_) refuse(at_, "a frame header that is too long");
    lay_out();
  }

  void component() {
    const size_t begin = at_;
    Component c;
    c.id = byte();
    const int sampling = byte();
    c.h = sampling >> 4;
    c.v = sampling & 15;
    c.quantization = byte();
    c.low_bit.fill(-1);
    if (c.h < 1 || c.h > 4 || c.v < 1 || c.v > 4)
      refuse(begin + 1, fmt::format("sampling factors {}x{}, expected 1..4", c.h, c.v));
    if (c.quantization > 3)
      refuse(begin + 2, fmt::format("quantization table {}, expected 0..3", c.quantization));
    for (const Component& other : frame_.components)
      if (other.id == c.id) refuse(begin, fmt::format("two components of the name {}", c.id));
    frame_.components.push_back(std::move(c));
  }

  // Sizes in blocks of 8x8 (T.81 A.1.1 and A.2). No memory is asked for that the file cannot fill: a block
  // takes at least a bit.
  void lay_out() {
    int h = 1, v = 1;
    for (const Component& c : frame_.components) {
      h = std::max(h, c.h);
      v = std::max(v, c.v);
    }
    auto ceil = [](int64_t a, int64_t b) { return (a + b - 1) / b; };
    frame_.units_wide = ceil(frame_.width, 8 * h);
    frame_.units_high = ceil(frame_.height, 8 * v);
    int64_t blocks = 0;
    for (Component& c : frame_.components) {
      if (h % c.h || v % c.v)
        refuse(start_, fmt::format("sampling factors {}x{} do not divide {}x{}", c.h, c.v, h, v));
      c.blocks_wide = ceil(ceil(frame_.width * c.h, h), 8);
      c.blocks_high = ceil(ceil(frame_.height * c.v, v), 8);
      c.padded_wide = frame_.units_wide * c.h;
      c.padded_high = frame_.units_high * c.v;
      blocks += c.blocks_wide * c.blocks_high;
    }
    if (static_cast<uint64_t>(blocks) > 8 * bytes_.size())
      refuse(start_, fmt::format("{}x{} pixels are more than {} bytes can hold", frame_.width, frame_.height,
                                 bytes_.size()));
    if (!frame_.progressive) return;
    for (Component& c : frame_.components)
      c.nonzero.resize(static_cast<size_t>(c.padded_wide * c.padded_high));
  }

  void scan() {
    if (frame_.components.empty()) refuse(start_ - 1, "a scan before the frame header");
    if (++scans_ > kMaxScans) refuse(start_ - 1, fmt::format("more than {} scans", kMaxScans));
    Scan scan;
    scan.restart_interval = restart_interval_;
    const int count = byte();
    if (count < 1 || static_cast<size_t>(count) > frame_.components.size())
      refuse(at_ - 1,
             fmt::format("a scan of {} components, expected 1..{}", count, frame_.components.size()));
    if (end_ - at_ != static_cast<size_t>(2 * count + 3)) refuse(start_, "a scan header of the wrong length");
    struct Selected {
      int dc, ac;
    };
    std::vector<Selected> selected;
    for (int i = 0; i < count; ++i) {
      scan.parts.push_back({component_of(byte(), scan)});
      const int tables = byte();
      if (tables >> 4 > 3 || (tables & 15) > 3)
        refuse(at_ - 1, fmt::format("Huffman tables {:02x}, expected 00 to 33", tables));
      selected.push_back({tables >> 4, tables & 15});
    }
    scan.first = byte();
    scan.last = byte();
    const int approximation = byte();
    scan.high = approximation >> 4;
    scan.low = approximation & 15;
    if (!frame_.progressive) scan.last = 63;  // some files say 0, and decoders do not look
    frame_.progressive ? check_progression(scan) : check_sequence(scan);
    for (size_t i = 0; i < selected.size(); ++i) {
      ScanPart& part = scan.parts[i];
      if (!quantization_[static_cast<size_t>(frame_.components[part.component].quantization)])
        refuse(start_, "a quantization table that is not there");
      if (scan.first == 0 && scan.high == 0) part.dc = table(0, selected[i].dc);
      if (scan.last > 0) part.ac = table(1, selected[i].ac);
    }
    at_ = check_scan(bytes_, end_, frame_, scan, place_);
  }

  size_t component_of(int id, const Scan& scan) {
    for (size_t i = 0; i < frame_.components.size(); ++i) {
      if (frame_.components[i].id != id) continue;
      for (const ScanPart& part : scan.parts)
        if (part.component == i) refuse(at_ - 1, fmt::format("component {} twice in one scan", id));
      return i;
    }
    refuse(at_ - 1, fmt::format("a scan of component {}, which the frame has not", id));
  }

  const HuffmanTable* table(size_t kind, int number) {
    const HuffmanTable& t = tables_[kind][static_cast<size_t>(number)];
    if (!t.defined)
      refuse(start_, fmt::format("{} Huffman table {}, which is not there", kind ? "AC" : "DC", number));
    return &t;
  }

  void check_sequence(const Scan& scan) {
    if (scan.first != 0 || scan.high != 0 || scan.low != 0)
      refuse(end_ - 3, "a scan of some coefficients or bits in a frame that is not progressive");
    for (const ScanPart& part : scan.parts) {
      Component& c = frame_.components[part.component];
      if (c.low_bit[0] >= 0) refuse(start_, fmt::format("a second scan of component {}", c.id));
      c.low_bit[0] = 0;
    }
  }

  // T.81 G.1.1.1: first the mean of a component, then bands of its other coefficients; of each first the high
  // bits, then one more a scan.
  void check_progression(const Scan& scan) {
    if (scan.first > scan.last || scan.last > 63 || (scan.first == 0 && scan.last != 0))
      refuse(end_ - 3, fmt::format("a scan of the coefficients {} to {}", scan.first, scan.last));
    if (scan.low > 13 || (scan.high != 0 && scan.high != scan.low + 1))
      refuse(end_ - 1, fmt::format("a scan from bit {} to bit {}", scan.high, scan.low));
    if (scan.first > 0 && scan.parts.size() != 1)
      refuse(start_, "a scan of several components' coefficients, expected one component");
    for (const ScanPart& part : scan.parts) {
      Component& c = frame_.components[part.component];
      if (scan.first > 0 && c.low_bit[0] < 0)
        refuse(start_, fmt::format("coefficients of component {} before its mean", c.id));
      for (int k = scan.first; k <= scan.last; ++k) {
        int8_t& low = c.low_bit[static_cast<size_t>(k)];
        if (scan.high == 0 ? low >= 0 : low != scan.high)
          refuse(end_ - 1, fmt::format("coefficient {} of component {} comes out of order", k, c.id));
        low = static_cast<int8_t>(scan.low);
      }
    }
  }

  void finish() {
    if (frame_.components.empty()) refuse(at_ - 2, "the JPEG ends without an image");
    for (const Component& c : frame_.components)
      if (c.low_bit[0] < 0) refuse(at_ - 2, fmt::format("the JPEG ends without component {}", c.id));
  }

  const Bytes& bytes_;
  const std::string& place_;
  size_t at_ = 0, start_ = 0, end_ = 0;  // the segment is from start_ (its length) to end_
  std::array<std::array<HuffmanTable, 4>, 2> tables_;
  std::array<bool, 4> quantization_{};
  Frame frame_;
  int restart_interval_ = 0, scans_ = 0;
};

}  // namespace

void check_jpeg(const Bytes& bytes, const std::string& place) { Checker(bytes, place).check(); }

}  // namespace sigma
