#include "layers/networks/models.h"

#include <algorithm>

#include "core/text.h"
#include "layers/layers.h"

namespace sigma {
namespace {

using Net = std::shared_ptr<Sequential>;

// conv (3x3, padding 1 unless said), batch norm, ReLU, numbered.
void conv_block(Sequential& net, int number, int64_t in, int64_t out, bool bn,
                Conv2dOptions options = {.padding = 1}) {
  net.add<Conv2d>(fmt::format("conv{}", number), in, out, options);
  if (bn) net.add<BatchNorm2d>(fmt::format("bn{}", number), out);
  net.add<ReLU>(fmt::format("relu{}", number));
}

// linear, batch norm, activation; layers of one network share the numbering with its convolutions.
template <class Activation>
void linear_block(Sequential& net, int number, int layer, int64_t in, int64_t out, bool bn,
                  const char* activation) {
  net.add<Linear>(fmt::format("fc{}", layer), in, out);
  if (bn) net.add<BatchNorm1d>(fmt::format("bn{}", number), out);
  net.add<Activation>(fmt::format("{}{}", activation, number));
}

Net mlp(const ModelInput& in, bool bn) {
  auto net = std::make_shared<Sequential>();
  net->add<Flatten>("flatten");
  linear_block<ReLU>(*net, 1, 1, in.channels * in.height * in.width, 512, bn, "relu");
  linear_block<ReLU>(*net, 2, 2, 512, 512, bn, "relu");
  net->add<Linear>("fc3", 512, in.classes);
  return net;
}

Net sigmoid_mlp(const ModelInput& in, bool bn) {
  auto net = std::make_shared<Sequential>();
  net->add<Flatten>("flatten");
  for (int i = 1; i <= 3; ++i)
    linear_block<Sigmoid>(*net, i, i, i == 1 ? in.channels * in.height * in.width : 100, 100, bn, "sigmoid");
  net->add<Linear>("fc4", 100, in.classes);
  return net;
}

Net lenet5(const ModelInput& in, bool bn) {
  auto net = std::make_shared<Sequential>();
  conv_block(*net, 1, in.channels, 6, bn, {.kernel = 5, .padding = 2});
  net->add<MaxPool2d>("pool1");
  conv_block(*net, 2, 6, 16, bn, {.kernel = 5});
  net->add<MaxPool2d>("pool2");
  net->add<Flatten>("flatten");
  int64_t h = (in.height / 2 - 4) / 2, w = (in.width / 2 - 4) / 2;
  linear_block<ReLU>(*net, 3, 1, 16 * h * w, 120, bn, "relu");
  linear_block<ReLU>(*net, 4, 2, 120, 84, bn, "relu");
  net->add<Linear>("fc3", 84, in.classes);
  return net;
}

Net cnn(const ModelInput& in, bool bn) {
  auto net = std::make_shared<Sequential>();
  conv_block(*net, 1, in.channels, 32, bn);
  net->add<MaxPool2d>("pool1");
  conv_block(*net, 2, 32, 64, bn);
  net->add<MaxPool2d>("pool2");
  net->add<Flatten>("flatten");
  linear_block<ReLU>(*net, 3, 1, 64 * (in.height / 4) * (in.width / 4), 128, bn, "relu");
  net->add<Linear>("fc2", 128, in.classes);
  return net;
}

Net vgg(const ModelInput& in, bool bn) {
  auto net = std::make_shared<Sequential>();
  int64_t width = in.channels;
  int number = 1;
  for (int stage = 0; stage < 3; ++stage) {
    for (int i = 0; i < 2; ++i) {
      conv_block(*net, number++, width, 64 << stage, bn);
      width = 64 << stage;
    }
    net->add<MaxPool2d>(fmt::format("pool{}", stage + 1));
  }
  net->add<Flatten>("flatten");
  net->add<Linear>("fc", 256 * (in.height / 8) * (in.width / 8), in.classes);
  return net;
}

template <int kDepth>
Net resnet(const ModelInput& in, bool bn) {
  auto net = std::make_shared<Sequential>();
  net->add<Conv2d>("conv1", in.channels, 16, Conv2dOptions{.padding = 1, .bias = !bn});
  if (bn) net->add<BatchNorm2d>("bn1", 16);
  net->add<ReLU>("relu");
  int64_t width = 16;
  for (int stage = 0; stage < 3; ++stage) {
    auto blocks = std::make_shared<Sequential>();
    for (int i = 0; i < (kDepth - 2) / 6; ++i) {
      int64_t out = 16 << stage;
      blocks->append(std::make_shared<BasicBlock>(width, out, stage > 0 && i == 0 ? 2 : 1, bn));
      width = out;
    }
    net->append(fmt::format("layer{}", stage + 1), blocks);
  }
  net->add<GlobalAvgPool2d>("avgpool");
  net->add<Flatten>("flatten");
  net->add<Linear>("fc", 64, in.classes);
  return net;
}

// One line a network: name, smallest image side that its pooling leaves something of, whether it was designed
// for colour images of 32 x 32, builder.
struct Entry {
  const char* name;
  int64_t min_side;
  bool color;
  Net (*build)(const ModelInput&, bool batch_norm);
};
constexpr Entry kEntries[] = {
    {"mlp", 1, false, mlp},
    {"sigmoid-mlp", 1, false, sigmoid_mlp},
    {"lenet5", 12, false, lenet5},
    {"cnn", 4, false, cnn},
    {"vgg", 8, true, vgg},
    {"resnet20", 1, true, resnet<20>},
    {"resnet32", 1, true, resnet<32>},
    {"resnet44", 1, true, resnet<44>},
    {"resnet56", 1, true, resnet<56>},
    {"resnet110", 1, true, resnet<110>},
};

const Entry& entry(const std::string& name) {
  for (const Entry& e : kEntries)
    if (name == e.name) return e;
  fail(ErrorKind::usage, "model", "unknown name \"{}\", expected one of {}", name, join(model_names(), ", "));
}

}  // namespace

const std::vector<std::string>& model_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const Entry& e : kEntries) list.push_back(e.name);
    return list;
  }();
  return names;
}

ModelInput default_input(const std::string& name) {
  return entry(name).color ? ModelInput{3, 32, 32, 10} : ModelInput{1, 28, 28, 10};
}

ModulePtr make_model(const std::string& name, const ModelInput& input, bool batch_norm, uint64_t seed) {
  const Entry& e = entry(name);
  if (input.classes < 2)
    fail(ErrorKind::usage, "model " + name, "expected at least 2 classes, got {}", input.classes);
  if (input.channels < 1 || std::min(input.height, input.width) < e.min_side)
    fail(ErrorKind::usage, "model " + name,
         "images of {} do not fit: its pooling needs at least {}x{} pixels", input.str(), e.min_side,
         e.min_side);
  Net net = e.build(input, batch_norm);
  initialize(*net, seed);
  return net;
}

}  // namespace sigma
