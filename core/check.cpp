#include "core/check.h"

#include <fmt/core.h>
#include "core/text.h"

namespace sigma {

namespace {

constexpr std::string_view kAfterPlace = ": ";

}  // namespace

Error::Error(ErrorKind kind, std::string_view place, const std::string& message)
    : std::runtime_error(place.empty()
                             ? printable(message)
                             : fmt::format("{}{}{}", printable(place), kAfterPlace, printable(message))),
      kind_(kind),
      place_size_(printable(place).size()) {}

Error Error::at(std::string_view other) const {
  const size_t begin = place_size_ ? place_size_ + kAfterPlace.size() : 0;
  return Error(kind_, other, what() + begin);
}

void throw_error(ErrorKind kind, std::string_view place, const std::string& message) {
  throw Error(kind, place, message);
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
