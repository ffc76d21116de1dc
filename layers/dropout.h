// Dropout: in training, zeroes each element with probability p and scales the rest by 1/(1-p); in eval, the
// identity. Srivastava et al. 2014. The mask is a function of (seed, path, step, call), so a resumed run
// draws the same ones.
#pragma once

#include "autograd/ops.h"
#include "core/rng.h"
#include "layers/module.h"

namespace sigma {

inline Variable dropout(const Variable& x, double p, Rng rng) {
  SIGMA_CHECK(p >= 0 && p <= 1, "dropout", "expected a probability, got {}", p);
  Tensor mask = Tensor::empty(x.shape(), x.dtype());
  double keep = p < 1 ? 1 / (1 - p) : 0;
  dispatch_stored(x.dtype(), "dropout", [&](auto zero) {
    using T = decltype(zero);
    T* m = mask.mutable_data<T>();
    for (int64_t i = 0; i < mask.numel(); ++i)
      m[i] = rng.uniform_at(static_cast<uint64_t>(i)) < p ? T(0) : T(keep);
  });
  return mul(x, Variable(mask));
}

struct DropoutOptions {
  double p = 0.5;
};

class Dropout : public Module {
 public:
  explicit Dropout(DropoutOptions options = {}) : p_(options.p) {
    SIGMA_CHECK(p_ >= 0 && p_ <= 1, "dropout", "expected a probability, got {}", p_);
  }
  Variable forward(const Variable& x) override {
    if (!is_training() || p_ == 0) return x;
    return dropout(x, p_, Rng(seed_, "dropout/" + path_, (step_ << 16) + calls_++));
  }
  std::string kind() const override { return "Dropout"; }
  std::string describe() const override { return fmt::format("Dropout(p={})", p_); }
  void reset_parameters(uint64_t seed, const std::string& path) override {
    seed_ = seed;
    path_ = path;
    start_step(0);
  }

 protected:
  void start_step(uint64_t step) override {
    step_ = step;
    calls_ = 0;
  }

 private:
  double p_;
  uint64_t seed_ = 0, step_ = 0, calls_ = 0;
  std::string path_;
};

}  // namespace sigma
