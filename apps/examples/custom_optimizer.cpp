// An optimizer of your own: Lion (Chen et al. 2023), which steps by the sign of a mixture of momentum and
// gradient. Groups with rates of their own, schedules, and state that is saved by name come with the base.
#include <fmt/core.h>
#include <sigma/sigma.h>

using namespace sigma;

class Lion : public Optimizer {
 public:
  explicit Lion(std::vector<ParameterGroup> groups) : Optimizer("lion", std::move(groups)) {}
  std::string kind() const override { return "Lion"; }

 protected:
  // One tensor is kept for each parameter; a checkpoint calls it "momentum.<parameter>".
  std::vector<Slot> slots() const override { return {{"momentum"}}; }
  // c = 0.9 m + 0.1 g;  p -= lr (sign(c) + weight_decay p);  m = 0.99 m + 0.01 g
  void update(const std::vector<Update>& updates) override {
    for (const Update& u : updates) {
      Variable parameter = u.parameter;
      float* p = parameter.mutable_value().mutable_data<float>();
      float* m = u.data<float>(0);
      const float* g = u.gradient.data<float>();
      auto lr = static_cast<float>(u.lr);
      auto decay = static_cast<float>(u.weight_decay);
      for (int64_t i = 0; i < parameter.numel(); ++i) {
        float c = 0.9f * m[i] + 0.1f * g[i];
        float sign = c > 0 ? 1.f : c < 0 ? -1.f : 0.f;
        p[i] -= lr * (sign + decay * p[i]);
        m[i] = 0.99f * m[i] + 0.01f * g[i];
      }
    }
  }
};

int main() {
  Dataset data = make_synth_digits(2000, 500);
  Loader loader(data.train, {.batch_size = 50, .normalization = make_normalization("standard", data)});
  Sequential net;
  net.add<Flatten>("flatten");
  net.add<Linear>("fc1", 28 * 28, 64);
  net.add<ReLU>("relu");
  net.add<Linear>("fc2", 64, 10);
  initialize(net, 0);

  Lion lion({{.parameters = net.named_parameters(), .lr = 1e-3, .weight_decay = 0.1}});
  double first = 0;
  double last = 0;
  for (int step = 0; step < 200; ++step) {
    Batch batch = loader.next();
    Variable loss = cross_entropy(net(Variable(batch.images)), batch.labels);
    loss.backward();
    lion.step();
    lion.zero_grad();
    (step == 0 ? first : last) = loss.item();
  }
  fmt::print("{}: loss {:.3f} at the start, {:.3f} after 200 steps\n", lion.kind(), first, last);
  for (const auto& [name, tensor] : lion.state_dict())
    fmt::print("  keeps {} {}\n", name, tensor.shape().str());
  return last < first / 2 ? 0 : 1;
}
