#include "core/check.h"

namespace sigma {

void throw_error(ErrorKind kind, std::string_view place, const std::string& message) {
  throw Error(kind, place.empty() ? message : fmt::format("{}: {}", place, message));
}

void throw_check(std::string_view tag, const std::string& message) {
  throw Error(ErrorKind::usage, fmt::format("[{}] {}", tag, message));
}

}  // namespace sigma
