// A layer of your own: Swish, y = x * sigmoid(b x) with a learned b (Ramachandran et al. 2017).
#include <fmt/core.h>
#include <sigma/layers/checks.h>
#include <sigma/sigma.h>

using namespace sigma;

// [the layer]
class Swish : public Module {
 public:
  explicit Swish(double b = 1) : beta(register_parameter("beta", Tensor::full({}, b))) {}
  Variable forward(const Variable& x) override { return x * sigmoid(x * beta); }
  std::string kind() const override { return "Swish"; }
  Variable beta;
};
// [the layer]

int main() {
  // Arithmetic on Variables records its own gradient. The check compares it with differences, in float64.
  Swish swish(1.5);
  GradcheckResult check = gradcheck_module(swish, smooth_input({4, 6}, 1));
  fmt::print("gradient check: {} derivatives, largest error {:.1e}: {}\n", check.checked,
             check.worst_absolute, check.passed ? "ok" : check.message);

  // In a network it is a layer like any other.
  Sequential net;
  net.add<Conv2d>("conv", 1, 8, Conv2dOptions{.kernel = 3, .padding = 1});
  net.add<BatchNorm2d>("bn", 8);
  net.add<Swish>("swish");
  net.add<MaxPool2d>("pool", PoolOptions{.kernel = 4});
  net.add<Flatten>("flatten");
  net.add<Linear>("fc", 8 * 7 * 7, 10);
  initialize(net, 0);

  Dataset data = make_synth_digits(2000, 500);
  Loader loader(data.train, {.batch_size = 50, .normalization = make_normalization("standard", data)});
  SGD sgd(net.parameters(), {.lr = 0.05, .momentum = 0.9});
  double first = 0, last = 0;
  for (int step = 0; step < 120; ++step) {
    Batch batch = loader.next();
    Variable loss = cross_entropy(net(Variable(batch.images)), batch.labels);
    loss.backward();
    sgd.step();
    sgd.zero_grad();
    (step == 0 ? first : last) = loss.item();
  }
  fmt::print("loss {:.3f} at the start, {:.3f} after 120 steps; beta is now {:.3f}\n", first, last,
             net.find("swish")->parameters()[0].item());
  return check.passed && last < first / 2 ? 0 : 1;
}
