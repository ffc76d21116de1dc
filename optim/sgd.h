// Stochastic gradient descent with momentum, as PyTorch's torch.optim.SGD:
//
//   d = g + weight_decay * p;   v = d on the first step, momentum * v + (1 - dampening) * d after;
//   p -= lr * (nesterov ? d + momentum * v : v)
//
// Sutskever et al. 2013 for Nesterov's form.
#pragma once

#include <cmath>

#include "core/kernels/sgd.h"
#include "optim/optimizer.h"
#include "optim/optimizer_table.h"

namespace sigma {

struct SGDOptions {
  double lr = 0.01;
  double momentum = 0;
  double dampening = 0;
  double weight_decay = 0;
  bool nesterov = false;  // needs momentum > 0 and dampening 0
};

class SGD : public Optimizer {
 public:
  SGD(const std::vector<Variable>& parameters, SGDOptions options)
      : SGD({group_of(parameters, options.lr, options.weight_decay)}, options) {}
  // Rates and decays are the groups' own.
  SGD(std::vector<ParameterGroup> groups, SGDOptions options)
      : Optimizer("sgd", std::move(groups)), options_(options) {
    SIGMA_CHECK(options.momentum >= 0 && std::isfinite(options.momentum), "sgd",
                "expected momentum of at least 0, got {}", options.momentum);
    SIGMA_CHECK(std::isfinite(options.dampening), "sgd", "expected a finite dampening, got {}",
                options.dampening);
    SIGMA_CHECK(!options.nesterov || (options.momentum > 0 && options.dampening == 0), "sgd",
                "Nesterov momentum needs a momentum above 0 and no dampening");
  }
  std::string kind() const override { return "SGD"; }

 protected:
  std::vector<Slot> slots() const override {
    if (options_.momentum == 0) return {};
    return {{"velocity"}};
  }
  void update(const std::vector<Update>& updates) override {
    update_of<float>(updates);
    update_of<double>(updates);
  }

 private:
  template <class T>
  void update_of(const std::vector<Update>& updates) {
    std::vector<kernels::SgdParameter<T>> list;
    const SGDOptions& o = options_;
    for (const Update& u : updates) {
      if (u.parameter.dtype() != dtype_of<T>) continue;
      Variable p = u.parameter;
      list.push_back({p.numel(),
                      {u.lr, o.momentum, o.dampening, u.weight_decay, o.nesterov, u.first},
                      u.gradient.data<T>(),
                      o.momentum != 0 ? u.data<T>(0) : nullptr,
                      p.mutable_value().mutable_data<T>()});
    }
    kernels::sgd_update(list.data(), static_cast<int64_t>(list.size()));
  }

  SGDOptions options_;
};

inline const OptimizerRegistration sgd_registration({
    .name = "sgd",
    .about = "stochastic gradient descent with momentum",
    .lr = 0.05,
    .weight_decay = 5e-4,
    .hyper = {{.name = "momentum", .about = "of SGD", .initial = 0.9, .below = 1},
              {.name = "nesterov", .about = "Nesterov momentum", .is_switch = true}},
    .make = [](std::vector<ParameterGroup> groups, const HyperValues& v) -> std::unique_ptr<Optimizer> {
      SGDOptions options{.momentum = v.at("momentum"), .nesterov = v.at("nesterov") != 0};
      return std::make_unique<SGD>(std::move(groups), options);
    },
});

}  // namespace sigma
