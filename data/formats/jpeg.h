// What a JPEG file must be before a decoder may see it. ITU-T T.81 (ISO/IEC 10918-1), sequential and
// progressive Huffman-coded frames of 8-bit samples, grey or three components.
//
// stb_image bounds neither its Huffman tables nor its bit reader: it trusts the file. So the file is walked
// through here first, the segments and every bit of the entropy-coded data; what the decoder then gets, is
// what the standard describes. Cost: about half of the decoding that follows.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "core/file.h"

namespace sigma {

// Throws kind data, naming place and byte, unless the file is whole and well-formed from the start of the
// image to its end. Bytes after the end of the image are ignored.
void check_jpeg(const Bytes& bytes, const std::string& place);

namespace jpeg {

constexpr int kMaxScans = 100;  // common progressive files have 10; each may visit all blocks for a few bytes

// A canonical Huffman code (T.81 C.2), at most 256 symbols, whose codes fit their lengths.
struct HuffmanTable {
  bool defined = false;
  struct Entry {
    uint8_t length = 0, symbol = 0;  // length 0: longer than kFastBits, or no code
  };
  static constexpr int kFastBits = 9;
  std::array<Entry, 1 << kFastBits> fast{};
  std::array<uint32_t, 17> first_code{}, codes{}, first_symbol{};  // of each length
  std::vector<uint8_t> symbols;
};
// `counts` of lengths 1 to 16. Returns what is wrong with it, or "".
std::string make_table(const uint8_t* counts, std::vector<uint8_t> symbols, HuffmanTable& table);

struct Component {
  int id = 0, h = 0, v = 0, quantization = 0;
  int64_t blocks_wide = 0, blocks_high = 0;  // that its samples fill
  int64_t padded_wide = 0, padded_high = 0;  // with what fills the last minimum coded units
  std::vector<uint64_t> nonzero;   // progressive: bit k of a block is set when coefficient k is not 0
  std::array<int8_t, 64> low_bit;  // lowest bit of each coefficient that a scan gave; -1: none yet
};

struct Frame {
  bool progressive = false;
  int64_t width = 0, height = 0, units_wide = 0, units_high = 0;
  std::vector<Component> components;  // empty before the frame header
};

struct ScanPart {
  size_t component = 0;
  const HuffmanTable *dc = nullptr, *ac = nullptr;
};
struct Scan {
  std::vector<ScanPart> parts;
  int first = 0, last = 63, high = 0, low = 0;  // Ss, Se, Ah, Al
  int restart_interval = 0;
};

// Walks through the entropy-coded data at byte `at` and returns the byte after it. Throws when the data end
// early, hold a code of no table or a coefficient that cannot be, or lack a restart marker.
size_t check_scan(const Bytes& bytes, size_t at, Frame& frame, const Scan& scan, const std::string& place);

}  // namespace jpeg
}  // namespace sigma
