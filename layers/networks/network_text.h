// Networks as text.
//
//   # a comment, to the end of its line
//   conv 32, bn, relu, maxpool 2
//   conv 64, bn, relu, maxpool 2
//   flatten
//   linear 128, bn, relu
//   linear classes
//
// Items are separated by commas and line ends. An item is
//
//   word arguments            a layer: by position, or as stride=2. Every layer of the table has a word
//   (table.h),
//                             and takes what its LayerWord says; `sigma summary --words` is the list
//   { items }                 a group, layers one after the other under a name
//   residual { items }        body(x) + x; with { items } behind it, body(x) + shortcut(x)
//   N x item, N x { items }   the same N times
//   piece(arguments)          the items of a piece, which is named before by
//                             let piece(c, stride=1) = { items }
//   name: item                an item by a name of its own
//
// A value is a number, 3x5 for height and width, a word such as `same`, or arithmetic without spaces, 2*c/3.
// `classes` is the number of classes; sizes of inputs are inferred. conv pads a 3x3 kernel so that sizes stay
// (pad=same) and others not at all, unless it says; a pooling's stride is its kernel, unless it says.
//
// Names. What has no name is called by its kind, with a running number when there are several of that kind in
// its group: conv1, bn1, relu1, pool1, fc1. Groups and residual blocks are 0, 1, ... A residual block's
// layers are its own children; its shortcut is called "shortcut" unless `} downsample: {` says otherwise.
// Initial weights are drawn by name (module.h), so a layer that is added or left out moves no other's.
//
// `bn` is what --norm chooses: batch normalization, another one, or nothing. `bias=auto` of a layer is on
// where no normalization follows it in its group.
#pragma once

#include <optional>
#include <string>

#include "layers/module.h"

namespace sigma {

struct ModelInput {
  int64_t channels = 1, height = 28, width = 28, classes = 10;
  Shape shape(int64_t n) const { return {n, channels, height, width}; }
  std::string str() const { return fmt::format("{}x{}x{}", channels, height, width); }
};

// What stands where a text has `bn`: "batch", "none", "group:8" (group normalization of 8 groups) or "layer".
class Norm {
 public:
  Norm(bool batch_norm) : Norm(batch_norm ? "batch" : "none") {}  // NOLINT: implicit on purpose
  Norm(const char* kind) : Norm(std::string(kind)) {}             // NOLINT
  Norm(std::string kind);                                         // NOLINT. Throws kind usage for another one
  const std::string& kind() const { return kind_; }
  std::optional<std::string> word() const;  // "bn", "groupnorm", "layernorm"; none for "none"
  int64_t groups() const { return groups_; }

 private:
  std::string kind_;
  int64_t groups_ = 0;
};

// Builds the network of a text for images of a size; weights are not drawn yet (initialize). Throws kind
// usage: "network: line 3, column 7: ..." for what the text gets wrong, naming the nearest known word, and
// for a layer that does not fit, naming the shape before it. A text is bounded in length, depth, layers,
// parameters and sizes before anything is allocated: it may come from anywhere.
ModulePtr build_network(const std::string& text, const ModelInput& input, const Norm& norm = true);
constexpr size_t kMaxNetworkText = 1 << 16;  // bytes
// Throws as build_network for what is wrong whatever the input.
void check_network_text(const std::string& text);
// The one way to write it, without comments: the network of canonical_text(text) is that of text.
std::string canonical_text(const std::string& text);

}  // namespace sigma
