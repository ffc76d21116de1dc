// Grad-CAM: the map by hand, and that it leaves no trace on the network.
#include "training/grad_cam.h"

#include <algorithm>
#include <cmath>

#include "core/math.h"
#include "core/parallel.h"
#include "layers/layers.h"
#include "tests/support/support.h"

using namespace sigma;
using namespace sigma::test;

namespace {

// conv -> batch norm -> ReLU -> pool -> classifier, as the networks of the field are.
std::shared_ptr<Sequential> small_net() {
  auto net = std::make_shared<Sequential>(std::initializer_list<Child>{
      {"conv", std::make_shared<Conv2d>(3, 5, Conv2dOptions{.kernel = 3, .padding = 1})},
      {"bn", std::make_shared<BatchNorm2d>(5)},
      {"relu", std::make_shared<ReLU>()},
      {"pool", std::make_shared<GlobalAvgPool2d>()},
      {"flatten", std::make_shared<Flatten>()},
      {"fc", std::make_shared<Linear>(5, 4)}});
  initialize(*net, 3);
  return net;
}

Tensor images() { return random_integers({2, 3, 6, 6}, -3, 3, 11); }

}  // namespace

TEST_CASE("Grad-CAM of a 1x1 convolution, a global average and a linear layer is the map by hand") {
  // A_0 = x, A_1 = -2 x; logits = mean A times {{1, 0}, {3, 2}}. d logit_c / d A_k is w[c][k] / 4 everywhere,
  // so L_0 = max(0, x / 4) and L_1 = max(0, (3 x - 4 x) / 4) = max(0, -x / 4).
  Sequential net{std::make_shared<Conv2d>(1, 2, Conv2dOptions{.kernel = 1, .bias = false}),
                 std::make_shared<GlobalAvgPool2d>(), std::make_shared<Flatten>(),
                 std::make_shared<Linear>(2, 2, LinearOptions{.bias = false})};
  auto parameters = net.parameters();
  parameters[0].mutable_value() = Tensor::from<float>({1, -2}, {2, 1, 1, 1});
  parameters[1].mutable_value() = Tensor::from<float>({1, 0, 3, 2}, {2, 2});
  const Tensor x = Tensor::from<float>({1, -2, 4, -8, 1, -2, 4, -8}, {2, 1, 2, 2});
  const std::vector<double> heat = grad_cam(net, x, {0, 1}).to_vector();
  CHECK(heat == std::vector<double>{0.25, 0, 1, 0, 0, 0.25, 0, 1});
}

TEST_CASE("Grad-CAM takes the last layer with places, or the one that is asked for, and resizes bilinearly") {
  Sequential net({{"conv", std::make_shared<Conv2d>(1, 1, Conv2dOptions{.kernel = 1, .bias = false})},
                  {"pool", std::make_shared<AvgPool2d>(AvgPoolOptions{.kernel = 2})},
                  {"flatten", std::make_shared<Flatten>()},
                  {"fc", std::make_shared<Linear>(2, 1, LinearOptions{.bias = false})}});
  auto parameters = net.parameters();
  parameters[0].mutable_value() = Tensor::from<float>({1}, {1, 1, 1, 1});
  parameters[1].mutable_value() = Tensor::from<float>({1, 1}, {1, 2});
  // Averages 4 and 0, over four columns by hand: 4, 3, 1, 0.
  const Tensor x = Tensor::from<float>({8, 0, 0, 0, 8, 0, 0, 0}, {1, 1, 2, 4});
  CHECK(grad_cam(net, x, {0}).to_vector() == std::vector<double>{1, 0.75, 0.25, 0, 1, 0.75, 0.25, 0});
  CHECK(grad_cam(net, x, {0}, "conv").to_vector() == std::vector<double>{1, 0, 0, 0, 1, 0, 0, 0});
  CHECK_THROWS_WITH(grad_cam(net, x, {0}, "fc"), Catch::Contains("\"fc\" has no places"));
  CHECK_THROWS_WITH(grad_cam(net, x, {0}, "conv9"), Catch::Contains("no layer \"conv9\""));
  CHECK_THROWS_WITH(grad_cam(net, x, {1}), Catch::Contains("expected classes 0 to 0, got 1"));
  CHECK_THROWS_WITH(grad_cam(net, x, {}), Catch::Contains("a class for each of 1 images, got 0"));
}

TEST_CASE("Grad-CAM leaves weights, statistics, gradients, mode and hooks as they were") {
  auto net = small_net();
  net->find("bn")->eval();  // a mode of its own
  const StateDict before = net->state_dict();
  std::vector<Tensor> values;
  for (const auto& [name, t] : before.items) values.push_back(t.clone());
  net->parameters()[0].set_grad(Tensor::full(net->parameters()[0].shape(), 3.0));
  const std::vector<double> heat = grad_cam(*net, images(), {1, 3}).to_vector();
  CHECK(*std::max_element(heat.begin(), heat.end()) == 1);
  const StateDict after = net->state_dict();
  for (size_t i = 0; i < values.size(); ++i) CHECK(identical(values[i], after.items[i].second));
  CHECK(sum(net->parameters()[0].grad()).item() == 3.0 * static_cast<double>(net->parameters()[0].numel()));
  for (size_t i = 1; i < net->parameters().size(); ++i) CHECK(!net->parameters()[i].grad().defined());
  CHECK(net->is_training());
  CHECK(!net->find("bn")->is_training());
  net->visit([](const std::string&, Module& m) { CHECK(!m.has_forward_hooks()); });
}

TEST_CASE("Grad-CAM works on a frozen network and without recording, and has the same bits for any threads") {
  auto net = small_net();
  const Tensor one = grad_cam(*net, images(), {1, 3});
  CHECK(sum(one).item() > 0);
  net->freeze();
  NoGrad off;
  const int before = num_threads();
  for (int threads : {1, 3}) {
    set_num_threads(threads);
    CHECK(identical(grad_cam(*net, images(), {1, 3}), one));
  }
  CHECK(!grad_enabled());
  set_num_threads(before);
}

TEST_CASE("a network without places is told from one with them, and refused") {
  auto net = small_net();
  Sequential mlp{std::make_shared<Flatten>(), std::make_shared<Linear>(3 * 6 * 6, 4)};
  CHECK(has_spatial_layer(*net, {1, 3, 6, 6}));
  CHECK(!has_spatial_layer(mlp, {1, 3, 6, 6}));
  CHECK_THROWS_WITH(grad_cam(mlp, images(), {0, 1}),
                    Catch::Contains("grad_cam: no layer of the network gives"));
}

TEST_CASE("a network whose numbers are lost has no heat instead of a NaN") {
  auto net = small_net();
  net->parameters()[4].mutable_value() = Tensor::full(net->parameters()[4].shape(), NAN);
  CHECK(sum(grad_cam(*net, images(), {1, 3})).item() == 0);
}

TEST_CASE("heat over an image is its grey under colours from violet to yellow") {
  const Image image{.height = 1, .width = 3, .channels = 3, .pixels = {0, 0, 0, 255, 255, 255, 0, 0, 0}};
  const Image out = heat_overlay(image, Tensor::from<float>({0, 0, 1}, {1, 3}));
  CHECK(out.channels == 3);
  CHECK(out.pixels == Bytes{0, 0, 2, 102, 102, 104, 151, 153, 98});
  CHECK_THROWS_WITH(heat_overlay(image, Tensor::zeros({3, 1}, DType::float32)),
                    Catch::Contains("1x3 pixels"));
}
