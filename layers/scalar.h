// Scale and Shift: one learned number for a whole layer, however many channels it has.
//
//   Scale   y = w x    SkipInit's multiplier at the end of a residual branch, which begins at 0 (De and Smith
//                      2020, arXiv 2002.10444), and Fixup's, which begins at 1 (Zhang et al. 2019)
//   Shift   y = x + b  Fixup's biases, which begin at 0
//
// x of any shape; the number, "weight" or "bias" of shape (1), begins at the value that is given. Weight
// decay usually leaves both out. Saved for backward: x for Scale, nothing for Shift. Can be differentiated
// any number of times. Fails for a value that is not finite.
#pragma once

#include "layers/table.h"

namespace sigma {

class Scale : public Module {
 public:
  static std::vector<LayerExample> examples();
  static std::vector<LayerWord> words();
  explicit Scale(double value = 1);
  Variable forward(const Variable& x) override;
  std::string kind() const override { return "Scale"; }
  std::string describe() const override { return fmt::format("Scale({})", value_); }
  bool decays(const std::string&) const override { return false; }
  void reset_parameters(uint64_t seed, const std::string& path) override;

  Variable weight;

 private:
  double value_;
};
SIGMA_LAYER(Scale);

class Shift : public Module {
 public:
  static std::vector<LayerExample> examples();
  static std::vector<LayerWord> words();
  explicit Shift(double value = 0);
  Variable forward(const Variable& x) override;
  std::string kind() const override { return "Shift"; }
  std::string describe() const override { return fmt::format("Shift({})", value_); }
  void reset_parameters(uint64_t seed, const std::string& path) override;

  Variable bias;

 private:
  double value_;
};
SIGMA_LAYER(Shift);

}  // namespace sigma
