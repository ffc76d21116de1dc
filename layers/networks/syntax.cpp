#include "layers/networks/syntax.h"

#include <algorithm>

#include "core/text.h"
#include "layers/networks/tokens.h"

namespace sigma::networks {
namespace {

bool is_name(const std::string& word) {
  auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  return letter(word[0]) &&
         std::all_of(word.begin(), word.end(), [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}
// Of a layer: numbers, too, as PyTorch names what has no name.
bool is_label(const std::string& word) {
  return is_name(word) || std::all_of(word.begin(), word.end(), [](char c) { return c >= '0' && c <= '9'; });
}

class Parser {
 public:
  explicit Parser(const std::string& text) : tokens_(tokens_of(text)) {}

  Tree tree() {
    skip_separators();
    while (!peek().text.empty()) {
      if (peek().text == "let" && peek().is_word)
        tree_.pieces.push_back(piece());
      else
        tree_.items.push_back(item());
      end_of_item("");
    }
    return std::move(tree_);
  }

 private:
  const Token& peek(size_t ahead = 0) const { return tokens_[std::min(next_ + ahead, tokens_.size() - 1)]; }
  bool sign(const char* text, size_t ahead = 0) const {
    return !peek(ahead).is_word && peek(ahead).text == text;
  }
  Token take() {
    Token t = peek();
    if (next_ + 1 < tokens_.size()) ++next_;
    return t;
  }
  bool take_if(const char* text) {
    if (!sign(text)) return false;
    take();
    return true;
  }
  [[noreturn]] void refuse(const std::string& wanted) const {
    throw TextError(peek().at, fmt::format("expected {}, got {}", wanted, shown(peek())));
  }
  void expect(const char* text) {
    if (!take_if(text)) refuse(fmt::format("\"{}\"", text));
  }
  void skip_lines() {
    while (take_if("\n")) {}
  }
  void skip_separators() {
    breaks_line_ = next_ == 0;
    while (sign(",") || sign("\n")) breaks_line_ |= take().text == "\n";
  }
  // After an item: a separator, or what closes the group.
  void end_of_item(const char* close) {
    if (!sign(",") && !sign("\n") && !peek().text.empty() && !sign(close))
      refuse("a comma or the end of the line");
    skip_separators();
  }
  Word word(const char* wanted) {
    if (!peek().is_word) refuse(wanted);
    const Token t = take();
    return {t.text, t.at};
  }
  Word name(const char* wanted) {
    if (!peek().is_word || !is_name(peek().text)) refuse(wanted);
    return word(wanted);
  }
  bool is_piece(const std::string& word) const {
    return std::any_of(tree_.pieces.begin(), tree_.pieces.end(),
                       [&](const Piece& p) { return p.name.text == word; });
  }

  std::vector<Item> group() {
    expect("{");
    if (++depth_ > kMaxDepth)
      throw TextError(peek().at, fmt::format("expected at most {} braces in each other", kMaxDepth));
    std::vector<Item> items;
    skip_separators();
    while (!take_if("}")) {
      if (peek().text.empty()) refuse("\"}\"");
      items.push_back(item());
      end_of_item("}");
    }
    --depth_;
    return items;
  }

  Piece piece() {
    take();  // let
    Piece p;
    p.name = name("the name of a piece");
    if (is_piece(p.name.text)) throw TextError(p.name.at, fmt::format("\"{}\" is there twice", p.name.text));
    if (take_if("(")) p.parameters = parameters();
    expect("=");
    skip_lines();
    p.body = group();
    return p;
  }

  std::vector<Argument> parameters() {
    std::vector<Argument> all;
    for (skip_lines(); !take_if(")"); skip_lines()) {
      Argument a{name("the name of a parameter"), {}};
      if (a.name.text == "x" || a.name.text == "classes")
        throw TextError(a.name.at,
                        fmt::format("\"{}\" has a meaning of its own, it is no name", a.name.text));
      for (const Argument& other : all)
        if (other.name.text == a.name.text)
          throw TextError(a.name.at, fmt::format("\"{}\" is there twice", a.name.text));
      if (take_if("=")) a.value = word("a value");
      all.push_back(a);
      skip_lines();
      if (!sign(")")) expect(",");
    }
    return all;
  }

  // "16" or "stride=2".
  Argument argument() {
    Word first = word("a value");
    if (!take_if("=")) return {{}, first};
    if (!is_name(first.text)) throw TextError(first.at, fmt::format("\"{}\" is no name", first.text));
    return {first, word("a value")};
  }

  Item item() {
    Item i;
    i.at = peek().at;
    i.breaks_line = breaks_line_;
    if (peek().is_word && sign(":", 1)) {
      i.label = label();
      take();
    }
    fill(i);
    return i;
  }

  Word label() {
    if (!is_label(peek().text)) refuse("a name of letters, digits and \"_\"");
    return word("a name");
  }

  void fill(Item& i) {
    if (sign("{")) {
      i.kind = Item::Kind::group;
      i.body = group();
    } else if (!peek().is_word) {
      refuse("a layer");
    } else if (peek().text == "residual") {
      residual(i);
    } else if (peek(1).is_word && peek(1).text == "x" && (peek(2).is_word || sign("{", 2))) {
      i.kind = Item::Kind::repeat;
      i.word = word("a number");
      take();  // x
      if (++depth_ > kMaxDepth)
        throw TextError(peek().at, fmt::format("expected at most {} repetitions in each other", kMaxDepth));
      if (sign("{")) {
        i.body = group();
      } else {
        breaks_line_ = false;
        i.body.push_back(item());
      }
      --depth_;
    } else {
      layer(i);
    }
  }

  void residual(Item& i) {
    i.kind = Item::Kind::residual;
    i.word = word("residual");
    i.body = group();
    if (peek().is_word && sign(":", 1)) {
      i.shortcut_label = label();
      take();
    } else if (!sign("{")) {
      return;
    }
    i.has_shortcut = true;
    i.shortcut = group();
  }

  void layer(Item& i) {
    i.word = name("a layer");
    if (i.word.text == "let") throw TextError(i.word.at, "a piece is named outside of braces");
    if (sign("(") && !is_piece(i.word.text)) {  // nor one that is not ended: no piece holds itself
      std::vector<std::string> names;
      for (const Piece& p : tree_.pieces) names.push_back(p.name.text);
      throw TextError(i.word.at,
                      fmt::format("unknown piece \"{}\"{}", i.word.text, suggestion(i.word.text, names)));
    }
    if (take_if("(")) {
      i.kind = Item::Kind::piece;
      for (skip_lines(); !take_if(")"); skip_lines()) {
        i.arguments.push_back(argument());
        skip_lines();
        if (!sign(")")) expect(",");
      }
      return;
    }
    if (is_piece(i.word.text)) i.kind = Item::Kind::piece;
    while (peek().is_word) i.arguments.push_back(argument());
  }

  std::vector<Token> tokens_;
  size_t next_ = 0;
  int depth_ = 0;
  bool breaks_line_ = true;
  Tree tree_;
};

std::string text_of(const Argument& a) {
  return a.name.text.empty() ? a.value.text : a.name.text + "=" + a.value.text;
}

std::string text_of(const std::vector<Argument>& list) {
  std::string text;
  for (const Argument& a : list)
    text += (text.empty() ? "" : ", ") + (a.value.text.empty() ? a.name.text : text_of(a));
  return text;
}

std::string text_of(const std::vector<Item>& items, const std::string& indent);

std::string braces(const std::vector<Item>& items, const std::string& indent) {
  if (items.empty()) return "{ }";
  const bool lines = items[0].breaks_line;
  const std::string inner = text_of(items, lines ? indent + "  " : indent);
  return lines ? "{\n" + indent + "  " + inner + "\n" + indent + "}" : "{ " + inner + " }";
}

std::string text_of(const Item& i, const std::string& indent) {
  std::string text = i.label.text.empty() ? "" : i.label.text + ": ";
  switch (i.kind) {
    case Item::Kind::group:
      return text + braces(i.body, indent);
    case Item::Kind::repeat: {
      const bool one = i.body.size() == 1 && i.body[0].label.text.empty() && !i.body[0].breaks_line &&
                       i.body[0].kind != Item::Kind::group;
      return text + i.word.text + " x " + (one ? text_of(i.body[0], indent) : braces(i.body, indent));
    }
    case Item::Kind::residual:
      text += "residual " + braces(i.body, indent);
      if (!i.has_shortcut) return text;
      if (!i.shortcut_label.text.empty()) text += " " + i.shortcut_label.text + ":";
      return text + " " + braces(i.shortcut, indent);
    case Item::Kind::piece:
      return text + i.word.text + "(" + text_of(i.arguments) + ")";
    case Item::Kind::layer:
      break;
  }
  text += i.word.text;
  for (const Argument& a : i.arguments) text += " " + text_of(a);
  return text;
}

std::string text_of(const std::vector<Item>& items, const std::string& indent) {
  std::string text;
  for (size_t k = 0; k < items.size(); ++k) {
    if (k > 0) text += items[k].breaks_line ? "\n" + indent : ", ";
    text += text_of(items[k], indent);
  }
  return text;
}

}  // namespace

Tree parse(const std::string& text) { return Parser(text).tree(); }

std::string print(const Tree& tree) {
  std::string text;
  for (const Piece& p : tree.pieces)
    text += "let " + p.name.text + (p.parameters.empty() ? "" : "(" + text_of(p.parameters) + ")") + " = " +
            braces(p.body, "") + "\n";
  if (!text.empty()) text += "\n";
  return text + text_of(tree.items, "") + "\n";
}

}  // namespace sigma::networks
