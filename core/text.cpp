#include "core/text.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdint>

namespace sigma {
namespace {

struct CodePoint {
  uint32_t value;
  size_t bytes;  // 0: ill-formed
};

CodePoint decode(std::string_view text) {
  auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return {0, 0};
  uint32_t value = lead & (0x7fu >> length);
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {0, 0};
    value = value << 6 | (byte(i) & 0x3f);
  }
  const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = value >= 0xd800 && value <= 0xdfff;
  if (value < least[length] || value > 0x10ffff || surrogate) return {0, 0};
  return {value, length};
}

bool is_control(uint32_t c) {
  const bool c0 = c < 0x20 || c == 0x7f, c1 = c >= 0x80 && c < 0xa0;
  const bool turns = (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
  const bool breaks = c == 0x2028 || c == 0x2029;
  return c0 || c1 || turns || breaks;
}

template <class T>
std::string join_any(const std::vector<T>& parts, std::string_view separator) {
  std::string text;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) text += separator;
    text += fmt::format("{}", parts[i]);
  }
  return text;
}

}  // namespace

size_t invalid_utf8_at(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const CodePoint c = decode(text.substr(at));
    if (c.bytes == 0) return at;
    at += c.bytes;
  }
  return text.size();
}

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const CodePoint c = decode(text);
    const size_t bytes = c.bytes ? c.bytes : 1;
    if (c.bytes && !is_control(c.value)) {
      out.append(text.substr(0, bytes));
    } else if (c.value == '\n' && c.bytes) {
      out += "\\n";
    } else if (c.value == '\t') {
      out += "\\t";
    } else {
      for (char b : text.substr(0, bytes)) out += fmt::format("\\x{:02x}", static_cast<uint8_t>(b));
    }
    text.remove_prefix(bytes);
  }
  return out;
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  return join_any(parts, separator);
}
std::string join(const std::vector<int64_t>& numbers, std::string_view separator) {
  return join_any(numbers, separator);
}
std::string join(const std::vector<double>& numbers, std::string_view separator) {
  return join_any(numbers, separator);
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts(1);
  for (char c : text) {
    if (c == separator)
      parts.emplace_back();
    else
      parts.back() += c;
  }
  return parts;
}

std::string nearest(const std::string& word, const std::vector<std::string>& known) {
  std::string best;
  size_t best_distance = std::max<size_t>(2, word.size() / 2);
  for (const std::string& k : known) {
    std::vector<size_t> row(k.size() + 1);
    for (size_t j = 0; j <= k.size(); ++j) row[j] = j;
    for (size_t i = 1; i <= word.size(); ++i) {
      size_t diagonal = row[0];
      row[0] = i;
      for (size_t j = 1; j <= k.size(); ++j) {
        size_t above = row[j];
        row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (word[i - 1] != k[j - 1])});
        diagonal = above;
      }
    }
    if (row[k.size()] <= best_distance && (best.empty() || row[k.size()] < best_distance)) {
      best = k;
      best_distance = row[k.size()];
    }
  }
  if (!best.empty() && best_distance <= 2) return best;
  // Perhaps a longer word for the same, as "val-split" is for "val".
  size_t length = 2;
  for (const std::string& k : known)
    if (k.size() > length && word.starts_with(k)) {
      best = k;
      length = k.size();
    }
  return best;
}

bool matches_glob(std::string_view pattern, std::string_view text) {
  // The last * seen, and how far the text was then: where a later character does not fit, that * takes one
  // more. Earlier ones need no second look.
  size_t p = 0, t = 0, star = pattern.npos, taken = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      taken = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != pattern.npos) {
      p = star + 1;
      t = ++taken;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

std::string suggestion(const std::string& word, const std::vector<std::string>& known) {
  std::string near = nearest(word, known);
  return near.empty() ? "" : fmt::format("; did you mean {}?", near);
}

}  // namespace sigma
