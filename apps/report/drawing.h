// A network as a picture: its layers as boxes from top to bottom, residual connections as lines around what
// they pass, in as many columns as it takes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sigma {

struct LayerBox {
  std::string name, kind, shape;  // "layer1.0.conv1", "Conv2d", the shape of its output
  int64_t parameters = 0;
  bool marked = false;  // with an outline that stands out
};

// What is added to the output of boxes first to last - 1: what came into them, itself or through layers of
// its own.
struct SkipLine {
  size_t first = 0, last = 0;
  int level = 0;  // lines around others lie further out
  std::vector<LayerBox> layers;
};

struct NetworkDrawing {
  std::string title, input;
  std::vector<LayerBox> boxes;
  std::vector<SkipLine> skips;
};

// The file's bytes. Throws kind usage when a line passes boxes that there are not.
std::string to_svg(const NetworkDrawing& network);
std::string to_png(const NetworkDrawing& network);

}  // namespace sigma
