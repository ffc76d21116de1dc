// The words and signs of a network's text.
#pragma once

#include <string>
#include <vector>

#include "layers/networks/syntax.h"

namespace sigma::networks {

// A sign is one of { } ( ) , : = and "\n"; "" ends the text.
struct Token {
  std::string text;
  TextPlace at;
  bool is_word = false;
};

// Comments and spaces are left out. Throws TextError for what belongs to no text.
std::vector<Token> tokens_of(const std::string& text);
// How a message shows one: "end of line".
std::string shown(const Token& token);

}  // namespace sigma::networks
