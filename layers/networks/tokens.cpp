#include "layers/networks/tokens.h"

#include "core/text.h"
#include "layers/networks/network_text.h"

namespace sigma::networks {
namespace {

constexpr size_t kMaxWord = 64;

bool is_word_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
         c == '+' || c == '-' || c == '*' || c == '/';
}

// The character that begins at a place, as a message shows it.
std::string character(const std::string& text, size_t at) {
  size_t n = 1;
  while (at + n < text.size() && (static_cast<unsigned char>(text[at + n]) & 0xC0) == 0x80 && n < 4) ++n;
  return printable(text.substr(at, n));
}

}  // namespace

std::vector<Token> tokens_of(const std::string& text) {
  TextPlace at;
  if (text.size() > kMaxNetworkText)
    throw TextError(at,
                    fmt::format("expected a text of at most {} bytes, got {}", kMaxNetworkText, text.size()));
  std::vector<Token> tokens;
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    size_t n = 1;
    if (c == '\n') {
      tokens.push_back({"\n", at, false});
      at = {at.line + 1, 1};
      ++i;
      continue;
    }
    if (c == '#') {
      while (i + n < text.size() && text[i + n] != '\n') ++n;
      if (!is_utf8(text.substr(i, n))) throw TextError(at, "the comment is no UTF-8");
    } else if (std::string_view("{}(),:=").find(c) != std::string_view::npos) {
      tokens.push_back({std::string(1, c), at, false});
    } else if (is_word_char(c)) {
      while (i + n < text.size() && is_word_char(text[i + n])) ++n;
      if (n > kMaxWord)
        throw TextError(at, fmt::format("expected a word of at most {} letters, got {}", kMaxWord, n));
      tokens.push_back({text.substr(i, n), at, true});
    } else if (c != ' ' && c != '\t' && c != '\r') {
      throw TextError(at, fmt::format("unexpected character \"{}\"", character(text, i)));
    }
    at.column += static_cast<int>(n);
    i += n;
  }
  tokens.push_back({"", at, false});
  return tokens;
}

std::string shown(const Token& t) {
  if (t.text.empty()) return "the end of the text";
  if (t.text == "\n") return "the end of the line";
  return "\"" + t.text + "\"";
}

}  // namespace sigma::networks
