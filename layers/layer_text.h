// A layer as a word of a network's text (networks/network_text.h): what the text says of it, and what a layer
// makes of that. A layer says so once, in its own file, by a static function `words` that the table of layers
// finds (table.h):
//
//   std::vector<LayerWord> Swish::words() {
//     return {{"swish", "swish", "BETA=1",
//              [](const LayerText& t) { return planned<Swish>(t.in(), 0, t.number("beta")); }}};
//   }
//
// and networks then have `swish` and `swish 2`.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/shape.h"
#include "layers/pair.h"

namespace sigma {

class Module;

struct TextPlace {
  int line = 1, column = 1;  // of bytes, from 1
};

// An error in a network's text, of kind usage: "network: line 3, column 7: ...".
class TextError : public Error {
 public:
  TextError(TextPlace at, const std::string& message);
};

// "16", "3x5", or a word such as "same".
struct TextValue {
  std::string text;
  std::optional<double> number, second;  // second: of a pair
  TextPlace at;
};

// What a layer makes of its text before anything is allocated.
struct LayerPlan {
  Shape out;              // of one image
  double parameters = 0;  // how many numbers it holds; a double has no overflow
  std::function<std::shared_ptr<Module>()> make;
};
template <class Layer, class... Arguments>
LayerPlan planned(const Shape& out, double parameters, Arguments... arguments) {
  return {out, parameters,
          [=]() -> std::shared_ptr<Module> { return std::make_shared<Layer>(arguments...); }};
}

// The arguments of a layer, checked as they are asked for, and the input it gets. Errors are TextErrors.
class LayerText {
 public:
  using Values = std::map<std::string, TextValue>;
  // `known` are the names that a number may come from, for the hint of an error.
  LayerText(Shape in, Values values, bool norm_follows = false, std::vector<std::string> known = {})
      : in_(in), values_(std::move(values)), norm_follows_(norm_follows), known_(std::move(known)) {}

  const Shape& in() const { return in_; }  // of one image: (1, C, H, W) or (1, features)
  int64_t channels() const;                // in()[1]
  int64_t features() const;                // in()[-1]
  bool given(const std::string& name) const { return values_.count(name) != 0; }
  int64_t whole(const std::string& name, int64_t least = 1) const;
  Pair pair(const std::string& name, int64_t least = 1) const;  // 3 or 3x5, height first
  double number(const std::string& name) const;
  bool is_word(const std::string& name, const std::string& word) const;
  // Which of some words; an error names them.
  size_t choice(const std::string& name, const std::vector<std::string>& words) const;
  // Of an argument that is on, off, or auto: on unless a normalization, which has a shift of its own,
  // follows.
  bool bias() const;

 private:
  const TextValue& value(const std::string& name) const;
  int64_t whole_of(const std::string& name, const TextValue& value, double number, int64_t least) const;
  [[noreturn]] void refuse(const std::string& name, const TextValue& value, const std::string& wanted) const;

  Shape in_;
  Values values_;
  bool norm_follows_;
  std::vector<std::string> known_;
};

struct LayerWord {
  std::string word;   // "conv"
  std::string named;  // what layers are called, with a running number: "conv", or "fc" of linear
  // What it takes: those in capitals by position, all by name; "=" and a default where they may be left out,
  // "?" where `given` asks: "OUT KERNEL=3 stride=1 pad?".
  std::string arguments;
  LayerPlan (*plan)(const LayerText&);
  bool normalizes = false;  // see LayerText::bias
};

// "OUT KERNEL=3 pad?", taken apart.
struct LayerArgument {
  std::string name, initial;  // in small letters
  bool positional = false, required = true;
};
std::vector<LayerArgument> arguments_of(const LayerWord& word);

}  // namespace sigma
