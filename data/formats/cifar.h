// CIFAR binary files (https://www.cs.toronto.edu/~kriz/cifar.html): records of 1 (10 classes) or 2 (100
// classes: coarse, fine) label bytes, then 32x32 red, green and blue planes.
#pragma once

#include "core/file.h"
#include "data/dataset.h"

namespace sigma {

// data_batch_1..5.bin and test_batch.bin, or train.bin and test.bin; class names from batches.meta.txt or
// fine_label_names.txt, where they are there. Throws kind io when a file is missing, kind data when it is
// malformed.
Dataset load_cifar(const std::string& folder, bool hundred);

// One file: images (N, 3, 32, 32) and labels.
Split parse_cifar(const Bytes& bytes, const std::string& place, bool hundred);

}  // namespace sigma
