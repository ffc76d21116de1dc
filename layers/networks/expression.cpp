// The arithmetic of a network's text: numbers, names, + - * / without parentheses and spaces.
#include <charconv>

#include "core/text.h"
#include "layers/networks/expand.h"

namespace sigma::networks {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

class Expression {
 public:
  Expression(const Word& word, const std::map<std::string, TextValue>& scope) : word_(word), scope_(scope) {}

  double value() {
    const double v = sum();
    if (next_ < word_.text.size()) refuse("an operator");
    return v;
  }

 private:
  char peek() const { return next_ < word_.text.size() ? word_.text[next_] : '\0'; }
  [[noreturn]] void refuse(const std::string& wanted) const {
    const std::string rest = word_.text.substr(next_);
    throw TextError({word_.at.line, word_.at.column + static_cast<int>(next_)},
                    fmt::format("expected {}, got \"{}\"", wanted, rest.empty() ? word_.text : rest));
  }
  double sum() {
    double v = product();
    while (peek() == '+' || peek() == '-') {
      const bool plus = word_.text[next_++] == '+';
      const double other = product();
      v = plus ? v + other : v - other;
    }
    return v;
  }
  double product() {
    double v = factor();
    while (peek() == '*' || peek() == '/') {
      const bool times = word_.text[next_++] == '*';
      const double other = factor();
      v = times ? v * other : v / other;
    }
    return v;
  }
  double factor() {
    bool negative = false;
    for (; peek() == '-'; ++next_) negative = !negative;
    const double v = is_letter(peek()) ? name() : number();
    return negative ? -v : v;
  }
  double number() {
    const char* begin = word_.text.data() + next_;
    const char* end = word_.text.data() + word_.text.size();
    double v = 0;
    if (!is_digit(peek()) && peek() != '.') refuse("a number or a name");
    auto [stop, error] = std::from_chars(begin, end, v);
    if (error != std::errc()) refuse("a number");
    next_ += static_cast<size_t>(stop - begin);
    return v;
  }
  double name() {
    size_t n = 0;
    while (is_letter(peek_at(n)) || is_digit(peek_at(n))) ++n;
    const std::string name = word_.text.substr(next_, n);
    auto found = scope_.find(name);
    if (found == scope_.end()) {
      std::vector<std::string> known;
      for (const auto& [key, unused] : scope_) known.push_back(key);
      throw TextError({word_.at.line, word_.at.column + static_cast<int>(next_)},
                      fmt::format("unknown name \"{}\"{}", name, suggestion(name, known)));
    }
    if (!found->second.number || found->second.second) refuse("a number");
    next_ += n;
    return *found->second.number;
  }
  char peek_at(size_t n) const { return next_ + n < word_.text.size() ? word_.text[next_ + n] : '\0'; }

  const Word& word_;
  const std::map<std::string, TextValue>& scope_;
  size_t next_ = 0;
};

// Both numbers of "3x5", or none.
bool is_pair(const std::string& text, double& first, double& second) {
  const size_t x = text.find('x');
  if (x == text.npos || x == 0 || x + 1 == text.size()) return false;
  for (size_t i = 0; i < text.size(); ++i)
    if (i != x && !is_digit(text[i])) return false;
  std::from_chars(text.data(), text.data() + x, first);
  std::from_chars(text.data() + x + 1, text.data() + text.size(), second);
  return true;
}

}  // namespace

TextValue evaluate(const Word& word, const std::map<std::string, TextValue>& scope) {
  TextValue v{word.text, {}, {}, word.at};
  double first = 0, second = 0;
  if (is_pair(word.text, first, second)) {
    v.number = first;
    v.second = second;
  } else if (auto found = scope.find(word.text); found != scope.end()) {
    v = found->second;
    v.at = word.at;
  } else if (bool name = is_letter(word.text[0]);
             !name || word.text.find_first_of("+-*/") != std::string::npos) {
    v.number = Expression(word, scope).value();
  }
  return v;
}

}  // namespace sigma::networks
