// A user's program, in both forms of include: trains, evaluates, saves and loads.
#include <sigma/layers/conv2d.h>
#include <sigma/sigma.h>

#include <cstdio>
#include <string>

#include "layers/linear.h"

int main() {
  using namespace sigma;
  Conv2d conv(1, 2, Conv2dOptions{.kernel = 3});
  Linear linear(3, 2);
  initialize(linear, 0);
  SGD sgd(linear.parameters(), {.lr = 0.1});
  sum(linear(Variable(Tensor::ones({4, 3})))).backward();
  sgd.step();

  Dataset data = make_synth_digits(160, 40);
  TrainSetup setup;
  setup.model = "mlp";
  setup.loader.batch_size = 20;
  setup.schedule = {Schedule::constant, 16};
  Trainer trainer(data, setup);
  FitResult result = fit(trainer);

  const std::string path = "trained.safetensors";
  save_checkpoint(path, checkpoint_of(trainer));
  SavedModel saved = model_from(load_checkpoint(path), path);
  EvalResult again = evaluate(*saved.model, data.test, saved.normalization, data.classes());
  std::printf("%.1f%% after %lld steps\n", 100 * again.accuracy,
              static_cast<long long>(trainer.steps_done()));
  return conv.parameters().size() == 2 && again.loss == result.test.loss && again.accuracy > 0.2 ? 0 : 1;
}
