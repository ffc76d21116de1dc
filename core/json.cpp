#include "core/json.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "core/file.h"
#include "core/text.h"

namespace sigma {
namespace {

// Builds the value from the events of the parser, which itself keeps no stack; what is nested too deep, or a
// key that repeats, is seen before anything is made of it.
class Builder : public nlohmann::json_sax<Json> {
 public:
  explicit Builder(const JsonLimits& limits) : limits_(limits) {}

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t&) override { return refuse("binary values are no JSON"); }
  bool start_object(size_t) override { return open(Json::object()); }
  bool end_object() override { return close(); }
  bool start_array(size_t) override { return open(Json::array()); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    Level& level = levels_.back();
    if (!level.keys.insert(name).second) return refuse(fmt::format("\"{}\" appears twice", name));
    level.key = std::move(name);
    return true;
  }
  bool parse_error(size_t position, const std::string& token,
                   const nlohmann::detail::exception& problem) override {
    at = position;
    if (problem.id == 406) return refuse("a number is too large");
    if (done_) return refuse("expected nothing after the value");
    return refuse(token.empty() ? "this is not valid JSON"
                                : fmt::format("this is not valid JSON: {}", printable(shortened(token))));
  }

  Json result;
  std::string error;
  size_t at = 0;  // of the parser's own errors: bytes read

 private:
  struct Level {
    Json value;
    std::string key;
    std::unordered_set<std::string> keys;
  };

  static std::string shortened(const std::string& token) {
    return token.size() <= 40 ? token : token.substr(0, 40) + "...";
  }
  bool refuse(std::string why) {
    error = std::move(why);
    return false;
  }
  bool count() {
    return ++values_ <= limits_.values || refuse(fmt::format("more than {} values", limits_.values));
  }
  bool add(Json value) { return count() && attach(std::move(value)); }
  bool attach(Json value) {
    if (levels_.empty()) {
      result = std::move(value);
      done_ = true;
      return true;
    }
    Level& level = levels_.back();
    if (level.value.is_array())
      level.value.get_ref<Json::array_t&>().push_back(std::move(value));
    else  // not emplace(): it would look through all keys, which are known to differ
      level.value.get_ref<Json::object_t&>().push_back({std::move(level.key), std::move(value)});
    return true;
  }
  bool open(Json value) {
    if (static_cast<int>(levels_.size()) >= limits_.depth)
      return refuse(fmt::format("nested more than {} levels deep", limits_.depth));
    if (!count()) return false;
    levels_.emplace_back();
    levels_.back().value = std::move(value);
    return true;
  }
  bool close() {
    Json value = std::move(levels_.back().value);
    levels_.pop_back();
    return attach(std::move(value));
  }

  const JsonLimits& limits_;
  std::vector<Level> levels_;
  size_t values_ = 0;
  bool done_ = false;
};

// An iterator that knows how far the parser has come, so that our own refusals have a byte too.
struct Counted {
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;
  const char* p;
  const char** furthest;
  reference operator*() const { return *p; }
  Counted& operator++() {
    *furthest = ++p;
    return *this;
  }
  Counted operator++(int) {
    Counted before = *this;
    ++*this;
    return before;
  }
  bool operator==(const Counted& other) const { return p == other.p; }
  bool operator!=(const Counted& other) const { return p != other.p; }
};

}  // namespace

Json parse_json(std::string_view text, ErrorKind kind, std::string_view place, const JsonLimits& limits) {
  auto refuse = [&](size_t at, const std::string& why) {
    at = std::min(at, text.size());
    fail(kind, place, "at byte {} (line {}): {}", at,
         1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n'), why);
  };
  // The parser takes a NUL for the end, and whatever follows would go unseen.
  if (size_t nul = text.find('\0'); nul != text.npos) refuse(nul, "a NUL is not valid JSON");
  if (size_t at = invalid_utf8_at(text); at != text.size())
    refuse(at, fmt::format("byte {:02x} is not valid UTF-8", static_cast<uint8_t>(text[at])));
  Builder builder(limits);
  const char* furthest = text.data();
  const bool good = Json::sax_parse(Counted{text.data(), &furthest},
                                    Counted{text.data() + text.size(), &furthest}, &builder);
  if (good && builder.error.empty()) return std::move(builder.result);
  // The parser counts the end as one more byte read; our own refusals come after the byte that caused them.
  const size_t read = builder.at ? builder.at : static_cast<size_t>(furthest - text.data());
  if (read > text.size()) refuse(read, text.empty() ? "expected JSON, found nothing" : "the JSON is cut off");
  refuse(read == 0 ? 0 : read - 1, builder.error);
  return {};
}

Json read_json_file(const std::string& path, ErrorKind kind, uint64_t max_bytes) {
  const Bytes bytes = read_file(path, max_bytes);
  return parse_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, kind, path);
}

std::string json_text(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

namespace {

template <class T>
struct Kind;
template <>
struct Kind<bool> {
  static constexpr const char* name = "true or false";
  static bool fits(const Json& j) { return j.is_boolean(); }
};
template <>
struct Kind<int64_t> {
  static constexpr const char* name = "a whole number";
  static bool fits(const Json& j) {
    return j.is_number_integer() &&
           (!j.is_number_unsigned() || j.get<uint64_t>() <= uint64_t{std::numeric_limits<int64_t>::max()});
  }
};
template <>
struct Kind<int> {
  static constexpr const char* name = "a whole number";
  static bool fits(const Json& j) {
    return Kind<int64_t>::fits(j) && j.get<int64_t>() == static_cast<int>(j.get<int64_t>());
  }
};
template <>
struct Kind<uint64_t> {
  static constexpr const char* name = "a whole number of at least 0";
  static bool fits(const Json& j) {
    return j.is_number_integer() && (j.is_number_unsigned() || j.get<int64_t>() >= 0);
  }
};
template <>
struct Kind<double> {
  static constexpr const char* name = "a number";
  static bool fits(const Json& j) { return j.is_number() && std::isfinite(j.get<double>()); }
};
template <>
struct Kind<std::string> {
  static constexpr const char* name = "a text";
  static bool fits(const Json& j) { return j.is_string(); }
};
template <class T>
struct Kind<std::vector<T>> {
  static constexpr const char* name = std::is_same_v<T, double>    ? "a list of numbers"
                                      : std::is_same_v<T, int64_t> ? "a list of whole numbers"
                                                                   : "a list of texts";
  static bool fits(const Json& j) { return j.is_array() && std::all_of(j.begin(), j.end(), Kind<T>::fits); }
};

// A value for a message: short, and whole when it is short.
std::string shown(const Json& j) {
  if (j.is_object()) return "an object";
  if (j.is_array() && j.size() > 8) return fmt::format("a list of {}", j.size());
  std::string text = j.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() <= 60) return text;
  return j.is_string() ? fmt::format("a text of {} characters", j.get_ref<const std::string&>().size())
                       : fmt::format("a list of {}", j.size());
}

const Json& expect(bool good, const Json& value, std::string_view key, const char* what, ErrorKind kind,
                   std::string_view place) {
  if (!good) fail(kind, place, "expected {} in \"{}\", got {}", what, key, shown(value));
  return value;
}

}  // namespace

const Json* json_find(const Json& json, std::string_view key) {
  if (!json.is_object()) return nullptr;
  auto it = json.find(std::string(key));
  return it == json.end() ? nullptr : &*it;
}

const Json& json_at(const Json& json, std::string_view key, ErrorKind kind, std::string_view place) {
  if (!json.is_object()) fail(kind, place, "expected an object with \"{}\", got {}", key, shown(json));
  const Json* value = json_find(json, key);
  if (!value) fail(kind, place, "\"{}\" is missing", key);
  return *value;
}

template <class T>
T json_get(const Json& json, std::string_view key, ErrorKind kind, std::string_view place) {
  const Json& value = json_at(json, key, kind, place);
  return expect(Kind<T>::fits(value), value, key, Kind<T>::name, kind, place).template get<T>();
}

template <class T>
T json_get_or(const Json& json, std::string_view key, T otherwise, ErrorKind kind, std::string_view place) {
  return json.is_object() && !json_find(json, key) ? otherwise : json_get<T>(json, key, kind, place);
}

int64_t json_whole(const Json& json, std::string_view key, int64_t least, int64_t most, ErrorKind kind,
                   std::string_view place) {
  const Json& value = json_at(json, key, kind, place);
  if (!Kind<int64_t>::fits(value) || value.get<int64_t>() < least || value.get<int64_t>() > most)
    fail(kind, place, "expected a whole number from {} to {} in \"{}\", got {}", least, most, key,
         shown(value));
  return value.get<int64_t>();
}

const Json& json_array(const Json& json, std::string_view key, ErrorKind kind, std::string_view place) {
  const Json& value = json_at(json, key, kind, place);
  return expect(value.is_array(), value, key, "a list", kind, place);
}

const Json& json_object(const Json& json, std::string_view key, ErrorKind kind, std::string_view place) {
  const Json& value = json_at(json, key, kind, place);
  return expect(value.is_object(), value, key, "an object", kind, place);
}

#define SIGMA_JSON_GET(T)                                                             \
  template T json_get<T>(const Json&, std::string_view, ErrorKind, std::string_view); \
  template T json_get_or<T>(const Json&, std::string_view, T, ErrorKind, std::string_view);
SIGMA_JSON_GET(bool)
SIGMA_JSON_GET(int)
SIGMA_JSON_GET(int64_t)
SIGMA_JSON_GET(uint64_t)
SIGMA_JSON_GET(double)
SIGMA_JSON_GET(std::string)
SIGMA_JSON_GET(std::vector<int64_t>)
SIGMA_JSON_GET(std::vector<double>)
SIGMA_JSON_GET(std::vector<std::string>)
#undef SIGMA_JSON_GET

}  // namespace sigma
