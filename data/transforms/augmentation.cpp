#include "data/transforms/augmentation.h"

#include <algorithm>

#include "core/check.h"
#include "core/text.h"
#include "data/transforms/affine.h"
#include "data/transforms/color_jitter.h"
#include "data/transforms/cutout.h"
#include "data/transforms/mixing.h"

namespace sigma {

const std::vector<AugmentationRow>& augmentation_table() {
  static const std::vector<AugmentationRow> rows = {
      {"flip", "left to right, with probability 1/2"},
      {"crop", "a window of the image padded by 4 pixels; of a folder of any size 8 to 100% of the area"},
      {"rotate", "by -15 to 15 degrees", random_rotation},
      {"affine", "turned by -10 to 10 degrees, moved by up to 10%, scaled by 0.9 to 1.1, sheared by up to 10",
       random_affine},
      {"jitter", "brightness, contrast, saturation by 0.6 to 1.4, hue by up to 0.1 of the circle",
       color_jitter},
      {"cutout", "with probability 1/2 a rectangle of 2 to 33% of the area is black", cutout},
      {"mixup", "each image mixed with another by a weight from Beta(0.2, 0.2)", nullptr, mixup},
      {"cutmix", "a rectangle of each image from another, its area from Beta(1, 1)", nullptr, cutmix},
  };
  return rows;
}

std::string augmentation_usage() {
  std::string names = "none";
  for (const AugmentationRow& row : augmentation_table()) names += "|" + row.name;
  return names + ", joined by +";
}

Augmentation parse_augmentation(const std::string& text) {
  Augmentation a;
  if (text == "none") return a;
  const std::vector<std::string> names = split(text, '+');
  auto given = [&](const std::string& name) { return std::count(names.begin(), names.end(), name); };
  std::vector<std::string> known;
  for (const AugmentationRow& row : augmentation_table()) {
    known.push_back(row.name);
    if (given(row.name) > 1) fail(ErrorKind::usage, "augment", "{} is there twice in \"{}\"", row.name, text);
    if (given(row.name) == 0) continue;
    if (row.change) a.changes.push_back(&row);
    if (row.mix) a.mixes.push_back(&row);
  }
  for (const std::string& name : names)
    if (std::find(known.begin(), known.end(), name) == known.end())
      fail(ErrorKind::usage, "augment", "unknown kind \"{}\", expected none, or of {} some, joined by +",
           name, join(known, ", "));
  a.flip = given("flip") > 0;
  a.crop = given("crop") > 0;
  return a;
}

}  // namespace sigma
