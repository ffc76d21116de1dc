// IDX files (http://yann.lecun.com/exdb/mnist): 00 00, the element type, the rank, big-endian sizes, data.
// Only type 08, unsigned bytes, is read.
#pragma once

#include "core/file.h"
#include "data/dataset.h"

namespace sigma {

// The MNIST family: {train,t10k}-{images-idx3,labels-idx1}-ubyte, plain or .gz. Throws kind io when a file is
// missing, kind data when it is malformed.
Dataset load_idx(const std::string& folder, std::vector<std::string> class_names);

// One IDX file. Nothing is allocated from its header before that has been compared with the size of the file.
struct IdxFile {
  std::vector<int64_t> dims;
  Bytes data;
};
IdxFile parse_idx(const Bytes& bytes, const std::string& place, int expected_rank);

}  // namespace sigma
