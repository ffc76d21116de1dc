#include "core/safetensors.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "core/sha256.h"

namespace sigma {
namespace {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "safetensors data is little-endian");

constexpr uint64_t kMaxHeader = 8 << 20;
constexpr size_t kMaxTensors = 65536;

const char* tag_of(DType dtype) {
  switch (dtype) {
    case DType::float32:
      return "F32";
    case DType::float64:
      return "F64";
    case DType::uint8:
      return "U8";
    case DType::int64:
      return "I64";
    case DType::bfloat16:
      return "BF16";
    case DType::complex64:
      return "C64";
    case DType::complex128:
      break;  // the format has none
  }
  return nullptr;
}

struct Entry {
  std::string name, dtype;
  std::vector<uint64_t> shape, offsets;
  bool has_dtype = false, has_shape = false, has_offsets = false;
};

// Reads the header as a stream of events, at most three levels deep: a hostile header costs no recursion, no
// copies, and a repeated key is seen (a parsed DOM would silently keep the last).
struct HeaderReader : nlohmann::json_sax<nlohmann::json> {
  std::vector<Entry> entries;
  std::map<std::string, std::string> metadata;
  std::string error;

  int depth = 0;
  bool in_metadata = false, in_array = false;
  std::set<std::string> names;
  std::string field;

  bool refuse(std::string why) {
    error = std::move(why);
    return false;
  }
  std::string place() const {
    return depth >= 2 && !in_metadata && !entries.empty() ? fmt::format("tensor \"{}\"", entries.back().name)
                                                          : "header";
  }
  bool unexpected(const char* what) { return refuse(fmt::format("{}: unexpected {}", place(), what)); }

  bool null() override { return unexpected("null"); }
  bool boolean(bool) override { return unexpected("boolean"); }
  bool number_float(number_float_t, const string_t&) override { return unexpected("fraction"); }
  bool number_integer(number_integer_t) override { return unexpected("negative number"); }
  bool binary(binary_t&) override { return unexpected("binary value"); }
  bool number_unsigned(number_unsigned_t value) override {
    if (!in_array) return unexpected("number");
    auto& list = field == "shape" ? entries.back().shape : entries.back().offsets;
    if (list.size() >= 8) return refuse(place() + ": more than 8 dimensions");
    list.push_back(value);
    return true;
  }
  bool string(string_t& value) override {
    if (in_metadata && depth == 2) {
      metadata[field] = value;
      return true;
    }
    if (depth != 2 || in_array || field != "dtype") return unexpected("string");
    entries.back().dtype = value;
    entries.back().has_dtype = true;
    return true;
  }
  bool start_object(std::size_t) override {
    if (depth >= 2 || in_array) return unexpected("nested object");
    ++depth;
    return true;
  }
  bool end_object() override {
    if (--depth == 1) in_metadata = false;
    return true;
  }
  bool key(string_t& name) override {
    if (depth == 1) {
      if (!names.insert(name).second) return refuse(fmt::format("header: \"{}\" appears twice", name));
      in_metadata = name == "__metadata__";
      if (in_metadata) return true;
      if (name.empty()) return refuse("header: a tensor has an empty name");
      if (entries.size() >= kMaxTensors)
        return refuse(fmt::format("header: more than {} tensors", kMaxTensors));
      entries.push_back({});
      entries.back().name = name;
      return true;
    }
    field = name;
    if (in_metadata)
      return metadata.count(name) ? refuse(fmt::format("__metadata__: \"{}\" appears twice", name)) : true;
    Entry& e = entries.back();
    bool twice = (name == "dtype" && e.has_dtype) || (name == "shape" && e.has_shape) ||
                 (name == "data_offsets" && e.has_offsets);
    if (twice) return refuse(fmt::format("{}: \"{}\" appears twice", place(), name));
    if (name != "dtype" && name != "shape" && name != "data_offsets")
      return refuse(fmt::format("{}: unknown key \"{}\"", place(), name));
    return true;
  }
  bool start_array(std::size_t) override {
    if (depth != 2 || in_metadata || in_array || field == "dtype") return unexpected("array");
    in_array = true;
    (field == "shape" ? entries.back().has_shape : entries.back().has_offsets) = true;
    return true;
  }
  bool end_array() override {
    in_array = false;
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    return refuse(fmt::format("at byte {}: the header is not valid JSON", 8 + position));
  }
};

std::string json_string(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

SafeTensors parse_safetensors(const Bytes& bytes, const std::string& place) {
  auto refuse = [&](const std::string& why) { throw_error(ErrorKind::checkpoint, place, why); };
  if (bytes.size() < 8) refuse(fmt::format("{} bytes are too few for a safetensors file", bytes.size()));
  uint64_t n = 0;
  std::memcpy(&n, bytes.data(), 8);
  if (n > kMaxHeader)
    refuse(fmt::format("at byte 0: header of {} bytes, expected at most {}", n, kMaxHeader));
  if (n > bytes.size() - 8)
    refuse(fmt::format("at byte 0: header of {} bytes, but the file has {} bytes", n, bytes.size()));
  const uint8_t* header = bytes.data() + 8;
  if (n == 0 || header[0] != '{') refuse("at byte 8: expected a header that starts with {");
  // The JSON reader takes a NUL for the end, and whatever follows would go unseen.
  if (const void* nul = std::memchr(header, 0, n))
    refuse(fmt::format("at byte {}: the header is not valid JSON",
                       static_cast<const uint8_t*>(nul) - bytes.data()));
  HeaderReader reader;
  bool good =
      nlohmann::json::sax_parse(header, header + n, &reader, nlohmann::json::input_format_t::json, true);
  if (!good || !reader.error.empty()) refuse(reader.error.empty() ? "the header is not valid" : reader.error);

  auto& entries = reader.entries;
  for (const Entry& e : entries) {
    if (!e.has_dtype || !e.has_shape || !e.has_offsets || e.offsets.size() != 2)
      refuse(fmt::format("tensor \"{}\": expected dtype, shape and two data_offsets", e.name));
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.offsets[0], a.offsets[1], a.name) < std::tie(b.offsets[0], b.offsets[1], b.name);
  });
  SafeTensors result;
  result.metadata = std::move(reader.metadata);
  uint64_t data_size = bytes.size() - 8 - n, at = 0;
  for (const Entry& e : entries) {
    DType dtype = DType::float32;
    bool known = false;
    for (DType d :
         {DType::float32, DType::float64, DType::uint8, DType::int64, DType::bfloat16, DType::complex64})
      if (e.dtype == tag_of(d)) dtype = d, known = true;
    if (!known)
      refuse(
          fmt::format("tensor \"{}\": dtype {} is not one of F32, F64, U8, I64, BF16, C64", e.name, e.dtype));
    uint64_t count = 1, size = 0;
    Shape shape;
    for (uint64_t d : e.shape) {
      if (d > INT64_MAX || __builtin_mul_overflow(count, d, &count) || count > INT64_MAX)
        refuse(fmt::format("tensor \"{}\": the product of its shape overflows", e.name));
      shape.push_back(static_cast<int64_t>(d));
    }
    if (__builtin_mul_overflow(count, size_of(dtype), &size))
      refuse(fmt::format("tensor \"{}\": its size overflows", e.name));
    if (e.offsets[0] != at)
      refuse(fmt::format("tensor \"{}\": starts at offset {}, expected {}", e.name, e.offsets[0], at));
    if (e.offsets[1] < e.offsets[0] || e.offsets[1] - e.offsets[0] != size)
      refuse(fmt::format("tensor \"{}\": offsets {}..{} do not hold the {} bytes of shape {}", e.name,
                         e.offsets[0], e.offsets[1], size, shape.str()));
    if (e.offsets[1] > data_size)
      refuse(fmt::format("tensor \"{}\": ends at offset {}, but the data has {} bytes", e.name, e.offsets[1],
                         data_size));
    Tensor t = Tensor::empty(shape, dtype);
    if (size) std::memcpy(t.mutable_raw(), header + n + at, size);
    result.tensors.emplace(e.name, t);
    at = e.offsets[1];
  }
  if (at != data_size)
    refuse(fmt::format("the tensors end at offset {}, but the data has {} bytes", at, data_size));
  return result;
}

SafeTensors load_safetensors(const std::string& path) {
  try {
    return parse_safetensors(read_file(path), path);
  } catch (const Error& e) {
    if (e.kind() == ErrorKind::data) throw Error(ErrorKind::checkpoint, e.what());
    throw;
  }
}

std::string serialize_safetensors(const SafeTensors& content) {
  std::vector<std::pair<std::string, Tensor>> order;
  for (const auto& [name, t] : content.tensors) {
    SIGMA_CHECK(tag_of(t.dtype()), "safetensors",
                "tensor \"{}\": the format has no {}; save its real and imaginary parts, or use save_npy",
                name, name_of(t.dtype()));
    order.emplace_back(name, t.contiguous());
  }
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return size_of(a.second.dtype()) > size_of(b.second.dtype());
  });
  std::string header = "{";
  if (!content.metadata.empty()) {
    header += "\"__metadata__\":{";
    bool first = true;
    for (const auto& [key, value] : content.metadata) {
      header += fmt::format("{}{}:{}", first ? "" : ",", json_string(key), json_string(value));
      first = false;
    }
    header += "}";
  }
  size_t at = 0;
  for (const auto& [name, t] : order) {
    std::string dims;
    for (int64_t d : t.shape()) dims += fmt::format("{}{}", dims.empty() ? "" : ",", d);
    header += fmt::format("{}{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                          header.size() > 1 ? "," : "", json_string(name), tag_of(t.dtype()), dims, at,
                          at + t.bytes());
    at += t.bytes();
  }
  header += "}";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  uint64_t n = header.size();
  std::string out(reinterpret_cast<const char*>(&n), 8);
  out.reserve(8 + header.size() + at);
  out += header;
  for (const auto& [name, t] : order) out.append(reinterpret_cast<const char*>(t.raw()), t.bytes());
  return out;
}

void save_safetensors(const std::string& path, const SafeTensors& content) {
  write_file_atomic(path, serialize_safetensors(content));
}

namespace {
std::string digest(const SafeTensors& content) {
  Sha256 hash;
  for (const auto& [key, value] : content.metadata)
    if (key != "sha256") hash.update(fmt::format("{}:{}={}:{};", key.size(), key, value.size(), value));
  for (const auto& [name, t] : content.tensors) {
    Tensor c = t.contiguous();
    hash.update(fmt::format("{}:{} {} {};", name.size(), name, name_of(t.dtype()), t.shape().str()));
    hash.update(c.raw(), c.bytes());
  }
  return hash.hex();
}
}  // namespace

void add_digest(SafeTensors& content) { content.metadata["sha256"] = digest(content); }

void verify_digest(const SafeTensors& content, const std::string& place) {
  auto it = content.metadata.find("sha256");
  if (it == content.metadata.end()) return;
  std::string now = digest(content);
  if (now != it->second)
    fail(ErrorKind::checkpoint, place, "the content was altered: sha256 {}, expected {}", now.substr(0, 16),
         it->second.substr(0, 16));
}

}  // namespace sigma
