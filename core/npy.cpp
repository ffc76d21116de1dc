#include "core/npy.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "core/math.h"

namespace sigma {
namespace {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "native values are taken for little-endian ones");

constexpr char kMagic[] = "\x93NUMPY";
constexpr size_t kMaxHeader = 10000, kAlign = 64;

// IEEE 754 binary16.
struct Half {
  uint16_t bits;
  explicit operator float() const {
    const uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16, exponent = bits >> 10 & 31,
                   mantissa = bits & 1023;
    if (exponent == 0) {  // zero or subnormal: a multiple of 2^-24
      const float size = static_cast<float>(mantissa) * 0x1p-24f;
      return sign ? -size : size;
    }
    const uint32_t wide = sign | (exponent == 31 ? 255 : exponent + 112) << 23 | mantissa << 13;
    float value;
    std::memcpy(&value, &wide, 4);
    return value;
  }
};

struct Header {
  std::string descr;
  bool fortran_order = false;
  Shape shape;
};

// Reads the Python literal. It is not evaluated: a dictionary of these three keys and kinds of value is all
// there is.
class HeaderReader {
 public:
  HeaderReader(std::string_view text, size_t offset, const std::string& place)
      : text_(text), offset_(offset), place_(place) {}

  Header read() {
    Header header;
    bool descr = false, order = false, shape = false;
    expect('{', "a header that starts with {");
    while (!take('}')) {
      const size_t start = at_;
      const std::string key = quoted();
      expect(':', "a colon after the key");
      bool* seen = key == "descr"           ? &descr
                   : key == "fortran_order" ? &order
                   : key == "shape"         ? &shape
                                            : nullptr;
      if (!seen) refuse(start, fmt::format("unknown key '{}'", key));
      if (*seen) refuse(start, fmt::format("'{}' appears twice", key));
      *seen = true;
      if (key == "descr")
        header.descr = dtype();
      else if (key == "fortran_order")
        header.fortran_order = boolean();
      else
        header.shape = dimensions();
      if (!take(',') && peek() != '}') refuse(at_, "expected a comma or } after a value");
    }
    peek();
    if (at_ != text_.size()) refuse(at_, "expected nothing after the dictionary");
    for (auto [there, name] : {std::pair{descr, "descr"}, {order, "fortran_order"}, {shape, "shape"}})
      if (!there) refuse(0, fmt::format("the key '{}' is missing from the header", name));
    return header;
  }

 private:
  [[noreturn]] void refuse(size_t at, const std::string& why) {
    fail(ErrorKind::data, place_, "at byte {}: {}", offset_ + at, why);
  }
  char peek() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool take(char c) {
    if (peek() != c || at_ == text_.size()) return false;
    ++at_;
    return true;
  }
  void expect(char c, const char* what) {
    if (!take(c)) refuse(at_, fmt::format("expected {}", what));
  }
  std::string quoted() {
    const char quote = peek();
    if (quote != '\'' && quote != '"') refuse(at_, "expected a quoted text");
    const size_t end = text_.find(quote, at_ + 1);
    if (end == std::string_view::npos) refuse(at_, "the quoted text does not end");
    std::string word(text_.substr(at_ + 1, end - at_ - 1));
    if (word.size() > 64) refuse(at_, "the quoted text has more than 64 characters");
    for (char c : word)
      if (c < ' ' || c > '~' || c == '\\') refuse(at_, "expected a text of plain characters");
    at_ = end + 1;
    return word;
  }
  std::string dtype() {
    if (peek() == '[' || peek() == '(')
      refuse(at_, "the array has structured elements (records), expected one number each");
    return quoted();
  }
  bool boolean() {
    peek();
    for (bool value : {true, false})
      if (std::string_view word = value ? "True" : "False"; text_.substr(at_).starts_with(word)) {
        at_ += word.size();
        return value;
      }
    refuse(at_, "expected True or False");
  }
  Shape dimensions() {
    Shape shape;
    expect('(', "a shape in parentheses");
    int64_t count = 1;  // of elements, were the sizes of 0 not there: then no product of some overflows
    bool comma = true;
    while (!take(')')) {
      if (!comma) refuse(at_, "expected a comma between sizes");
      if (peek() == '-') refuse(at_, "a size is negative");
      int64_t size = 0;
      const char *first = text_.data() + at_, *last = text_.data() + text_.size();
      auto [end, error] = std::from_chars(first, last, size);
      if (error == std::errc::result_out_of_range) refuse(at_, "a size does not fit 64 bits");
      if (error != std::errc() || (*first == '0' && end != first + 1)) refuse(at_, "expected a size");
      if (shape.rank() == Shape::kMaxRank)
        refuse(at_, fmt::format("more than {} dimensions", Shape::kMaxRank));
      if (__builtin_mul_overflow(count, std::max<int64_t>(1, size), &count))
        refuse(at_, "the product of the sizes overflows");
      shape.push_back(size);
      at_ += static_cast<size_t>(end - first);
      if (at_ < text_.size() && text_[at_] == 'L') ++at_;  // Python 2 wrote long integers so
      comma = take(',');
    }
    if (shape.rank() == 1 && !comma) refuse(at_, "a shape of one size is written (n,)");
    return shape;
  }

  std::string_view text_;
  size_t at_ = 0, offset_;
  const std::string& place_;
};

// What an element is in the file, and what it becomes.
struct Element {
  char kind;
  size_t size;
  bool swap;
  DType dtype;
};

Element element_of(const std::string& descr, const std::string& place) {
  auto refuse = [&](const std::string& why) {
    throw_error(ErrorKind::data, place, fmt::format("dtype '{}' {}", descr, why));
  };
  const char order = descr.empty() ? '\0' : descr[0], kind = descr.size() > 1 ? descr[1] : '\0';
  if (kind == 'O') refuse("stands for Python objects, which are stored as code and are not read");
  size_t size = 0;
  const char* last = descr.data() + descr.size();
  auto [end, error] = std::from_chars(descr.data() + std::min<size_t>(2, descr.size()), last, size);
  struct Known {
    const char* name;
    DType dtype;
  };
  constexpr Known kKnown[] = {{"f2", DType::float32},   {"f4", DType::float32},     {"f8", DType::float64},
                              {"c8", DType::complex64}, {"c16", DType::complex128}, {"b1", DType::uint8},
                              {"u1", DType::uint8},     {"u2", DType::int64},       {"u4", DType::int64},
                              {"i1", DType::int64},     {"i2", DType::int64},       {"i4", DType::int64},
                              {"i8", DType::int64}};
  const bool ordered = order == '<' || order == '>' || (order == '|' && size == 1);
  if (error == std::errc() && end == last && ordered)
    for (const Known& k : kKnown)
      if (descr.substr(1) == k.name) return {kind, size, order == '>' && size > 1, k.dtype};
  if (ordered && descr.substr(1) == "u8") refuse("does not fit int64");
  refuse("is not one of f2, f4, f8, c8, c16, b1, u1, u2, u4, i1, i2, i4, i8 after < or >");
  return {};
}

template <class From, class To>
void convert(const uint8_t* from, int64_t count, bool swap, To* to) {
  for (int64_t i = 0; i < count; ++i, from += sizeof(From)) {
    uint8_t raw[sizeof(From)];
    std::memcpy(raw, from, sizeof raw);
    if (swap) std::reverse(raw, raw + sizeof raw);
    From value;
    std::memcpy(&value, raw, sizeof raw);
    to[i] = static_cast<To>(value);
  }
}

void read_elements(const Element& e, const uint8_t* from, Tensor& t) {
  const int64_t n = t.numel();
  auto* raw = t.mutable_raw();
  if (!e.swap && e.size == size_of(t.dtype())) {
    if (n) std::memcpy(raw, from, t.bytes());
    return;
  }
  auto* f32 = reinterpret_cast<float*>(raw);
  auto* f64 = reinterpret_cast<double*>(raw);
  auto* i64 = reinterpret_cast<int64_t*>(raw);
  if (e.kind == 'c' && e.size == 8) return convert<float>(from, 2 * n, e.swap, f32);
  if (e.kind == 'c') return convert<double>(from, 2 * n, e.swap, f64);
  if (e.kind == 'f' && e.size == 2) return convert<Half>(from, n, e.swap, f32);
  if (e.kind == 'f' && e.size == 4) return convert<float>(from, n, e.swap, f32);
  if (e.kind == 'f') return convert<double>(from, n, e.swap, f64);
  if (e.kind == 'u' && e.size == 2) return convert<uint16_t>(from, n, e.swap, i64);
  if (e.kind == 'u' && e.size == 4) return convert<uint32_t>(from, n, e.swap, i64);
  if (e.kind == 'i' && e.size == 1) return convert<int8_t>(from, n, e.swap, i64);
  if (e.kind == 'i' && e.size == 2) return convert<int16_t>(from, n, e.swap, i64);
  if (e.kind == 'i' && e.size == 4) return convert<int32_t>(from, n, e.swap, i64);
  convert<int64_t>(from, n, e.swap, i64);
}

const char* descr_of(DType dtype) {
  switch (dtype) {
    case DType::float32:
    case DType::bfloat16:
      return "<f4";
    case DType::float64:
      return "<f8";
    case DType::uint8:
      return "|u1";
    case DType::int64:
      return "<i8";
    case DType::complex64:
      return "<c8";
    case DType::complex128:
      return "<c16";
  }
  return "";
}

}  // namespace

Tensor parse_npy(const Bytes& bytes, const std::string& place) {
  auto refuse = [&](const std::string& why) { throw_error(ErrorKind::data, place, why); };
  if (bytes.size() < 10 || std::memcmp(bytes.data(), kMagic, 6) != 0)
    refuse("at byte 0: expected an .npy file, which starts with \\x93NUMPY");
  const int major = bytes[6], minor = bytes[7];
  if (major < 1 || major > 3 || minor != 0)
    refuse(fmt::format("at byte 6: version {}.{}, expected 1.0, 2.0 or 3.0", major, minor));
  const size_t start = major == 1 ? 10 : 12;
  if (bytes.size() < start) refuse("at byte 8: the file ends in the length of the header");
  size_t length = 0;
  for (size_t i = start; i-- > 8;) length = length << 8 | bytes[i];
  if (length > kMaxHeader)
    refuse(fmt::format("at byte 8: header of {} bytes, expected at most {}", length, kMaxHeader));
  if (length > bytes.size() - start)
    refuse(fmt::format("at byte 8: header of {} bytes, but the file has {} bytes", length, bytes.size()));
  const std::string_view text(reinterpret_cast<const char*>(bytes.data() + start), length);
  if (!text.ends_with('\n')) refuse("at byte 8: expected a header that ends with a new line");

  const Header header = HeaderReader(text, start, place).read();
  const Element e = element_of(header.descr, place);
  int64_t size = 0;
  if (__builtin_mul_overflow(header.shape.numel(), static_cast<int64_t>(e.size), &size))
    refuse(fmt::format("the size of shape {} overflows", header.shape.str()));
  const size_t data = bytes.size() - start - length;
  if (static_cast<uint64_t>(size) != data)
    refuse(fmt::format("at byte {}: expected {} bytes for shape {} of '{}', the file has {}", start + length,
                       size, header.shape.str(), header.descr, data));
  const uint8_t* from = bytes.data() + start + length;
  if (e.kind == 'b')
    for (size_t i = 0; i < data; ++i)
      if (from[i] > 1)
        refuse(
            fmt::format("at byte {}: expected False or True as 0 or 1, got {}", start + length + i, from[i]));

  // An array stored columns first is its transpose stored rows first.
  Shape stored;
  std::vector<int> back;
  for (int i = 0, rank = header.shape.rank(); i < rank; ++i) {
    stored.push_back(header.shape[header.fortran_order ? rank - 1 - i : i]);
    back.push_back(rank - 1 - i);
  }
  Tensor t = Tensor::empty(stored, e.dtype);
  read_elements(e, from, t);
  return header.fortran_order && stored.rank() > 1 ? permute(t, back) : t;
}

Tensor load_npy(const std::string& path) { return parse_npy(read_file(path), path); }

void save_npy(const std::string& path, const Tensor& tensor) {
  SIGMA_CHECK(tensor.defined(), "save_npy", "expected a tensor, got an undefined one");
  Tensor t = tensor.to(compute_dtype(tensor.dtype())).contiguous();
  const Shape& shape = t.shape();
  std::string sizes;
  for (int64_t d : shape) sizes += fmt::format("{}{}", sizes.empty() ? "" : ", ", d);
  std::string header = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}{}), }}",
                                   descr_of(t.dtype()), sizes, shape.rank() == 1 ? "," : "");
  // NumPy leaves room for the first size to grow to 21 digits, then aligns the data.
  if (shape.rank() > 0) header.append(21 - std::to_string(shape[0]).size(), ' ');
  header.append(kAlign - (10 + header.size() + 1) % kAlign, ' ');
  header += '\n';
  std::string start(kMagic, 6);
  start += {'\1', '\0', static_cast<char>(header.size() & 255), static_cast<char>(header.size() >> 8)};
  write_file_atomic(path, {start, header, {reinterpret_cast<const char*>(t.raw()), t.bytes()}});
}

}  // namespace sigma
