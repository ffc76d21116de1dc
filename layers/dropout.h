// Dropout (Srivastava et al. 2014): in training, zeroes each element with probability p and scales the rest
// by 1 / (1 - p); in eval, the identity. The mask is a function of (seed, path, step, call), so a resumed run
// draws the same ones. Saved for backward: the mask. Fails when p is no probability.
#pragma once

#include "core/rng.h"
#include "layers/table.h"

namespace sigma {

Variable dropout(const Variable& x, double p, Rng rng);

struct DropoutOptions {
  double p = 0.5;
};

class Dropout : public Module {
 public:
  static std::vector<LayerExample> examples();
  static std::vector<LayerWord> words();
  explicit Dropout(DropoutOptions options = {});
  Variable forward(const Variable& x) override;
  std::string kind() const override { return "Dropout"; }
  std::string describe() const override;
  void reset_parameters(uint64_t seed, const std::string& path) override;

 protected:
  void start_step(uint64_t step) override;

 private:
  double p_;
  uint64_t seed_ = 0, step_ = 0, calls_ = 0;
  std::string path_;
};
SIGMA_LAYER(Dropout);

}  // namespace sigma
