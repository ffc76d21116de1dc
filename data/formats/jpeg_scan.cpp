// Entropy-coded data of a JPEG (T.81 F.2 and G.2): every code read, nothing decoded but what later codes
// depend on.
#include <algorithm>
#include <cstdlib>

#include "core/check.h"
#include "data/formats/jpeg.h"

namespace sigma::jpeg {
namespace {

constexpr int kMaxDcBits = 11, kMaxAcBits = 10;  // categories of 8-bit samples (T.81 tables F.1 and F.2)

// The bits between two markers; 00 after ff is stuffing (T.81 B.1.1.5).
class Bits {
 public:
  Bits(const Bytes& bytes, size_t at, const std::string& place) : bytes_(bytes), at_(at), place_(place) {}

  void begin(size_t at) {
    at_ = at;
    drop();
  }
  [[noreturn]] void refuse(const std::string& why) const {
    fail(ErrorKind::data, place_, "at byte {}: {}", std::min(at_, bytes_.size()), why);
  }
  [[noreturn]] void end_early() const {
    refuse(at_ + 1 >= bytes_.size() ? "the JPEG is cut off: no end-of-image marker"
                                    : "the data of the JPEG end early");
  }
  void skip(int n) {
    if (n > count_) fill();
    if (n > count_) end_early();
    buffer_ <<= n;  // below 64
    count_ -= n;
  }
  uint32_t take(int n) {  // 1 to 16
    if (n > count_) fill();
    const auto value = static_cast<uint32_t>(buffer_ >> (64 - n));
    skip(n);
    return value;
  }
  int symbol(const HuffmanTable& table) {
    if (count_ < 16) fill();
    const HuffmanTable::Entry e = table.fast[buffer_ >> (64 - HuffmanTable::kFastBits)];
    if (e.length) {
      skip(e.length);
      return e.symbol;
    }
    for (int length = HuffmanTable::kFastBits + 1; length <= 16; ++length) {
      const auto l = static_cast<size_t>(length);
      const uint32_t code = static_cast<uint32_t>(buffer_ >> (64 - length)) - table.first_code[l];
      if (code >= table.codes[l]) continue;  // a smaller code has wrapped around
      skip(length);
      return table.symbols[table.first_symbol[l] + code];
    }
    if (count_ < 16) end_early();
    refuse("a code that is in no Huffman table");
  }
  // To the marker after the data, of which less than a byte is left.
  size_t to_marker() {
    if (count_ < 8) fill();
    if (count_ >= 8) refuse("the data of the JPEG go on where a restart marker is due");
    return at_;
  }
  // The same after the last unit: some cameras pad with zeros.
  size_t to_end() {
    while (true) {
      fill();
      if (count_ < 8) return at_;
      drop();
    }
  }

 private:
  void drop() {
    count_ = 0;
    buffer_ = 0;
  }
  void fill() {
    while (count_ <= 56 && at_ < bytes_.size()) {
      const uint8_t byte = bytes_[at_];
      if (byte == 0xff && (at_ + 1 >= bytes_.size() || bytes_[at_ + 1] != 0)) return;  // a marker
      at_ += byte == 0xff ? 2 : 1;
      buffer_ |= uint64_t{byte} << (56 - count_);
      count_ += 8;
    }
  }

  const Bytes& bytes_;
  size_t at_;
  const std::string& place_;
  uint64_t buffer_ = 0;  // the next bits on top, zeros below
  int count_ = 0;
};

class ScanReader {
 public:
  ScanReader(const Bytes& bytes, size_t at, Frame& frame, const Scan& scan, const std::string& place)
      : bytes_(bytes), place_(place), frame_(frame), scan_(scan), bits_(bytes, at, place) {}

  size_t read() {
    if (scan_.parts.size() == 1) {
      const Component& c = frame_.components[scan_.parts[0].component];
      for (int64_t y = 0; y < c.blocks_high; ++y)
        for (int64_t x = 0; x < c.blocks_wide; ++x) {
          restart_when_due();
          block(scan_.parts[0], y * c.padded_wide + x);
        }
    } else {
      for (int64_t y = 0; y < frame_.units_high; ++y)
        for (int64_t x = 0; x < frame_.units_wide; ++x) {
          restart_when_due();
          unit(x, y);
        }
    }
    return bits_.to_end();
  }

 private:
  void unit(int64_t x, int64_t y) {
    for (const ScanPart& part : scan_.parts) {
      const Component& c = frame_.components[part.component];
      for (int v = 0; v < c.v; ++v)
        for (int h = 0; h < c.h; ++h) block(part, (y * c.v + v) * c.padded_wide + x * c.h + h);
    }
  }

  void restart_when_due() {
    if (scan_.restart_interval == 0 || units_++ < scan_.restart_interval) return;
    size_t at = bits_.to_marker();
    while (at + 1 < bytes_.size() && bytes_[at] == 0xff && bytes_[at + 1] == 0xff) ++at;
    const int expected = 0xd0 + restarts_++ % 8;
    if (at + 1 >= bytes_.size() || bytes_[at + 1] != expected)
      fail(ErrorKind::data, place_, "at byte {}: the JPEG lacks the restart marker ff {:02x}", at, expected);
    bits_.begin(at + 2);
    units_ = 1;
    end_run_ = 0;
    predictions_ = {};
  }

  void block(const ScanPart& part, int64_t index) {
    Component& c = frame_.components[part.component];
    if (scan_.first == 0) {
      scan_.high == 0 ? dc_first(part) : bits_.skip(1);
      if (!frame_.progressive) ac_sequential(*part.ac);
      return;
    }
    uint64_t& nonzero = c.nonzero[static_cast<size_t>(index)];
    scan_.high == 0 ? ac_first(*part.ac, nonzero) : ac_refine(*part.ac, nonzero);
  }

  void dc_first(const ScanPart& part) {
    const int size = bits_.symbol(*part.dc);
    if (size > kMaxDcBits) bits_.refuse(fmt::format("a difference of {} bits, expected at most 11", size));
    int32_t& prediction = predictions_[part.component];
    if (size > 0) {
      const auto value = static_cast<int32_t>(bits_.take(size));
      prediction += value >> (size - 1) ? value : value - (1 << size) + 1;
    }
    if (std::abs(prediction) > 32767 >> scan_.low)
      bits_.refuse(fmt::format("a mean brightness of {} is out of range", prediction));
  }

  // Moves k over `run` zeros to a coefficient of the band.
  void advance(int& k, int run, int last) {
    k += run;
    if (k > last) bits_.refuse(fmt::format("coefficient {} of a block, expected at most {}", k, last));
  }
  // With the bits that later scans give it must fit 16 bits: one that became 0 would be taken for a zero.
  void check_size(int size) {
    const int most = std::min(kMaxAcBits, 15 - scan_.low);
    if (size > most) bits_.refuse(fmt::format("a coefficient of {} bits, expected at most {}", size, most));
  }

  void ac_sequential(const HuffmanTable& table) {
    for (int k = 1; k < 64; ++k) {
      const int symbol = bits_.symbol(table), run = symbol >> 4, size = symbol & 15;
      if (size == 0 && run != 15) return;
      advance(k, run, 63);
      check_size(size);
      bits_.skip(size);
    }
  }

  void ac_first(const HuffmanTable& table, uint64_t& nonzero) {
    if (end_run_ > 0) {
      --end_run_;
      return;
    }
    for (int k = scan_.first; k <= scan_.last; ++k) {
      const int symbol = bits_.symbol(table), run = symbol >> 4, size = symbol & 15;
      if (size == 0 && run != 15) {
        end_run_ = (1 << run) - 1 + (run ? static_cast<int>(bits_.take(run)) : 0);
        return;
      }
      advance(k, run, scan_.last);
      check_size(size);
      bits_.skip(size);
      if (size) nonzero |= uint64_t{1} << k;
    }
  }

  // A bit for each coefficient that is not 0 already (T.81 G.1.2.3), over `run` that are and to the next.
  // Returns where that is; last + 1 when the band ends before.
  int refine_over(int k, int run, uint64_t nonzero) {
    for (; k <= scan_.last; ++k) {
      if (nonzero >> k & 1)
        bits_.skip(1);
      else if (run-- == 0)
        return k;
    }
    return k;
  }

  void ac_refine(const HuffmanTable& table, uint64_t& nonzero) {
    int k = scan_.first;
    while (end_run_ == 0 && k <= scan_.last) {
      const int symbol = bits_.symbol(table), run = symbol >> 4, size = symbol & 15;
      if (size > 1) bits_.refuse(fmt::format("a refinement of {} bits, expected 1", size));
      if (size == 0 && run != 15) {
        end_run_ = (1 << run) + (run ? static_cast<int>(bits_.take(run)) : 0);
        break;
      }
      bits_.skip(size);  // the sign
      const uint64_t before = nonzero;
      k = refine_over(k, run, before);
      if (k > scan_.last) bits_.refuse("a refinement after the last coefficient of a block");
      if (size) nonzero |= uint64_t{1} << k;
      ++k;
    }
    if (end_run_ > 0) {
      refine_over(k, 64, nonzero);
      --end_run_;
    }
  }

  const Bytes& bytes_;
  const std::string& place_;
  Frame& frame_;
  const Scan& scan_;
  Bits bits_;
  std::array<int32_t, 4> predictions_{};
  int units_ = 0, restarts_ = 0, end_run_ = 0;
};

}  // namespace

std::string make_table(const uint8_t* counts, std::vector<uint8_t> symbols, HuffmanTable& table) {
  table = {};
  uint32_t code = 0, symbol = 0;
  for (size_t length = 1; length <= 16; ++length) {
    table.first_code[length] = code;
    table.codes[length] = counts[length - 1];
    table.first_symbol[length] = symbol;
    if (code + counts[length - 1] > 1u << length)
      return fmt::format("{} Huffman codes of {} bits are more than there can be", counts[length - 1],
                         length);
    for (uint32_t i = 0; i < counts[length - 1]; ++i, ++symbol, ++code) {
      if (length > HuffmanTable::kFastBits) continue;
      const size_t shift = HuffmanTable::kFastBits - length;
      for (size_t k = 0; k < size_t{1} << shift; ++k)
        table.fast[(size_t{code} << shift) + k] = {static_cast<uint8_t>(length), symbols[symbol]};
    }
    code <<= 1;
  }
  table.symbols = std::move(symbols);
  table.defined = true;
  return "";
}

size_t check_scan(const Bytes& bytes, size_t at, Frame& frame, const Scan& scan, const std::string& place) {
  return ScanReader(bytes, at, frame, scan, place).read();
}

}  // namespace sigma::jpeg
