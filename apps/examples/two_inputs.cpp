// A module of two inputs: is the sum of two written digits at least ten? Each picture goes through a branch
// of its own; what the branches found is joined.
#include <fmt/core.h>
#include <sigma/sigma.h>

#include <vector>

using namespace sigma;

std::shared_ptr<Sequential> make_branch() {
  auto branch = std::make_shared<Sequential>();
  branch->add<Conv2d>("conv", 1, 8, Conv2dOptions{.kernel = 5, .stride = 2});
  branch->add<BatchNorm2d>("bn", 8);
  branch->add<ReLU>("relu");
  branch->add<MaxPool2d>("pool", PoolOptions{.kernel = 2});
  branch->add<Flatten>("flatten");
  branch->add<Linear>("fc", 8 * 6 * 6, 16);
  return branch;
}

// Implement forward_inputs instead of forward, and the module takes a list.
class SumIsLarge : public Module {
 public:
  SumIsLarge()
      : left(register_module("left", make_branch())),
        right(register_module("right", make_branch())),
        head(register_module("head", std::make_shared<Linear>(32, 2))) {}
  Variable forward_inputs(const Variables& pictures) override {
    Variable found = cat({(*left)(pictures[0]), (*right)(pictures[1])}, 1);
    return (*head)(relu(found));
  }
  std::string kind() const override { return "SumIsLarge"; }

 private:
  std::shared_ptr<Sequential> left, right;
  std::shared_ptr<Linear> head;
};

int main() {
  Dataset data = make_synth_digits(4000, 100);
  Normalization normalization = make_normalization("standard", data);
  Loader loader(data.train, {.batch_size = 200, .normalization = normalization});
  SumIsLarge net;
  initialize(net, 0);
  SGD sgd(net.parameters(), {.lr = 0.05, .momentum = 0.9});

  // A batch of 200 digits makes 100 pairs: the first half against the second.
  double accuracy = 0;
  for (int step = 0; step < 300; ++step) {
    Batch batch = loader.next();
    Tensor a = slice(batch.images, 0, 0, 100), b = slice(batch.images, 0, 100, 100);
    const int64_t* digit = batch.labels.data<int64_t>();
    std::vector<int64_t> large;
    for (int i = 0; i < 100; ++i) large.push_back(digit[i] + digit[100 + i] >= 10);
    Tensor labels = Tensor::from(large, {100});

    Variable logits = net(Variable(a), Variable(b));
    Variable loss = cross_entropy(logits, labels);
    loss.backward();
    sgd.step();
    sgd.zero_grad();

    Tensor guess = argmax(logits.value(), 1);
    double right = 0;
    for (int i = 0; i < 100; ++i) right += guess.data<int64_t>()[i] == large[static_cast<size_t>(i)];
    accuracy = 0.9 * accuracy + 0.1 * right / 100;  // of pairs not seen before, in the first epoch
    if (step % 50 == 49)
      fmt::print("step {:3}  loss {:.3f}  pairs right {:.1f}%\n", step + 1, loss.item(), 100 * accuracy);
  }
  return accuracy > 0.7 ? 0 : 1;  // a guess would be right half of the time
}
