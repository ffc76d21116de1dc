// Numbers as sentences have them.
#pragma once

#include <fmt/core.h>

#include <cmath>
#include <string>

namespace sigma {

// "98.1%" of a share; never 100% or 0% where that is only almost so.
inline std::string percent_text(double share) {
  if (share < 1 && share >= 0.9995) return ">99.9%";
  if (share > 0 && share < 0.0005) return "<0.1%";
  return fmt::format("{:.1f}%", 100 * share);
}

// "7.2 s", "95 s", "2 min 05 s", "3 h 04 min"; nothing for what is no number.
inline std::string time_text(double seconds) {
  if (!std::isfinite(seconds)) return "";
  if (seconds < 10) return fmt::format("{:.1f} s", seconds);
  const auto s = static_cast<int64_t>(seconds + 0.5);
  if (s < 120) return fmt::format("{} s", s);
  if (s < 7200) return fmt::format("{} min {:02d} s", s / 60, s % 60);
  return fmt::format("{} h {:02d} min", s / 3600, s / 60 % 60);
}

// "60 000", with spaces where no line breaks.
inline std::string thousands(int64_t n) {
  const std::string digits = std::to_string(n);
  std::string text;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0 && digits[i - 1] != '-') text += "\u00a0";
    text += digits[i];
  }
  return text;
}

// "1 image", "3 images", "2 classes".
inline std::string count_text(int64_t n, const std::string& one, const std::string& more = "") {
  return thousands(n) + " " + (n == 1 ? one : more.empty() ? one + "s" : more);
}

}  // namespace sigma
