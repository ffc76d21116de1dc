// Adam, as PyTorch's torch.optim.Adam. At step t of a parameter, counted from 1:
//
//   d = g + weight_decay * p;   m = beta1 * m + (1 - beta1) * d;   v = beta2 * v + (1 - beta2) * d^2;
//   p -= lr * m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon)
//
// and with amsgrad the largest v so far in the place of v. Kingma and Ba 2015; Reddi et al. 2018 for AMSGrad.
// State: exp_avg (m), exp_avg_sq (v), max_exp_avg_sq and step (t), PyTorch's names.
#pragma once

#include <cmath>

#include "core/kernels/adam.h"
#include "optim/optimizer.h"
#include "optim/optimizer_table.h"

namespace sigma {

struct AdamOptions {
  double lr = 1e-3;
  double beta1 = 0.9, beta2 = 0.999;  // at least 0, below 1
  double epsilon = 1e-8;
  double weight_decay = 0;
  bool amsgrad = false;
};

class Adam : public Optimizer {
 public:
  Adam(const std::vector<Variable>& parameters, AdamOptions options)
      : Adam({group_of(parameters, options.lr, options.weight_decay)}, options) {}
  // Rates and decays are the groups' own.
  Adam(std::vector<ParameterGroup> groups, AdamOptions options)
      : Adam("adam", std::move(groups), options, false) {}
  std::string kind() const override { return "Adam"; }

 protected:
  // decoupled: the decay shrinks the weights by lr * weight_decay instead of joining the gradient.
  Adam(std::string tag, std::vector<ParameterGroup> groups, AdamOptions options, bool decoupled)
      : Optimizer(tag, std::move(groups)), options_(options), decoupled_(decoupled) {
    for (double beta : {options.beta1, options.beta2})
      SIGMA_CHECK(beta >= 0 && beta < 1, tag, "expected betas of 0 to less than 1, got {} and {}",
                  options.beta1, options.beta2);
    SIGMA_CHECK(options.epsilon >= 0 && std::isfinite(options.epsilon), tag,
                "expected epsilon of at least 0, got {}", options.epsilon);
  }

  std::vector<Slot> slots() const override {
    std::vector<Slot> all{{"step", Slot::Kind::count}, {"exp_avg"}, {"exp_avg_sq", Slot::Kind::not_negative}};
    if (options_.amsgrad) all.push_back({"max_exp_avg_sq", Slot::Kind::not_negative});
    return all;
  }
  void update(const std::vector<Update>& updates) override {
    for (const Update& u : updates) ++*u.data<int64_t>(0);
    update_of<float>(updates);
    update_of<double>(updates);
  }

 private:
  kernels::AdamStep step_of(const Update& u) const {
    const AdamOptions& o = options_;
    const double t = static_cast<double>(*u.state[0].data<int64_t>());
    return {.step_size = u.lr / (1 - std::pow(o.beta1, t)),
            .root = std::sqrt(1 - std::pow(o.beta2, t)),
            .beta1 = o.beta1,
            .beta2 = o.beta2,
            .epsilon = o.epsilon,
            .weight_decay = decoupled_ ? 0 : u.weight_decay,
            .shrink = decoupled_ ? 1 - u.lr * u.weight_decay : 1};
  }
  template <class T>
  void update_of(const std::vector<Update>& updates) {
    std::vector<kernels::AdamParameter<T>> list;
    for (const Update& u : updates) {
      if (u.parameter.dtype() != dtype_of<T>) continue;
      Variable p = u.parameter;
      list.push_back({p.numel(), step_of(u), u.gradient.data<T>(), u.data<T>(1), u.data<T>(2),
                      options_.amsgrad ? u.data<T>(3) : nullptr, p.mutable_value().mutable_data<T>()});
    }
    kernels::adam_update(list.data(), static_cast<int64_t>(list.size()));
  }

  AdamOptions options_;
  bool decoupled_;
};

inline std::vector<HyperParameter> adam_hyper_parameters() {
  return {{.name = "beta1",
           .about = "of Adam: how slowly the mean of gradients moves",
           .initial = 0.9,
           .below = 1},
          {.name = "beta2",
           .about = "of Adam: how slowly the mean of their squares moves",
           .initial = 0.999,
           .below = 1},
          {.name = "epsilon", .about = "of Adam: added to the root of that mean", .initial = 1e-8},
          {.name = "amsgrad", .about = "of Adam: divide by the largest root so far", .is_switch = true}};
}
inline AdamOptions adam_options(const HyperValues& v) {
  return {.beta1 = v.at("beta1"),
          .beta2 = v.at("beta2"),
          .epsilon = v.at("epsilon"),
          .amsgrad = v.at("amsgrad") != 0};
}

inline const OptimizerRegistration adam_registration({
    .name = "adam",
    .about = "moments of the gradient, element by element",
    .lr = 1e-3,
    .weight_decay = 0,
    .hyper = adam_hyper_parameters(),
    .make = [](std::vector<ParameterGroup> groups, const HyperValues& v) -> std::unique_ptr<Optimizer> {
      return std::make_unique<Adam>(std::move(groups), adam_options(v));
    },
});

}  // namespace sigma
