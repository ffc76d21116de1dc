// AdamW against PyTorch over 50 steps.
#include "optim/adamw.h"

#include "tests/support/adaptive.h"
#include "tests/support/support.h"

using namespace sigma;
using namespace sigma::test;

TEST_CASE("50 steps of AdamW agree with PyTorch to 1e-12", "[golden][optim]") {
  compare_with_golden("adamw", [](std::vector<ParameterGroup> groups, const nlohmann::json& options) {
    return std::make_unique<AdamW>(std::move(groups), adam_options_of(options));
  });
}

TEST_CASE("AdamW's decay is apart from the gradient", "[optim]") {
  Variable p(Tensor::from<double>({4}, {1}), true);
  AdamW optimizer({p}, {.lr = 0.5, .weight_decay = 0.5});
  p.set_grad(Tensor::zeros({1}, DType::float64));
  optimizer.step();
  CHECK(p.item() == 3);  // 4 (1 - 0.5 * 0.5), and no step along a gradient of zero
}
