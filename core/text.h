// Text from outside: whether it is UTF-8, and how to show it when it may be anything. And lists in messages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sigma {

// Where the first byte is that does not belong to well-formed UTF-8 (RFC 3629: no overlong forms, no
// surrogates, nothing above U+10FFFF); text.size() when there is none.
size_t invalid_utf8_at(std::string_view text);
inline bool is_utf8(std::string_view text) { return invalid_utf8_at(text) == text.size(); }

// The text as a terminal may show it: control characters (C0, DEL, C1, and those that turn the direction of
// writing) and bytes that are no UTF-8 become \n, \t, \x1b, \xff. Everything else stays as it is, the
// backslash too, so that printable(printable(x)) == printable(x).
std::string printable(std::string_view text);
// No control character in it and all UTF-8.
inline bool is_printable(std::string_view text) { return printable(text) == text; }

// "a, b, c" for the separator ", "; numbers as fmt writes {}. (fmt::join would compile fmt's whole formatting
// into every file that uses it, two seconds each.)
std::string join(const std::vector<std::string>& parts, std::string_view separator);
std::string join(const std::vector<int64_t>& numbers, std::string_view separator);
std::string join(const std::vector<double>& numbers, std::string_view separator);
// "a", "", "b" of "a,,b"; of an empty text one empty part.
std::vector<std::string> split(std::string_view text, char separator);

// The closest of `known` by edit distance, else the longest that the word begins with, or "" when none is
// near.
std::string nearest(const std::string& word, const std::vector<std::string>& known);
// Whether all of `text` is as the pattern says, in which * stands for any text and ? for one byte.
bool matches_glob(std::string_view pattern, std::string_view text);
// "; did you mean x?", or "".
std::string suggestion(const std::string& word, const std::vector<std::string>& known);

}  // namespace sigma
