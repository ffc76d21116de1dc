// After a diverged step the batch norms' buffers had moved once more, by the search for the layer that
// overflowed, before the state was saved for inspection.
#include "apps/training/trainer.h"
#include "core/math.h"
#include "tests/support/support.h"

using namespace sigma;

TEST_CASE("the search for a layer that is not finite counts no batch", "[trainer][regression]") {
  Dataset data = make_synth_digits(40, 10);
  TrainSetup setup;
  setup.model = "cnn";
  setup.loader.batch_size = 8;
  Trainer trainer(data, setup);
  trainer.step();
  StateDict before = test::copy_of(trainer.model());
  REQUIRE(before.find("bn1.num_batches_tracked")->item() == 1);
  Tensor images = test::randn({8, 1, 28, 28}, 1, DType::float32);
  CHECK(trainer.first_bad_layer(images).empty());
  images.mutable_data<float>()[0] = INFINITY;
  CHECK(trainer.first_bad_layer(images) == "first in the output of conv1");
  for (auto& [name, t] : trainer.model().state_dict().items) {
    INFO(name);
    CHECK(identical(t, *before.find(name)));
  }
  trainer.model().visit([](const std::string&, Module& m) { CHECK_FALSE(m.has_forward_hooks()); });
}
