// The update of Adam and AdamW, over all parameters in one parallel loop.
#pragma once

#include <cstdint>

namespace sigma::kernels {

//   p *= shrink;   d = g + weight_decay * p;
//   m = beta1 * m + (1 - beta1) * d;   v = beta2 * v + (1 - beta2) * d * d;   w = max(w, v);
//   p -= step_size * m / (sqrt(w or v) / root + epsilon)
struct AdamStep {
  double step_size;  // lr / (1 - beta1^t)
  double root;       // sqrt(1 - beta2^t)
  double beta1, beta2, epsilon;
  double weight_decay;  // Adam's; AdamW has 0
  double shrink;        // AdamW's 1 - lr * weight_decay; Adam has 1
};
// A parameter p of n elements has gradient g, means m and v of it and its square, and with AMSGrad the
// largest v so far, w, which is null otherwise.
template <class T>
struct AdamParameter {
  int64_t n;
  AdamStep step;
  const T* g;
  T* m;
  T* v;
  T* w;
  T* p;
};
// T is float or double.
template <class T>
void adam_update(const AdamParameter<T>* parameters, int64_t count);

}  // namespace sigma::kernels
