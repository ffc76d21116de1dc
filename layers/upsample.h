// Upsample: images enlarged by whole factors, PyTorch's Upsample with align_corners=False.
//
//   nearest   y[i] = x[i / scale], rounded down
//   bilinear  y[i] = (1 - t) x[k] + t x[k + 1] in both directions, where max(0, (i + 1/2) / scale - 1/2) = k
//   + t;
//             beyond the last pixel it goes on
//
//   x (N, C, H, W)   y (N, C, H scale, W scale)
//
// Saved for backward: sizes only. Can be differentiated once. Fails for a scale below 1.
#pragma once

#include "layers/table.h"

namespace sigma {

enum class UpsampleMode { nearest, bilinear };

Variable upsample(const Variable& x, Pair scale, UpsampleMode mode = UpsampleMode::nearest);

struct UpsampleOptions {
  Pair scale = 2;
  UpsampleMode mode = UpsampleMode::nearest;
};

class Upsample : public Module {
 public:
  static std::vector<LayerExample> examples();
  static std::vector<LayerWord> words();
  explicit Upsample(UpsampleOptions options = {});
  Variable forward(const Variable& x) override { return upsample(x, options_.scale, options_.mode); }
  std::string kind() const override { return "Upsample"; }
  std::string describe() const override;
  // Bilinear: four products a value.
  int64_t macs(const Shape&, const Shape& out) const override {
    return options_.mode == UpsampleMode::bilinear ? 4 * out.numel() : 0;
  }

 private:
  UpsampleOptions options_;
};
SIGMA_LAYER(Upsample);

}  // namespace sigma
