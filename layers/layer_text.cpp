#include "layers/layer_text.h"

#include <cmath>

#include "core/text.h"

namespace sigma {
namespace {

constexpr double kLargest = 1 << 20;  // of a whole number in a text: no layer has a million channels

}  // namespace

TextError::TextError(TextPlace at, const std::string& message)
    : Error(ErrorKind::usage, "network", fmt::format("line {}, column {}: {}", at.line, at.column, message)) {
}

int64_t LayerText::channels() const {
  SIGMA_CHECK(in_.rank() >= 2, "network", "expected input with channels, got {}", in_.str());
  return in_[1];
}

int64_t LayerText::features() const {
  SIGMA_CHECK(in_.rank() >= 2, "network", "expected input with features, got {}", in_.str());
  return in_[-1];
}

const TextValue& LayerText::value(const std::string& name) const {
  auto found = values_.find(name);
  SIGMA_CHECK(found != values_.end(), "network",
              "a layer asks for its argument \"{}\", which it does not have", name);
  return found->second;
}

void LayerText::refuse(const std::string& name, const TextValue& v, const std::string& wanted) const {
  throw TextError(v.at, fmt::format("{}: expected {}, got \"{}\"{}", name, wanted, v.text,
                                    v.number ? "" : suggestion(v.text, known_)));
}

int64_t LayerText::whole_of(const std::string& name, const TextValue& v, double number, int64_t least) const {
  if (!(number >= static_cast<double>(least)) || number > kLargest || number != std::floor(number))
    refuse(name, v, fmt::format("a whole number from {} to {}", least, kLargest));
  return static_cast<int64_t>(number);
}

int64_t LayerText::whole(const std::string& name, int64_t least) const {
  const TextValue& v = value(name);
  if (!v.number || v.second) refuse(name, v, "a whole number");
  return whole_of(name, v, *v.number, least);
}

Pair LayerText::pair(const std::string& name, int64_t least) const {
  const TextValue& v = value(name);
  if (!v.number) refuse(name, v, "a whole number, or two as in 3x5");
  return {whole_of(name, v, *v.number, least), whole_of(name, v, v.second.value_or(*v.number), least)};
}

double LayerText::number(const std::string& name) const {
  const TextValue& v = value(name);
  if (!v.number || v.second || !std::isfinite(*v.number)) refuse(name, v, "a number");
  return *v.number;
}

bool LayerText::is_word(const std::string& name, const std::string& word) const {
  return value(name).text == word;
}

size_t LayerText::choice(const std::string& name, const std::vector<std::string>& words) const {
  for (size_t i = 0; i < words.size(); ++i)
    if (is_word(name, words[i])) return i;
  const TextValue& v = value(name);
  throw TextError(v.at, fmt::format("{}: expected {}, got \"{}\"{}", name, join(words, " or "), v.text,
                                    suggestion(v.text, words)));
}

bool LayerText::bias() const {
  const size_t chosen = choice("bias", {"on", "off", "auto"});
  return chosen == 0 || (chosen == 2 && !norm_follows_);
}

std::vector<LayerArgument> arguments_of(const LayerWord& word) {
  std::vector<LayerArgument> all;
  if (word.arguments.empty()) return all;
  for (std::string part : split(word.arguments, ' ')) {
    LayerArgument a;
    a.positional = part[0] >= 'A' && part[0] <= 'Z';
    if (const size_t equals = part.find('='); equals != part.npos) {
      a.initial = part.substr(equals + 1);
      part.resize(equals);
      a.required = false;
    }
    if (part.back() == '?') {
      part.pop_back();
      a.required = false;
    }
    for (char c : part) a.name += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    all.push_back(a);
  }
  return all;
}

}  // namespace sigma
