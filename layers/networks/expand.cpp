#include "layers/networks/expand.h"

#include <algorithm>
#include <set>

#include "core/text.h"

namespace sigma::networks {
namespace {

TextValue whole_value(int64_t number) {
  return {std::to_string(number), static_cast<double>(number), {}, {}};
}

std::string name_of(const LayerArgument& a) { return a.name; }
std::string name_of(const Argument& a) { return a.name.text; }
template <class List>
std::vector<std::string> names_of(const List& list) {
  std::vector<std::string> names;
  for (const auto& a : list) names.push_back(name_of(a));
  return names;
}

// Names for what the text gives none: the kind, with a number when there are several of it in the group;
// groups and residual blocks have numbers alone, from 0, as PyTorch's.
void give_names(std::vector<Part>& nodes) {
  std::map<std::string, int> total, used;
  for (const Part& n : nodes)
    if (n.name.empty()) ++total[n.named];
  std::set<std::string> taken;
  for (Part& n : nodes) {
    if (n.name.empty()) {
      const std::string& k = n.named;
      const int number = k.empty() ? used[k]++ : ++used[k];
      n.name = k.empty() || total[k] > 1 ? k + std::to_string(number) : k;
    }
    if (!taken.insert(n.name).second)
      throw TextError(n.at, fmt::format("the name \"{}\" is there twice", n.name));
  }
}

// What only the whole of a group says of its members.
void finish(std::vector<Part>& nodes) {
  for (size_t i = 0; i + 1 < nodes.size(); ++i)
    nodes[i].norm_follows = nodes[i + 1].word && nodes[i + 1].word->normalizes;
  give_names(nodes);
}

}  // namespace

std::vector<Part> Expander::nodes() { return named(tree_.items, {{"classes", whole_value(classes_)}}); }

// Of layers, and of repetitions of nothing.
void Expander::count(TextPlace at) {
  if (++steps_ > kMaxLayers) throw TextError(at, fmt::format("expected at most {} layers", kMaxLayers));
}

std::vector<Part> Expander::named(const std::vector<Item>& items, const Scope& scope) {
  std::vector<Part> out;
  expand_all(items, scope, out);
  finish(out);
  return out;
}

void Expander::expand_all(const std::vector<Item>& items, const Scope& scope, std::vector<Part>& out) {
  for (const Item& i : items) expand(i, scope, out);
}

void Expander::expand(const Item& i, const Scope& scope, std::vector<Part>& out) {
  count(i.at);
  if (++depth_ > kMaxExpansion)
    throw TextError(i.at, fmt::format("expected at most {} pieces and groups in each other", kMaxExpansion));
  if (i.kind == Item::Kind::layer) {
    expand_layer(i, scope, out);
  } else if (i.kind == Item::Kind::group || i.kind == Item::Kind::residual) {
    Part n{.kind = i.kind == Item::Kind::group ? Part::Kind::group : Part::Kind::residual, .at = i.at};
    n.name = i.label.text;
    n.body = named(i.body, scope);
    if (i.has_shortcut) {
      n.shortcut = named(i.shortcut, scope);
      n.shortcut_name = i.shortcut_label.text.empty() ? "shortcut" : i.shortcut_label.text;
    }
    out.push_back(std::move(n));
  } else if (i.label.text.empty()) {
    expand_inline(i, scope, out);
  } else {  // a piece or a repetition by a name is a group
    Part n{.kind = Part::Kind::group, .at = i.at, .name = i.label.text};
    expand_inline(i, scope, n.body);
    finish(n.body);
    out.push_back(std::move(n));
  }
  --depth_;
}

void Expander::expand_inline(const Item& i, const Scope& scope, std::vector<Part>& out) {
  if (i.kind == Item::Kind::piece) {
    auto piece = std::find_if(tree_.pieces.begin(), tree_.pieces.end(),
                              [&](const Piece& p) { return p.name.text == i.word.text; });
    return expand_all(piece->body, arguments_of_piece(*piece, i, scope), out);
  }
  std::vector<std::string> known;
  for (const auto& [name, unused] : scope) known.push_back(name);
  const int64_t times =
      LayerText({}, {{"repetitions", evaluate(i.word, scope)}}, false, known).whole("repetitions", 0);
  if (times > kMaxRepeats)
    throw TextError(i.at, fmt::format("expected at most {} repetitions, got {}", kMaxRepeats, times));
  for (int64_t k = 0; k < times; ++k) {
    count(i.at);
    expand_all(i.body, scope, out);
  }
}

Expander::Scope Expander::arguments_of_piece(const Piece& piece, const Item& item, const Scope& scope) const {
  Scope own{{"classes", scope.at("classes")}};
  size_t position = 0;
  auto give = [&](const Argument& parameter, const TextValue& value, TextPlace at) {
    if (!own.emplace(parameter.name.text, value).second)
      throw TextError(at, fmt::format("{} of {} is given twice", parameter.name.text, piece.name.text));
  };
  for (const Argument& a : item.arguments) {
    auto parameter = piece.parameters.begin();
    if (a.name.text.empty()) {
      if (position == piece.parameters.size())
        throw TextError(a.value.at, fmt::format("{} takes {} arguments, got \"{}\" too", piece.name.text,
                                                position, a.value.text));
      parameter += static_cast<std::ptrdiff_t>(position++);
    } else {
      parameter = std::find_if(piece.parameters.begin(), piece.parameters.end(),
                               [&](const Argument& p) { return p.name.text == a.name.text; });
      if (parameter == piece.parameters.end())
        throw TextError(a.name.at, fmt::format("{} has no argument \"{}\"{}", piece.name.text, a.name.text,
                                               suggestion(a.name.text, names_of(piece.parameters))));
    }
    give(*parameter, evaluate(a.value, scope), a.value.at);
  }
  for (const Argument& p : piece.parameters) {
    if (own.count(p.name.text)) continue;
    if (p.value.text.empty())
      throw TextError(item.at, fmt::format("{} needs its argument {}", piece.name.text, p.name.text));
    own[p.name.text] = evaluate(p.value, own);
  }
  return own;
}

const LayerWord& Expander::word_of(const Item& item) const {
  auto found = words_.find(item.word.text);
  if (found != words_.end()) return found->second;
  std::vector<std::string> known{"residual"};
  for (const auto& [word, unused] : words_) known.push_back(word);
  for (const Piece& p : tree_.pieces) known.push_back(p.name.text);
  const std::string near = suggestion(item.word.text, known);
  throw TextError(item.word.at, fmt::format("unknown layer \"{}\"{}", item.word.text,
                                            near.empty() ? ", expected one of " + join(known, ", ") : near));
}

LayerText::Values Expander::values_of(const LayerWord& word, const Item& item, const Scope& scope) const {
  const std::vector<LayerArgument> arguments = arguments_of(word);
  LayerText::Values values;
  auto next = arguments.begin();
  const std::string takes =
      word.arguments.empty() ? "no arguments" : fmt::format("the arguments {}", word.arguments);
  for (const Argument& a : item.arguments) {
    auto argument = next;
    if (a.name.text.empty()) {
      if (next == arguments.end() || !next->positional)
        throw TextError(a.value.at,
                        fmt::format("{} takes {}, got \"{}\" too", word.word, takes, a.value.text));
      ++next;
    } else {
      argument = std::find_if(arguments.begin(), arguments.end(),
                              [&](const LayerArgument& l) { return l.name == a.name.text; });
      if (argument == arguments.end())
        throw TextError(a.name.at,
                        fmt::format("{} has no argument \"{}\"; it takes {}{}", word.word, a.name.text, takes,
                                    suggestion(a.name.text, names_of(arguments))));
    }
    if (!values.emplace(argument->name, evaluate(a.value, scope)).second)
      throw TextError(a.value.at, fmt::format("{} of {} is given twice", argument->name, word.word));
  }
  for (const LayerArgument& a : arguments) {
    if (values.count(a.name)) continue;
    if (a.required)
      throw TextError(item.at,
                      fmt::format("{} needs its argument {}: it takes {}", word.word, a.name, takes));
    if (!a.initial.empty()) values.emplace(a.name, evaluate({a.initial, item.at}, {}));
  }
  return values;
}

void Expander::expand_layer(const Item& item, const Scope& scope, std::vector<Part>& out) {
  const LayerWord* word = &word_of(item);
  Part n{.at = item.at, .name = item.label.text, .word = word, .named = word->named};
  n.values = values_of(*word, item, scope);
  if (word->word == "bn" && norm_.kind() != "batch") {  // what stands where bn is written
    const std::optional<std::string> other = norm_.word();
    if (!other) return;
    n.word = &words_.at(*other);
    Item written;
    written.at = item.at;
    written.word = {*other, item.at};
    if (norm_.groups() > 0) written.arguments = {{{}, {std::to_string(norm_.groups()), item.at}}};
    n.values = values_of(*n.word, written, scope);
  }
  out.push_back(std::move(n));
}

}  // namespace sigma::networks
