// A training loop of your own, on tensors: a network of one hidden layer learns y = sin(3x) + x/2 from noisy
// samples. No data set, no loader, no trainer: forward, loss, backward, step.
#include <fmt/core.h>
#include <sigma/sigma.h>

#include <cmath>
#include <vector>

using namespace sigma;

double truth(double x) { return std::sin(3 * x) + x / 2; }

int main() {
  // 200 samples with noise of deviation 0.1. A stream of random numbers has a seed and a name.
  Rng rng(7, "samples");
  std::vector<float> xs, ys;
  for (int i = 0; i < 200; ++i) {
    double x = 4 * rng.next_uniform() - 2;
    xs.push_back(static_cast<float>(x));
    ys.push_back(static_cast<float>(truth(x) + 0.1 * rng.next_normal()));
  }
  Variable x(Tensor::from(xs, {200, 1})), y(Tensor::from(ys, {200, 1}));

  Sequential net;
  net.add<Linear>("hidden", 1, 64);
  net.add<Tanh>("tanh");
  net.add<Linear>("out", 64, 1);
  initialize(net, 0);
  SGD sgd(net.parameters(), {.lr = 0.05, .momentum = 0.9});

  double loss_value = 0;
  for (int step = 0; step < 3000; ++step) {
    Variable error = net(x) - y;
    Variable loss = mean(error * error);  // the operations record how to differentiate themselves
    loss.backward();                      // adds d loss / d p to the gradient of each parameter p
    sgd.step();
    sgd.zero_grad();
    loss_value = loss.item();
    if (step % 500 == 0) fmt::print("step {:4}  mean squared error {:.4f}\n", step, loss_value);
  }

  // What was learned, against the truth and not the noise. Without gradients nothing is recorded.
  NoGrad off;
  double worst = 0;
  for (double at = -1.75; at <= 1.75; at += 0.25) {
    double guess = net(Variable(Tensor::full({1, 1}, at))).item();
    worst = std::max(worst, std::abs(guess - truth(at)));
    fmt::print("f({:5.2f}) = {:6.3f}, truth {:6.3f}\n", at, guess, truth(at));
  }
  fmt::print("mean squared error {:.4f} (noise: 0.01), largest error against the truth {:.3f}\n", loss_value,
             worst);
  return loss_value < 0.03 && worst < 0.3 ? 0 : 1;
}
