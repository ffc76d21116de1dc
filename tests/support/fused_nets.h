// Networks whose neighbouring layers share passes, and a step of training of them with and without that.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "layers/module.h"
#include "tests/support/support.h"

namespace sigma::test {

template <class M, class... Args>
std::shared_ptr<M> make(Args&&... args) {
  return std::make_shared<M>(std::forward<Args>(args)...);
}

struct FusedNet {
  const char* what;
  std::function<ModulePtr()> make_net;
  Shape input;
  const char *fused, *alone;  // the last function, with and without fusion
};
const std::vector<FusedNet>& fused_nets();

// Initial values, with norms that are not the identity, so that a weight or bias left out shows.
ModulePtr prepared(ModulePtr net);

struct Step {
  std::map<std::string, Tensor> values;  // output, gradients, buffers
  std::string function;  // which gave the output: "relu" by itself, "batch_norm" when it took the ReLU along
};

// One training step's forward and backward pass; the net has its old state afterwards.
Step step(Module& net, const Tensor& x, bool fused, bool input_gradient = true);

// `tolerance` is relative to the largest value of a tensor, at least 1; 0 asks for every bit.
void check_same(const Step& got, const Step& expected, double tolerance);

}  // namespace sigma::test
