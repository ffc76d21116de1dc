// A height and a width; one number stands for both.
#pragma once

#include <fmt/core.h>

#include <cstdint>
#include <string>

namespace sigma {

struct Pair {
  int64_t h, w;
  Pair(int64_t both) : h(both), w(both) {}  // NOLINT: implicit on purpose, {.kernel = 3}
  Pair(int64_t height, int64_t width) : h(height), w(width) {}
  std::string str() const { return fmt::format("({}, {})", h, w); }
  bool operator==(const Pair&) const = default;
};

}  // namespace sigma
