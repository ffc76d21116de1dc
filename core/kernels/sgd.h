// The update of stochastic gradient descent with momentum, over all parameters in one parallel loop.
#pragma once

#include <cstdint>

namespace sigma::kernels {

//   d = g + weight_decay * p;   v = first ? d : momentum * v + (1 - dampening) * d;
//   p -= lr * (nesterov ? d + momentum * v : v)
struct SgdStep {
  double lr, momentum, dampening, weight_decay;
  bool nesterov, first;  // first: the velocity is set to the gradient, as in PyTorch
};
// A parameter p of n elements has gradient g and velocity v, which may be null when momentum is 0.
template <class T>
struct SgdParameter {
  int64_t n;
  SgdStep step;
  const T* g;
  T* v;
  T* p;
};
// T is float or double.
template <class T>
void sgd_update(const SgdParameter<T>* parameters, int64_t count);

}  // namespace sigma::kernels
