// Pooling over (N, C, H, W). Output sizes are
//
//   OH = floor((H + 2 padding - kernel) / stride) + 1, OW alike
//
// Saved for backward: the position of each maximum (max pooling), sizes only (mean pooling). Each can be
// differentiated once. Fails when the window does not fit the padded image.
#pragma once

#include "layers/table.h"

namespace sigma {

struct PoolOptions {
  Pair kernel = 2;
  Pair stride = 0;   // 0: as the kernel
  Pair padding = 0;  // at most half the kernel
};
struct AvgPoolOptions {
  Pair kernel = 2;
  Pair stride = 0;
  Pair padding = 0;
  bool count_include_pad = true;  // padding counts as zeros in the mean
};

Variable max_pool2d(const Variable& x, const PoolOptions& options);
Variable avg_pool2d(const Variable& x, const AvgPoolOptions& options);
// Means over an `output` grid of nearly equal windows: rows floor(i H / OH) to ceil((i+1) H / OH) - 1,
// columns alike.
Variable adaptive_avg_pool2d(const Variable& x, Pair output);

class MaxPool2d : public Module {
 public:
  static std::vector<LayerExample> examples();
  static std::vector<LayerWord> words();
  explicit MaxPool2d(PoolOptions options = {}) : options_(options) {}
  Variable forward(const Variable& x) override { return max_pool2d(x, options_); }
  std::string kind() const override { return "MaxPool2d"; }
  Role role() const override { return role_of(*this, Role::max_pool); }
  const PoolOptions& options() const { return options_; }
  std::string describe() const override;

 private:
  PoolOptions options_;
};
SIGMA_LAYER(MaxPool2d);

class AvgPool2d : public Module {
 public:
  static std::vector<LayerExample> examples();
  static std::vector<LayerWord> words();
  explicit AvgPool2d(AvgPoolOptions options = {}) : options_(options) {}
  Variable forward(const Variable& x) override { return avg_pool2d(x, options_); }
  std::string kind() const override { return "AvgPool2d"; }
  std::string describe() const override;

 private:
  AvgPoolOptions options_;
};
SIGMA_LAYER(AvgPool2d);

class AdaptiveAvgPool2d : public Module {
 public:
  static std::vector<LayerExample> examples();
  static std::vector<LayerWord> words();
  explicit AdaptiveAvgPool2d(Pair output) : output_(output) {}
  Variable forward(const Variable& x) override { return adaptive_avg_pool2d(x, output_); }
  std::string kind() const override { return "AdaptiveAvgPool2d"; }
  std::string describe() const override {
    return fmt::format("AdaptiveAvgPool2d(output_size={})", output_.str());
  }

 private:
  Pair output_;
};
SIGMA_LAYER(AdaptiveAvgPool2d);

// (N, C, H, W) to (N, C, 1, 1).
class GlobalAvgPool2d : public Module {
 public:
  static std::vector<LayerExample> examples();
  static std::vector<LayerWord> words();
  Variable forward(const Variable& x) override { return adaptive_avg_pool2d(x, 1); }
  std::string kind() const override { return "GlobalAvgPool2d"; }
};
SIGMA_LAYER(GlobalAvgPool2d);

}  // namespace sigma
