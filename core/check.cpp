#include "core/check.h"

#include <fmt/core.h>
#include "core/text.h"

namespace sigma {

Error::Error(ErrorKind kind, const std::string& message)
    : std::runtime_error(printable(message)), kind_(kind) {}

void throw_error(ErrorKind kind, std::string_view place, const std::string& message) {
  throw Error(kind, place.empty() ? message : fmt::format("{}: {}", place, message));
}

void throw_error(ErrorKind kind, std::string_view place, fmt::string_view format, fmt::format_args args) {
  throw_error(kind, place, fmt::vformat(format, args));
}

void throw_check(std::string_view tag, const std::string& message) {
  throw Error(ErrorKind::usage, fmt::format("[{}] {}", tag, message));
}

void throw_check(std::string_view tag, fmt::string_view format, fmt::format_args args) {
  throw_check(tag, fmt::vformat(format, args));
}

}  // namespace sigma
