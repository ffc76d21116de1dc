#include "optim/sgd.h"

#include <cmath>

#include "core/kernels/elementwise.h"
#include "core/math.h"

namespace sigma {
namespace {

void check_lr(double lr) {
  SIGMA_CHECK(lr >= 0 && std::isfinite(lr), "sgd", "expected a learning rate of at least 0, got {}", lr);
}

void check(const SGDOptions& o) {
  check_lr(o.lr);
  SIGMA_CHECK(
      o.momentum >= 0 && std::isfinite(o.momentum) && o.weight_decay >= 0 && std::isfinite(o.weight_decay),
      "sgd", "expected momentum and weight_decay of at least 0, got {} and {}", o.momentum, o.weight_decay);
  SIGMA_CHECK(std::isfinite(o.dampening), "sgd", "expected a finite dampening, got {}", o.dampening);
  SIGMA_CHECK(!o.nesterov || (o.momentum > 0 && o.dampening == 0), "sgd",
              "Nesterov momentum needs a momentum above 0 and no dampening");
}

}  // namespace

SGD::SGD(std::vector<Variable> parameters, SGDOptions options)
    : SGD(std::vector<ParameterGroup>{{std::move(parameters), options}}) {}

SGD::SGD(std::vector<ParameterGroup> groups) : groups_(std::move(groups)) {
  size_t count = 0;
  for (const ParameterGroup& g : groups_) {
    check(g.options);
    count += g.parameters.size();
  }
  velocities_.resize(count);
}

void SGD::step() {
  size_t index = 0;
  std::vector<Tensor> rearranged;  // gradients of another layout than their parameter
  std::vector<kernels::SgdParameter<float>> f32;
  std::vector<kernels::SgdParameter<double>> f64;
  for (ParameterGroup& group : groups_) {
    const SGDOptions& o = group.options;
    for (Variable& p : group.parameters) {
      Tensor& velocity = velocities_[index++];
      if (!p.grad().defined()) continue;
      SIGMA_CHECK(compute_dtype(p.dtype()) == p.dtype(), "sgd",
                  "expected float32 or float64 parameters, got {}", name_of(p.dtype()));
      Tensor g = p.grad().to(p.value().layout());
      if (!g.shares_storage(p.grad())) rearranged.push_back(g);
      bool first = o.momentum != 0 && !velocity.defined();
      if (first) velocity = Tensor::empty_like(p.value());
      kernels::SgdStep s{o.lr, o.momentum, o.dampening, o.weight_decay, o.nesterov, first};
      auto list = [&](auto& parameters, auto zero) {
        using T = decltype(zero);
        parameters.push_back({p.numel(), s, g.data<T>(),
                              o.momentum != 0 ? velocity.mutable_data<T>() : nullptr,
                              p.mutable_value().mutable_data<T>()});
      };
      if (p.dtype() == DType::float64)
        list(f64, double{});
      else
        list(f32, float{});
    }
  }
  kernels::sgd_update(f32.data(), static_cast<int64_t>(f32.size()));
  kernels::sgd_update(f64.data(), static_cast<int64_t>(f64.size()));
}

void SGD::zero_grad() {
  for (ParameterGroup& group : groups_)
    for (Variable& p : group.parameters) p.zero_grad();
}

void SGD::set_lr(double lr) {
  check_lr(lr);
  for (ParameterGroup& group : groups_) group.options.lr = lr;
}

void SGD::set_velocities(std::vector<Tensor> velocities) {
  SIGMA_CHECK(velocities.size() == velocities_.size(), "sgd", "expected {} momentum buffers, got {}",
              velocities_.size(), velocities.size());
  std::vector<Tensor> own;  // replaced only when all fit
  for (ParameterGroup& group : groups_)
    for (Variable& p : group.parameters) {
      const Tensor& v = velocities[own.size()];
      SIGMA_CHECK(!v.defined() || v.shape() == p.shape(), "sgd", "expected a momentum buffer {}, got {}",
                  p.shape().str(), v.shape().str());
      own.push_back(v.defined() ? v.to(p.dtype()).to(p.value().layout()).clone() : Tensor());
    }
  velocities_ = std::move(own);
}

double clip_grad_norm(const std::vector<Variable>& parameters, double max_norm) {
  SIGMA_CHECK(max_norm > 0, "clip_grad_norm", "expected a norm above 0, got {}", max_norm);
  double total = 0;
  for (const Variable& p : parameters)
    if (p.grad().defined()) {
      double n = norm2(p.grad());
      total += n * n;
    }
  double norm = std::sqrt(total), factor = max_norm / (norm + 1e-6);
  if (!std::isfinite(norm) || factor >= 1) return norm;
  for (Variable p : parameters) {
    if (!p.grad().defined()) continue;
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
