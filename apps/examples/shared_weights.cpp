// Shared weights: a siamese network (Bromley et al. 1994) tells whether two written digits are the same. Both
// pictures go through one and the same encoder; its gradient is the sum of what the two passes ask for.
#include <fmt/core.h>
#include <sigma/sigma.h>

#include <vector>

using namespace sigma;

class Siamese : public Module {
 public:
  Siamese() : encoder(register_module("encoder", std::make_shared<Sequential>())) {
    encoder->add<Conv2d>("conv", 1, 8, Conv2dOptions{.kernel = 5, .stride = 2});
    encoder->add<BatchNorm2d>("bn", 8);
    encoder->add<ReLU>("relu");
    encoder->add<MaxPool2d>("pool", PoolOptions{.kernel = 2});
    encoder->add<Flatten>("flatten");
    encoder->add<Linear>("fc", 8 * 6 * 6, 16);
  }
  // (N, 2): "different" and "same" from the squared distance d of the two codes: logits (d, margin).
  Variable forward_inputs(const Variables& pictures) override {
    Variable difference = (*encoder)(pictures[0]) - (*encoder)(pictures[1]);
    Variable distance = mean(difference * difference, {1}, true);
    return cat({distance, scale(distance, 0) + Variable(Tensor::ones({1}))}, 1);
  }
  std::string kind() const override { return "Siamese"; }

 private:
  std::shared_ptr<Sequential> encoder;
};

int main() {
  Dataset data = make_synth_digits(4000, 100);
  Siamese net;
  initialize(net, 0);
  // The encoder is called twice and counted once.
  fmt::print("{} parameters\n", net.parameter_count());

  // Pairs: each batch against itself moved by one digit of the same class, or of another, in turn.
  Loader loader(data.train, {.batch_size = 200, .normalization = make_normalization("standard", data)});
  SGD sgd(net.parameters(), {.lr = 0.05, .momentum = 0.9});
  double accuracy = 0;
  for (int step = 0; step < 200; ++step) {
    Batch batch = loader.next();
    const int64_t* digit = batch.labels.data<int64_t>();
    std::vector<int64_t> left, right, same;
    for (int64_t i = 0; i < 200; ++i)
      for (int64_t j = i + 1, wanted = i % 2; j < 200; ++j)
        if ((digit[i] == digit[j]) == (wanted == 1)) {
          left.push_back(i);
          right.push_back(j);
          same.push_back(wanted);
          break;
        }
    auto count = static_cast<int64_t>(same.size());
    Variable logits =
        net(Variable(index_rows(batch.images, left)), Variable(index_rows(batch.images, right)));
    Variable loss = cross_entropy(logits, Tensor::from(same, {count}));
    loss.backward();
    sgd.step();
    sgd.zero_grad();

    Tensor guess = argmax(logits.value(), 1);
    int64_t hits = 0;
    for (int64_t i = 0; i < count; ++i) hits += guess.data<int64_t>()[i] == same[static_cast<size_t>(i)];
    accuracy = 0.9 * accuracy + 0.1 * static_cast<double>(hits) / static_cast<double>(count);
    if (step % 50 == 49)
      fmt::print("step {:3}  loss {:.3f}  pairs right {:.1f}%\n", step + 1, loss.item(), 100 * accuracy);
  }
  return accuracy > 0.7 ? 0 : 1;  // a guess would be right half of the time
}
