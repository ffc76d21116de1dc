// Augmentations: what a training image may look like another time. Each is a file in this folder and a row of
// the table, under the name that --augment and its like take; the random numbers of each are a stream of its
// own, so that one more moves none of the others.
#pragma once

#include <string>
#include <vector>

#include "core/rng.h"
#include "core/tensor.h"
#include "data/formats/image.h"

namespace sigma {

struct AugmentationRow {
  std::string name, about;  // what it does, with what probabilities
  // Changes the pixels of an image, not its size. Null for flip and crop, which are a matter of where pixels
  // are read from (normalized_images).
  void (*change)(Image& image, Rng rng) = nullptr;
  // Mixes each image of a batch, floats (N, C, H, W) channels_last, with the one before it, the first with
  // the last; returns the weight w of the own label in the loss, the other's being 1 - w.
  double (*mix)(Tensor& batch, Rng rng) = nullptr;
};
// In the order in which they are applied.
const std::vector<AugmentationRow>& augmentation_table();

enum class Padding { zero, reflect };
struct Augmentation {
  bool flip = false;  // left to right, with probability 1/2
  // A window of the original size from the image padded by `pad` pixels; of images that have sizes of their
  // own a window of any size, brought to that of all: see resized_crop.h.
  bool crop = false;
  int64_t pad = 4;
  Padding padding = Padding::reflect;
  std::vector<const AugmentationRow*> changes{}, mixes{};  // in the order of the table
};
// "none", or names of the table joined by +, in any order. Throws kind usage, with the place "augment".
Augmentation parse_augmentation(const std::string& text);
std::string augmentation_usage();  // "none|flip|crop|..., joined by +"

}  // namespace sigma
