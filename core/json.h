// JSON from outside (RFC 8259), read strictly: at most 64 levels deep, no key twice in an object, nothing
// after the value, valid UTF-8. What fails is an Error in our own words that names the place and the byte.
//
// This header holds the library's forward declarations only; who touches members of a Json includes
// <nlohmann/json.hpp> in the .cpp. No other installed header includes this one, so only a program that does
// so itself needs nlohmann-json.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "core/check.h"

namespace sigma {

using Json = nlohmann::ordered_json;  // keys keep their order

struct JsonLimits {
  int depth = 64;                           // [] is one level deep, 1 none
  size_t values = size_t{4} * 1024 * 1024;  // of all levels together: each takes 16 bytes and more
};

// Throws an Error of `kind`: "place: at byte 17 (line 2): \"epochs\" appears twice".
Json parse_json(std::string_view text, ErrorKind kind, std::string_view place, const JsonLimits& limits = {});
// The file's text; `place` is its name.
Json read_json_file(const std::string& path, ErrorKind kind, uint64_t max_bytes = uint64_t{64} << 20);

// The value as text, in one line, or over several with an indent. Bytes that are no UTF-8 become U+FFFD.
std::string json_text(const Json& json, int indent = -1);

// json[key] as T: bool, int, int64_t, uint64_t, double (finite), std::string, or a std::vector of int64_t,
// double or std::string. Throws an Error of `kind` when json is no object, the key is missing or its value is
// something else: "place: expected a whole number in \"step\", got \"x\"". A whole number is written without
// a fraction (5.0 is none) and fits T.
template <class T>
T json_get(const Json& json, std::string_view key, ErrorKind kind, std::string_view place);
// The same; `otherwise` when the key is missing.
template <class T>
T json_get_or(const Json& json, std::string_view key, T otherwise, ErrorKind kind, std::string_view place);
// A whole number from `least` to `most`.
int64_t json_whole(const Json& json, std::string_view key, int64_t least, int64_t most, ErrorKind kind,
                   std::string_view place);
// json[key], of any type; an array; an object.
const Json& json_at(const Json& json, std::string_view key, ErrorKind kind, std::string_view place);
const Json& json_array(const Json& json, std::string_view key, ErrorKind kind, std::string_view place);
const Json& json_object(const Json& json, std::string_view key, ErrorKind kind, std::string_view place);
// The value, when json is an object that has the key; else null.
const Json* json_find(const Json& json, std::string_view key);

}  // namespace sigma
