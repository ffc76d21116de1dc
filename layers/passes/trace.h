// What happens in a network: one forward pass of zeros, and a row for each layer it came through.
#pragma once

#include <string>
#include <vector>

#include "layers/module.h"

namespace sigma {

struct TraceRow {
  std::string path, kind, description;  // "layer1.0.conv1", "Conv2d", "Conv2d(16, 16, ...)"
  Shape in, out;                        // of a module of several inputs, the first
  int64_t parameters = 0;               // its own and those of all below
  int64_t macs = 0;                     // multiply-accumulates of this layer, see Module::macs
  bool leaf = true;                     // has no children
  Module* module = nullptr;             // the layer, as long as the network lives
};

// Rows in the order in which layers end: a container after what it holds, a layer that is called twice twice.
// In eval mode and without gradients; mode, statistics and hooks are afterwards as they were. Throws what the
// forward pass throws.
std::vector<TraceRow> trace(Module& model, const Variable& input);
std::vector<TraceRow> trace(Module& model, const Shape& input);  // zeros, of the parameters' type
// The rows of layers without children.
std::vector<TraceRow> trace_leaves(Module& model, const Shape& input);

int64_t total_macs(const std::vector<TraceRow>& rows);

}  // namespace sigma
