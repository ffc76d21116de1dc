// What happens to an image between the data set and the network: augmentation on 8-bit pixels, then
// normalization to float.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/rng.h"
#include "data/dataset.h"
#include "data/transforms/augmentation.h"
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

// Images `rows` of a split as floats (N, C, H, W) channels_last. The random numbers of augmentation are those
// of `rng(i)` for the i-th of the rows, and of its branches ".rotate" and so on, so a sample of an epoch
// looks the same however it is loaded. Mixing is not done here: it is a matter of whole batches.
Tensor normalized_images(const Split& split, const std::vector<int64_t>& rows,
                         const Normalization& normalization, const Augmentation& augmentation = {},
                         const std::function<Rng(int64_t i)>& rng = {});
// The same of an 8-bit tensor (N, C, H, W) channels_last.
inline Tensor normalized_images(const Tensor& images, const std::vector<int64_t>& rows,
                                const Normalization& normalization, const Augmentation& augmentation = {},
                                const std::function<Rng(int64_t i)>& rng = {}) {
  return normalized_images(Split{images, {}, nullptr}, rows, normalization, augmentation, rng);
}

// The way back: 255 (y std + mean), float32 (N, C, H, W) of pixels 0..255 with what rounding to float left.
// Throws kind usage for a whitening, which drops directions and so has no way back.
Tensor denormalized_images(const Tensor& normalized, const Normalization& normalization);

}  // namespace sigma
