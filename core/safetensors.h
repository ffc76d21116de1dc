// safetensors: named tensors in one file, no code in it. Format: https://github.com/huggingface/safetensors
//
// u64 little-endian N, N bytes of JSON, data. The reader is strict: the header is at most 8 MiB and 65,536
// tensors, sizes are checked for overflow, offsets must tile the data without holes, keys must not repeat.
// Anything else is an Error of kind checkpoint that names the file and the place.
//
// Element types are F32, F64, U8, I64, BF16 and C64. The format has no complex128: writing one is an error.
#pragma once

#include <map>
#include <string>

#include "core/file.h"
#include "core/tensor.h"

namespace sigma {

struct SafeTensors {
  std::map<std::string, Tensor> tensors;  // contiguous; any dtype but complex128
  std::map<std::string, std::string> metadata;
};

SafeTensors load_safetensors(const std::string& path);
SafeTensors parse_safetensors(const Bytes& bytes, const std::string& place);

// Writes atomically (see write_file_atomic). Tensors are ordered by element size, then name, so that each is
// aligned.
void save_safetensors(const std::string& path, const SafeTensors& content);
std::string serialize_safetensors(const SafeTensors& content);

// Adds metadata "sha256", a digest of all names, shapes, values and other metadata; verify_digest recomputes
// it and throws kind checkpoint when it differs. Files without a digest (from elsewhere) pass.
void add_digest(SafeTensors& content);
void verify_digest(const SafeTensors& content, const std::string& place);

}  // namespace sigma
