// Stochastic gradient descent with momentum, as PyTorch's torch.optim.SGD:
//   d = g + weight_decay * p;   v = d on the first step, momentum * v + (1 - dampening) * d after;
//   p -= lr * (nesterov ? d + momentum * v : v).
// Sutskever et al. 2013 for Nesterov's form.
#pragma once

#include <vector>

#include "autograd/variable.h"

namespace sigma {

struct SGDOptions {
  double lr = 0.01;
  double momentum = 0;
  double dampening = 0;
  double weight_decay = 0;
  bool nesterov = false;  // needs momentum > 0 and dampening 0
};

struct ParameterGroup {
  std::vector<Variable> parameters;
  SGDOptions options;
};

class SGD {
 public:
  SGD(std::vector<Variable> parameters, SGDOptions options);
  explicit SGD(std::vector<ParameterGroup> groups);

  // Updates every parameter that has a gradient.
  void step();
  void zero_grad();
  void set_lr(double lr);  // of every group
  std::vector<ParameterGroup>& groups() { return groups_; }

  // Momentum buffers in the order of the parameters; undefined where no step has been made. For checkpoints.
  std::vector<Tensor> velocities() const { return velocities_; }
  void set_velocities(std::vector<Tensor> velocities);

 private:
  std::vector<ParameterGroup> groups_;
  std::vector<Tensor> velocities_;
};

// Scales all gradients so that their joint 2-norm is at most max_norm; returns the norm before. A norm that
// is not finite leaves the gradients as they are. As torch.nn.utils.clip_grad_norm_.
double clip_grad_norm(const std::vector<Variable>& parameters, double max_norm);

}  // namespace sigma
