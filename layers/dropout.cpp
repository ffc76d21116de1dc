#include "layers/dropout.h"

#include "autograd/ops.h"

namespace sigma {

Variable dropout(const Variable& x, double p, Rng rng) {
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

Dropout::Dropout(DropoutOptions options) : p_(options.p) {
  SIGMA_CHECK(p_ >= 0 && p_ <= 1, "dropout", "expected a probability, got {}", p_);
}

Variable Dropout::forward(const Variable& x) {
  if (!is_training() || p_ == 0) return x;
  return dropout(x, p_, Rng(seed_, "dropout/" + path_, (step_ << 16) + calls_++));
}

std::string Dropout::describe() const { return fmt::format("Dropout(p={})", p_); }

void Dropout::reset_parameters(uint64_t seed, const std::string& path) {
  seed_ = seed;
  path_ = path;
  start_step(0);
}

void Dropout::start_step(uint64_t step) {
  step_ = step;
  calls_ = 0;
}

std::vector<LayerExample> Dropout::examples() {
  return {example<Dropout>("p 0.4", {5, 8}, DropoutOptions{.p = 0.4})};
}

std::vector<LayerWord> Dropout::words() {
  return {{"dropout", "dropout", "P=0.5", [](const LayerText& t) {
             return planned<Dropout>(t.in(), 0, DropoutOptions{.p = t.number("p")});
           }}};
}

}  // namespace sigma
