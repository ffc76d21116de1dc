#include "optim/clip.h"

#include <cmath>
#include <unordered_set>

#include "core/kernels/elementwise.h"
#include "core/math.h"

namespace sigma {

double clip_grad_norm(const std::vector<Variable>& parameters, double max_norm) {
  SIGMA_CHECK(max_norm > 0, "clip_grad_norm", "expected a norm above 0, got {}", max_norm);
  double total = 0;
  std::vector<Variable> moving;
  std::unordered_set<const VariableState*> seen;
  for (const Variable& p : parameters) {
    if (!p.grad().defined() || !seen.insert(p.state()).second) continue;
    moving.push_back(p);
    double n = norm2(p.grad());
    total += n * n;
  }
  double norm = std::sqrt(total), factor = max_norm / (norm + 1e-6);
  if (!std::isfinite(norm) || factor >= 1) return norm;
  for (Variable& p : moving) {
    const Tensor& g = p.grad();
    Tensor scaled = Tensor::empty_like(g);  // not in place: leaves may share one gradient
    dispatch_floating(g.dtype(), "clip_grad_norm", [&](auto zero) {
      using T = decltype(zero);
      kernels::scale(g.numel(), g.data<T>(), T(factor), scaled.mutable_data<T>());
    });
    p.set_grad(scaled);
  }
  return norm;
}

}  // namespace sigma
