#include "layers/checks.h"

#include <algorithm>
#include <cmath>

#include "core/math.h"
#include "core/rng.h"

namespace sigma {
namespace {

// Takes a module to float64 on copies of its values; at the end of the scope it has its own back, every bit.
class Untouched {
 public:
  explicit Untouched(Module& module) {
    for (auto* list : {&parameters_, &buffers_})
      for (auto& [name, v] : list == &parameters_ ? module.named_parameters() : module.named_buffers())
        list->push_back({v, v.value(), v.grad()});
    for (auto* list : {&parameters_, &buffers_})
      for (Saved& s : *list)
        s.variable.mutable_value() =
            is_floating(s.value.dtype()) ? s.value.to(DType::float64).clone() : s.value.clone();
    for (Saved& s : parameters_) s.variable.zero_grad();
  }
  Untouched(const Untouched&) = delete;
  Untouched& operator=(const Untouched&) = delete;
  ~Untouched() {
    for (auto* list : {&parameters_, &buffers_})
      for (Saved& s : *list) {
        s.variable.mutable_value() = s.value;
        s.variable.set_grad(s.gradient);
      }
  }

 private:
  struct Saved {
    Variable variable;
    Tensor value, gradient;
  };
  std::vector<Saved> parameters_, buffers_;
};

}  // namespace

Tensor smooth_input(const Shape& shape, uint64_t seed) {
  Tensor x = Tensor::empty(shape, DType::float64);
  int64_t n = x.numel();
  Rng rng(seed, "smooth input");
  std::vector<double> values;
  for (int64_t i = 0; i < n; ++i) values.push_back(rng.next_normal());
  std::sort(values.begin(), values.end());
  // Pushes neighbours apart, away from 0 on both sides.
  auto middle = std::lower_bound(values.begin(), values.end(), 0.0) - values.begin();
  double last = 0;
  for (auto i = middle; i < static_cast<std::ptrdiff_t>(n); ++i) {
    auto k = static_cast<size_t>(i);
    last = values[k] = std::max(values[k], last + 1e-3);
  }
  last = 0;
  for (auto i = middle; i-- > 0;) {
    auto k = static_cast<size_t>(i);
    last = values[k] = std::min(values[k], last - 1e-3);
  }
  auto order = permutation(n, Rng(seed, "smooth order"));
  double* p = x.mutable_data<double>();
  for (int64_t i = 0; i < n; ++i) p[i] = values[static_cast<size_t>(order[static_cast<size_t>(i)])];
  return x;
}

GradcheckResult gradcheck_module(Module& module, const Tensor& x, GradcheckOptions options) {
  const Untouched keep(module);
  // Checked at random values: batch norm's initial 1 and 0 would hide a mistake in their use.
  uint64_t stream = 0;
  for (auto& [name, p] : module.named_parameters())
    if (p.rank() == 1) {
      Rng rng(options.seed, "gradcheck parameter", stream++);
      double* v = p.mutable_value().mutable_data<double>();
      for (int64_t i = 0; i < p.numel(); ++i) v[i] += rng.next_uniform(-0.5, 0.5);
    }
  Variable input(x.to(DType::float64).clone(), true);
  Variables leaves{input};
  for (Variable& p : module.parameters()) leaves.push_back(p);
  return gradcheck_leaves(
      [&] {
        module.set_step(0);  // the same random numbers in every evaluation
        return module(input);
      },
      leaves, options);
}

}  // namespace sigma
