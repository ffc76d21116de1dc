// A tree (syntax.h) without pieces and repetitions: every layer there will be, with its arguments and its
// name.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "layers/networks/network_text.h"
#include "layers/networks/syntax.h"

namespace sigma::networks {

struct Part {
  enum class Kind { layer, group, residual };
  Kind kind = Kind::layer;
  TextPlace at;
  std::string name;
  const LayerWord* word = nullptr;  // of a layer
  std::string named;                // what it is called without a name of its own: "conv"
  LayerText::Values values;
  bool norm_follows = false;
  std::vector<Part> body, shortcut;
  std::string shortcut_name;  // empty: there is none
  LayerPlan plan;             // of a layer, once shapes are known (network_text.cpp)
};

constexpr size_t kMaxLayers = 10000;
constexpr int64_t kMaxRepeats = 1000;
constexpr int kMaxExpansion = 100;  // of items in each other

class Expander {
 public:
  // `words` must live as long as the nodes.
  Expander(const std::map<std::string, LayerWord>& words, const Tree& tree, const Norm& norm, int64_t classes)
      : words_(words), tree_(tree), norm_(norm), classes_(classes) {}
  std::vector<Part> nodes();
  // The names that a number may come from.
  static std::vector<std::string> known_names() { return {"classes"}; }

 private:
  using Scope = std::map<std::string, TextValue>;
  std::vector<Part> named(const std::vector<Item>& items, const Scope& scope);
  void expand_inline(const Item& item, const Scope& scope, std::vector<Part>& out);
  void expand(const Item& item, const Scope& scope, std::vector<Part>& out);
  void expand_all(const std::vector<Item>& items, const Scope& scope, std::vector<Part>& out);
  void expand_layer(const Item& item, const Scope& scope, std::vector<Part>& out);
  Scope arguments_of_piece(const Piece& piece, const Item& item, const Scope& scope) const;
  const LayerWord& word_of(const Item& item) const;
  LayerText::Values values_of(const LayerWord& word, const Item& item, const Scope& scope) const;
  void count(TextPlace at);

  const std::map<std::string, LayerWord>& words_;
  const Tree& tree_;
  const Norm& norm_;
  int64_t classes_;
  size_t steps_ = 0;
  int depth_ = 0;
};

// "2*c", "3x5" or "same" with the values of names; a word that is no name stays a word.
TextValue evaluate(const Word& word, const std::map<std::string, TextValue>& scope);

}  // namespace sigma::networks
