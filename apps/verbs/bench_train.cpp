// `sigma bench train`: steps of training, forward, loss, backward, update.
#include <cmath>

#include "apps/verbs/bench.h"
#include "autograd/precision.h"
#include "core/rng.h"
#include "layers/cross_entropy.h"
#include "optim/sgd.h"

namespace sigma::app {
namespace {

class BenchTrain : public BenchVerb {
 public:
  BenchTrain() : BenchVerb("train", "steps of training", kModel | kBatch) {}

 private:
  int measure(const Options& o) override {
    const BenchModel m = bench_model(o);
    Tensor labels = Tensor::empty({o.batch_size}, DType::int64);
    Rng rng(0, "bench labels");
    for (int64_t i = 0; i < labels.numel(); ++i)
      labels.mutable_data<int64_t>()[i] = static_cast<int64_t>(rng.next_below(10));
    SGD sgd(m.model->parameters(), {.lr = 0.01, .momentum = 0.9, .weight_decay = 5e-4});
    Autocast scope(parse_precision(o.precision));
    double last = 0;
    m.model->train();
    const double step = median_time(seconds_, [&] {
      Variable loss = cross_entropy((*m.model)(m.images), labels);
      last = loss.item();
      loss.backward();
      sgd.step();
      sgd.zero_grad();
    });
    refuse_wrong_result(std::isfinite(last), "bench");
    report_speed(o, "train", step, 3 * m.flops);
    return 0;
  }
};

const RegisterVerb<BenchTrain> register_bench_train(90);

}  // namespace
}  // namespace sigma::app
