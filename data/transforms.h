// What happens to an image between the data set and the network: augmentation on 8-bit pixels, then
// normalization to float.
#pragma once

#include <string>
#include <vector>

#include "core/rng.h"
#include "data/dataset.h"

namespace sigma {

// (pixel / 255 - mean) / std a channel, the transform written Normalize(mean, std) in the field. One value
// serves all channels.
struct Normalization {
  std::string kind = "unit";
  std::vector<double> mean{0}, std{1};
};
// "none" feeds pixels 0..255, "unit" divides by 255, "standard" subtracts the training set's channel means
// and divides by its standard deviations.
Normalization make_normalization(const std::string& kind, const Dataset& dataset);
std::string describe(const Normalization& n);  // "standard: mean 0.1307, std 0.3081"

enum class Padding { zero, reflect };
struct Augmentation {
  bool flip = false;  // left to right, with probability 1/2
  bool crop = false;  // a window of the original size from the image padded by `pad` pixels
  int64_t pad = 4;
  Padding padding = Padding::reflect;
};
Augmentation parse_augmentation(const std::string& text);  // none, flip, crop, flip+crop

// One image, [height][width][channels] 8 bit, to floats in the same order. The random numbers are those of
// `rng`, so a sample of an epoch looks the same however it is loaded.
void augment_and_normalize(const uint8_t* image, int64_t height, int64_t width, int64_t channels,
                           const Augmentation& augmentation, const Normalization& normalization, Rng rng,
                           float* out);

// A whole batch without augmentation: images `rows` of a split, as float (N, C, H, W) channels_last.
Tensor normalized_images(const Split& split, const std::vector<int64_t>& rows,
                         const Normalization& normalization);

}  // namespace sigma
