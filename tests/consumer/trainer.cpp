// A user's program: both forms of include, and a step of training.
#include <sigma/layers/conv2d.h>
#include <sigma/sigma.h>

#include "layers/linear.h"

int main() {
  sigma::Linear layer(3, 2);
  sigma::initialize(layer, 0);
  sigma::SGD sgd(layer.parameters(), {.lr = 0.1});
  sigma::sum(layer(sigma::Variable(sigma::Tensor::ones({4, 3})))).backward();
  sgd.step();
  return sigma::all_finite(layer.parameters()[0].value()) ? 0 : 1;
}
