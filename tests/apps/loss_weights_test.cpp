// What a training step minimizes when images are mixed and classes weighed.
#include <cmath>

#include "apps/training/class_weights.h"
#include "apps/training/trainer.h"
#include "layers/networks/models.h"
#include "tests/support/support.h"

using namespace sigma;
using namespace sigma::test;

namespace {

// The weighted mean of -log softmax at the labels, from its definition.
double cross_entropy_of(const Tensor& logits, const Tensor& labels, const std::vector<double>& weights) {
  const std::vector<double> x = logits.to_vector();
  const auto classes = static_cast<size_t>(logits.dim(1));
  double loss = 0, total = 0;
  for (size_t i = 0; i < x.size() / classes; ++i) {
    double sum = 0;
    for (size_t c = 0; c < classes; ++c) sum += std::exp(x[i * classes + c]);
    const auto y = static_cast<size_t>(labels.data<int64_t>()[i]);
    const double w = weights.empty() ? 1 : weights[y];
    loss -= w * std::log(std::exp(x[i * classes + y]) / sum);
    total += w;
  }
  return loss / total;
}

}  // namespace

TEST_CASE("the loss of a step is that of both labels of mixed images, each weighed by its class",
          "[training]") {
  const Dataset data = make_synth_digits(60, 10);
  for (const char* augment : {"none", "mixup", "cutmix", "mixup+cutmix"})
    for (bool weighed : {false, true}) {
      INFO(augment << " " << weighed);
      TrainSetup setup;
      setup.model = "mlp";
      setup.input = {1, 28, 28, 10};
      setup.loader.batch_size = 16;
      setup.loader.augmentation = parse_augmentation(augment);
      setup.seed = 5;
      setup.schedule.total_steps = 10;
      if (weighed) setup.class_weights = class_weights("balanced", data);
      Trainer trainer(data, setup);
      ModulePtr same = make_network(setup);
      same->train();
      setup.loader.seed = setup.seed;
      setup.loader.threads = 0;
      const Batch b = Loader(data.train, setup.loader).make(0);
      const Tensor logits = (*same)(Variable(b.images)).value();
      double expected = cross_entropy_of(logits, b.labels, setup.class_weights);
      if (std::string(augment) == "none") {
        CHECK(b.weight == 1);
      } else {
        CHECK(b.weight >= 0.5);
        REQUIRE(b.other_labels.numel() == 16);
        expected = b.weight * expected +
                   (1 - b.weight) * cross_entropy_of(logits, b.other_labels, setup.class_weights);
      }
      const StepResult r = trainer.step();
      CHECK(r.loss == Approx(expected).epsilon(1e-5));
      CHECK(r.correct == count_correct(logits, b.labels));
    }
}

TEST_CASE("class weights are balanced, or given by name", "[training]") {
  Dataset d;
  d.class_names = {"cat", "dog, wet", "a=b"};
  d.train.images = Tensor::zeros({6, 1, 1, 1}, DType::uint8, Layout::channels_last);
  d.train.labels = Tensor::from<int64_t>({0, 0, 0, 0, 1, 1}, {6});
  CHECK(class_weights("none", d).empty());
  CHECK(class_weights("balanced", d) == std::vector<double>{0.5, 1, 1});
  CHECK(class_weights("cat=2", d) == std::vector<double>{2, 1, 1});
  CHECK(class_weights("dog, wet=0.5,a=b=3", d) == std::vector<double>{1, 0.5, 3});
  for (const char* bad :
       {"", "cat", "cat=", "cat=0", "cat=-1", "cat=nan", "cat=1,cat=2", "bird=1", "cat=1,", "=2"}) {
    INFO(bad);
    CHECK(error_of([&] { class_weights(bad, d); }).find("class-weights: ") == 0);
  }
}
