// What happens to an image between the data set and the network: augmentation on 8-bit pixels, then
// normalization to float.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/rng.h"
#include "data/dataset.h"
#include "data/transforms/whitening.h"

namespace sigma {

// (pixel / 255 - mean) / std a channel, the transform written Normalize(mean, std) in the field. One value
// serves all channels.
struct Normalization {
  std::string kind = "unit";
  std::vector<double> mean{0}, std{1};
  std::shared_ptr<const Whitening> whitening;  // zca and pca: applied to pixels / 255 after the above
};
// "none" feeds pixels 0..255, "unit" divides by 255, "standard" subtracts the training set's channel means
// and divides by its standard deviations; "zca" and "pca" whiten, see whitening.h, which `epsilon` is for.
Normalization make_normalization(const std::string& kind, const Dataset& dataset, double epsilon = 0);
const std::vector<std::string>& normalization_kinds();
std::string describe(const Normalization& n);  // "standard: mean 0.1307, std 0.3081"

enum class Padding { zero, reflect };
struct Augmentation {
  bool flip = false;  // left to right, with probability 1/2
  bool crop = false;  // a window of the original size from the image padded by `pad` pixels
  int64_t pad = 4;
  Padding padding = Padding::reflect;
};
Augmentation parse_augmentation(const std::string& text);  // none, flip, crop, flip+crop

// Images `rows` of a 8-bit tensor (N, C, H, W) channels_last, as floats in the same layout. The random
// numbers of augmentation are those of `rng(row)`, so a sample of an epoch looks the same however it is
// loaded.
Tensor normalized_images(const Tensor& images, const std::vector<int64_t>& rows,
                         const Normalization& normalization, const Augmentation& augmentation = {},
                         const std::function<Rng(int64_t row)>& rng = {});
inline Tensor normalized_images(const Split& split, const std::vector<int64_t>& rows,
                                const Normalization& normalization) {
  return normalized_images(split.images, rows, normalization);
}

}  // namespace sigma
