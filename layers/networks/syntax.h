// The syntax of networks as text (network_text.h says what it means): the tree that a text is, and the text
// of a tree. Reading checks the form alone, and what is read is bounded: a text may come from anywhere.
#pragma once

#include <string>
#include <vector>

#include "layers/layer_text.h"

namespace sigma::networks {

struct Word {
  std::string text;
  TextPlace at;
};

struct Argument {
  Word name, value;  // the name is empty when it is given by position
};

struct Item {
  enum class Kind { layer, piece, repeat, group, residual };
  Kind kind = Kind::layer;
  TextPlace at;
  Word label;  // "stem" of `stem: conv 16`
  Word word;   // of a layer or a piece; of a repetition, how often
  std::vector<Argument> arguments;
  std::vector<Item> body;      // of a repetition, a group or a residual
  std::vector<Item> shortcut;  // with has_shortcut
  Word shortcut_label;
  bool has_shortcut = false;
  bool breaks_line = false;  // it begins a line
};

// `let name(parameters) = { ... }`; the value of a parameter is its default, empty without one.
struct Piece {
  Word name;
  std::vector<Argument> parameters;
  std::vector<Item> body;
};

struct Tree {
  std::vector<Piece> pieces;
  std::vector<Item> items;
};

constexpr int kMaxDepth = 32;  // of braces in each other

// Throws TextError.
Tree parse(const std::string& text);
// One way to write it: parse(print(tree)) is the same tree, places aside. Comments are not part of it.
std::string print(const Tree& tree);

}  // namespace sigma::networks
