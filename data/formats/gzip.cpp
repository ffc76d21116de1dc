#include "data/formats/gzip.h"

#include <zlib.h>

#include <algorithm>

#include "core/check.h"

namespace sigma {

Bytes gunzip(const Bytes& bytes, const std::string& place) {
  if (bytes.size() < 2) fail(ErrorKind::data, place, "at byte {}: the gzip data is cut off", bytes.size());
  if (bytes[0] != 0x1f || bytes[1] != 0x8b)
    fail(ErrorKind::data, place, "at byte 0: {:02x} {:02x}, expected 1f 8b: this is not a gzip file",
         bytes[0], bytes[1]);
  z_stream stream{};
  if (inflateInit2(&stream, 16 + 15) != Z_OK) fail(ErrorKind::memory, place, "zlib could not be initialised");
  struct End {
    z_stream* s;
    ~End() { inflateEnd(s); }
  } end{&stream};
  // Deflate shrinks by at most about 1032 to 1; beyond that the file is a bomb or garbage.
  uint64_t cap = std::min<uint64_t>(uint64_t{4} << 30, 1100 * static_cast<uint64_t>(bytes.size()) + 65536);
  Bytes out(std::min<uint64_t>(cap, 4 * static_cast<uint64_t>(bytes.size()) + 4096));
  stream.next_in = const_cast<Bytef*>(bytes.data());
  size_t fed = 0, made = 0;
  while (true) {
    if (stream.avail_in == 0 && fed < bytes.size()) {
      stream.next_in = const_cast<Bytef*>(bytes.data() + fed);
      stream.avail_in = static_cast<uInt>(std::min<size_t>(bytes.size() - fed, 1u << 30));
      fed += stream.avail_in;
    }
    if (made == out.size()) {
      if (out.size() >= cap) fail(ErrorKind::data, place, "unpacks to more than {} bytes", cap);
      out.resize(std::min<uint64_t>(cap, 2 * static_cast<uint64_t>(out.size())));
    }
    stream.next_out = out.data() + made;
    stream.avail_out = static_cast<uInt>(std::min<size_t>(out.size() - made, 1u << 30));
    uInt room = stream.avail_out;
    int status = inflate(&stream, Z_NO_FLUSH);
    made += room - stream.avail_out;
    size_t at = fed - stream.avail_in;
    if (status == Z_STREAM_END) {
      if (at != bytes.size())
        fail(ErrorKind::data, place, "at byte {}: {} bytes follow the end of the gzip data", at,
             bytes.size() - at);
      break;
    }
    if (status == Z_BUF_ERROR && stream.avail_in == 0 && fed == bytes.size())
      fail(ErrorKind::data, place, "at byte {}: the gzip data is cut off", bytes.size());
    if (status != Z_OK && status != Z_BUF_ERROR)
      fail(ErrorKind::data, place, "at byte {}: damaged gzip data ({})", at,
           stream.msg ? stream.msg : "unknown");
  }
  out.resize(made);
  return out;
}

}  // namespace sigma
