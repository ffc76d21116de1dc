// The demo networks, whose names and initial weights stay as they are, bit for bit; what their texts train to
// is what the same layers written in C++ do.
#include <training/trainer.h>

#include "layers/layers.h"
#include "tests/support/support.h"

using namespace sigma;

namespace {

struct Pinned {
  const char *name, *on, *off;
};
// Of names and values of parameters and buffers, seed 3, as they were when each network was a function.
constexpr Pinned kPinned[] = {
    {"mlp", "8c7462fb1e0a4c0cb564d4b49310a24b19afd60b29ef14f447d29f793b2d9def",
     "d462d0754b2f1ea0d1844eafcbc0c32a10b9e234f3807776bb10652ac4d74705"},
    {"sigmoid-mlp", "975ff704c19960b9dab8fe383e701fb1361c4b0b35012c62bfa660a8fcebee8c",
     "ed69c95088091fff548a614254de033bd02c4386ada823c2490455fad08a6c06"},
    {"lenet5", "63151449728af9ae6c6f5dba3bc915626e6adb629c615e7789d7b5f7a26eff37",
     "4a1131351205a555b28899913e1356c8aaf31991f221b5f6b48e42138f8a9519"},
    {"cnn", "a07ee30b1abf8b897210e9491389d241a16681b4ea7caa823d8bd9723aff82ea",
     "84084a939d3d458e548166ef1df8199bcd0714e10d6a6b98c31aa6fe52af225c"},
    {"vgg", "196560fce4b8a635abc4926d8124c6b997f6cddfd52e9b5590e04e5ab7e564b6",
     "e1242d72b9d1643f8850da4ed599d1f2bfe23812577f26fcaa3bca09b976b361"},
    {"resnet20", "256a0767f4a06863b09b84bb2f76101b822aa607629d4f3ad49bcd4449ff6c12",
     "abf44d286b79cc29e1d3234234301665025f9c23973ac3a19653d778eb5f19bd"},
    {"resnet32", "d09be03b931259e9cdff549aa4bc2caefcf03fdb2900f241bf744c74a1867484",
     "d696e80dea3d9f41c55f79a62b838346d55a991e3149b3e60f374258ed86ec57"},
    {"resnet44", "6b35be2a4d6e12d898c03b0298a710bfd4a7b8bae0954bf0d597f186a9fbc442",
     "fdf5ce3f5fd91647adbbd6f75f8c5eb0476c9ed351a4528fb2112402b79772ff"},
    {"resnet56", "347527bcd1693b6f3b9f64003bac1d84f3c7073022c2630dd9c9a515b0604d3a",
     "a765ea5abdc7f3013f17047529277e95824ef0293820f5a6e7ee3fb0d04ff51f"},
    {"resnet110", "9a5993a6750f47316401b351dab612b00fed4a25e590c620626f8deb33b382ee",
     "392543a26ae9f8589ae15d50b044b05751cb80b962b66c6d6839a5ed3db45397"},
};

std::string trained(const Dataset& data, TrainSetup setup, ModulePtr model = nullptr) {
  setup.loader.batch_size = 8;
  setup.loader.threads = 0;
  setup.schedule = {Schedule::constant, 3};
  setup.seed = 5;
  Trainer trainer = model ? Trainer(data, setup, model) : Trainer(data, setup);
  for (int i = 0; i < 3; ++i) trainer.step();
  return weights_sha256(trainer.model());
}

// ResNet-20 as layers in C++.
ModulePtr resnet20(bool bn) {
  auto net = std::make_shared<Sequential>();
  net->add<Conv2d>("conv1", 3, 16, Conv2dOptions{.padding = 1, .bias = !bn});
  if (bn) net->add<BatchNorm2d>("bn1", 16);
  net->add<ReLU>("relu");
  int64_t width = 16;
  for (int stage = 0; stage < 3; ++stage) {
    auto blocks = std::make_shared<Sequential>();
    for (int i = 0; i < 3; ++i) {
      const int64_t out = 16 << stage;
      blocks->append(std::make_shared<BasicBlock>(width, out, stage > 0 && i == 0 ? 2 : 1, bn));
      width = out;
    }
    net->append(fmt::format("layer{}", stage + 1), blocks);
  }
  net->add<GlobalAvgPool2d>("avgpool");
  net->add<Flatten>("flatten");
  net->add<Linear>("fc", 64, 10);
  initialize(*net, 5);
  return net;
}

}  // namespace

TEST_CASE("the demo networks have their names and initial weights, with and without batch norm",
          "[networks]") {
  CHECK(std::size(kPinned) == model_names().size());
  for (const Pinned& p : kPinned) {
    INFO(p.name);
    CHECK(weights_sha256(*make_model(p.name, default_input(p.name), true, 3)) == p.on);
    CHECK(weights_sha256(*make_model(p.name, default_input(p.name), false, 3)) == p.off);
  }
}

TEST_CASE("a residual network's text trains to the bits of its layers in C++", "[networks]") {
  const Dataset data = make_synth_objects(32, 8);
  for (bool bn : {true, false})
    for (DType precision : {DType::float32, DType::bfloat16}) {
      INFO(bn << " " << name_of(precision));
      TrainSetup setup;
      setup.model = "resnet20";
      setup.input = default_input("resnet20");
      setup.batch_norm = bn;
      setup.precision = precision;
      CHECK(trained(data, setup) == trained(data, setup, resnet20(bn)));
    }
}

TEST_CASE("a text without names trains to the bits of the demo network of the same layers", "[networks]") {
  const Dataset data = make_synth_digits(32, 8);
  TrainSetup setup;
  setup.model = "cnn";
  const std::string expected = trained(data, setup);
  setup.model =
      "conv 32, bn, relu, maxpool 2, conv 64, bn, relu, maxpool 2, flatten, linear 128, bn, relu, linear "
      "classes";
  CHECK(trained(data, setup) == expected);
}
