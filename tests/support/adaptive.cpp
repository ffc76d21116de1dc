#include "tests/support/adaptive.h"

#include <cmath>

#include "core/math.h"
#include "tests/support/golden.h"
#include "tests/support/support.h"

namespace sigma::test {
namespace {

// max |a - b| / max |b|
double relative_difference(const Tensor& a, const Tensor& b) {
  double largest = 0;
  for (double v : b.to_vector()) largest = std::max(largest, std::fabs(v));
  return max_abs_difference(a, b) / std::max(largest, 1e-300);
}

}  // namespace

AdamOptions adam_options_of(const nlohmann::json& options) {
  return {.beta1 = options.at("beta1"),
          .beta2 = options.at("beta2"),
          .epsilon = options.at("epsilon"),
          .amsgrad = options.at("amsgrad") == 1};
}

void compare_with_golden(const std::string& name,
                         const std::function<std::unique_ptr<Optimizer>(std::vector<ParameterGroup>,
                                                                        const nlohmann::json&)>& make) {
  double worst = 0;
  for (const GoldenCase& c : load_golden(name)) {
    INFO(c.name);
    std::vector<Variable> parameters;
    std::vector<ParameterGroup> groups;
    for (size_t k = 0; k < 3; ++k) {
      parameters.emplace_back(c["p" + std::to_string(k)].clone(), true);
      groups.push_back({{{std::to_string(k), parameters[k]}}, c.options["rates"][k], c.options["decays"][k]});
    }
    auto optimizer = make(groups, c.options);
    const int64_t steps = c.options.at("steps");
    double difference = 0;
    for (int64_t step = 0; step < steps; ++step) {
      optimizer->zero_grad();
      for (size_t k = 0; k < 3; ++k)
        if (c["present"].at({step, static_cast<int64_t>(k)}) != 0)
          parameters[k].set_grad(
              slice(c["g" + std::to_string(k)], 0, step, 1).reshape(parameters[k].shape()).clone());
      optimizer->set_lr([&](double own) { return own * c["factor"].at({step}); });
      optimizer->step();
      for (size_t k = 0; k < 3; ++k)
        difference = std::max(
            difference,
            relative_difference(
                parameters[k].value(),
                slice(c["a" + std::to_string(k)], 0, step, 1).reshape(parameters[k].shape()).clone()));
    }
    CHECK(difference <= 1e-12);
    for (auto& [key, t] : optimizer->state_dict()) {
      const size_t dot = key.rfind('.');
      const Tensor& theirs = c["s" + key.substr(dot + 1) + "." + key.substr(0, dot)];
      INFO(key);
      CHECK(relative_difference(t.to(DType::float64), theirs) <= 1e-12);
    }
    worst = std::max(worst, difference);
  }
  CHECK(worst > 0);  // something was compared
}

}  // namespace sigma::test
