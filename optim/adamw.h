// Adam with decoupled weight decay, as PyTorch's torch.optim.AdamW: before a step of Adam (see adam.h,
// without its decay) p *= 1 - lr * weight_decay. Loshchilov and Hutter 2019.
#pragma once

#include "optim/adam.h"

namespace sigma {

class AdamW : public Adam {
 public:
  AdamW(const std::vector<Variable>& parameters, AdamOptions options)
      : AdamW({group_of(parameters, options.lr, options.weight_decay)}, options) {}
  AdamW(std::vector<ParameterGroup> groups, AdamOptions options)
      : Adam("adamw", std::move(groups), options, true) {}
  std::string kind() const override { return "AdamW"; }
};

inline const OptimizerRegistration adamw_registration({
    .name = "adamw",
    .about = "Adam whose weight decay shrinks the weights by themselves",
    .lr = 1e-3,
    .weight_decay = 0.01,
    .hyper = adam_hyper_parameters(),
    .make = [](std::vector<ParameterGroup> groups, const HyperValues& v) -> std::unique_ptr<Optimizer> {
      return std::make_unique<AdamW>(std::move(groups), adam_options(v));
    },
});

}  // namespace sigma
