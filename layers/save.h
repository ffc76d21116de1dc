// A module's state in a file, and back.
#pragma once

#include <string>

#include "layers/module.h"

namespace sigma {

// Writes parameters and buffers under their names in state_dict() to a safetensors file, with a digest that
// load() checks. The file is there completely or as it was before. Throws kind io.
void save(const Module& module, const std::string& path);

// Reads such a file, or one of PyTorch's with the same names, into a module of the same structure. Strict:
// every name is there once, in its shape. Types convert. Throws kind io when the file cannot be read, kind
// data or checkpoint when it is damaged or does not fit; the module is then as it was.
void load(Module& module, const std::string& path);

}  // namespace sigma
