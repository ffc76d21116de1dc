// What layer_spectra and activation_spectra find in whole networks, and what the spectra refuse.
#include "layers/passes/spectrum.h"

#include <cmath>
#include <limits>

#include "core/parallel.h"
#include "layers/layers.h"
#include "tests/support/batch_norm_reference.h"
#include "tests/support/svd.h"

using namespace sigma;
using namespace sigma::test;

namespace {

double largest(const Tensor& values) { return values.to_vector().front(); }

}  // namespace

TEST_CASE("the activations of a linear network have the rank of its narrowest layer", "[spectrum]") {
  Sequential net;
  net.add<Linear>("a", 12, 10);
  net.add<Linear>("b", 10, 3);  // the bottleneck
  net.add<Linear>("c", 3, 9);
  net.to(DType::float64);
  net.eval();
  Tensor x = randn({400, 12}, 1);
  int64_t at = 0;
  auto spectra = activation_spectra(net, 400, [&] { return Variable(slice(x, 0, (at += 100) - 100, 100)); });
  REQUIRE(spectra.size() == 3);
  const int64_t features[] = {10, 3, 9}, rank[] = {10, 3, 3};
  for (size_t i = 0; i < 3; ++i) {
    INFO(spectra[i].path);
    CHECK(spectra[i].samples == 400);
    CHECK(spectra[i].features == features[i]);
    auto s = spectra[i].covariance.to_vector();
    CHECK(std::count_if(s.begin(), s.end(), [&](double v) { return v > 0; }) == rank[i]);
    CHECK(effective_rank(spectra[i].covariance) <= static_cast<double>(rank[i]));
  }
  CHECK(effective_rank(spectra[2].covariance) > 1.5);
  CHECK(std::isinf(condition_number(spectra[2].covariance)));
  CHECK(condition_number(spectra[1].covariance) < 1e3);
}

TEST_CASE("activations of a convolution are one sample a position, in either layout", "[spectrum]") {
  Sequential net;
  net.add<Conv2d>("conv", 2, 3, Conv2dOptions{.kernel = 1});
  net.to(DType::float64);
  net.eval();
  Tensor x = randn({4, 2, 5, 6}, 1);
  auto first = activation_spectra(net, 4, [&] { return Variable(x); })[0];
  CHECK(first.samples == 4 * 5 * 6);
  CHECK(first.features == 3);
  Tensor y = net(Variable(x)).value();
  Tensor rows = permute(y.contiguous(), {0, 2, 3, 1}).reshape({120, 3});
  CHECK(identical(first.covariance, covariance_spectrum(rows)));
  // Fewer samples than positions: the same choice whatever the batches are.
  auto limited = [&](int64_t batch) {
    int64_t at = 0;
    return activation_spectra(
        net, 4, [&] { return Variable(slice(x.contiguous(), 0, (at += batch) - batch, batch)); }, 50)[0];
  };
  CHECK(limited(4).samples == 50);
  CHECK(identical(limited(4).covariance, limited(1).covariance));
  CHECK(gap(limited(4).covariance, first.covariance.to_vector()) < .5 * largest(first.covariance));
}

TEST_CASE("layer spectra follow the shapes and chains of a nested model", "[spectrum]") {
  ModulePtr net = make_model("resnet20", {3, 16, 12, 10}, true);
  net->eval();
  auto layers = layer_spectra(*net, {1, 3, 16, 12});
  REQUIRE(layers.size() == 22);  // 19 convolutions, two of shortcuts, one linear
  CHECK(layers[0].path == "conv1");
  CHECK(layers.back().path == "fc");
  CHECK(layers.back().kind == "Linear");
  CHECK(!layers.back().op.defined());
  for (const LayerSpectrum& l : layers) {
    INFO(l.path);
    CHECK(l.weight.numel() == std::min(l.shape[0], l.shape.numel() / l.shape[0]));
    double sum = 0;
    for (double s : l.weight.to_vector()) sum += s * s;
    CHECK(l.frobenius == Approx(std::sqrt(sum)).epsilon(1e-12));
    if (l.kind == "Linear") continue;
    bool strided = l.path == "layer2.0.conv1" || l.path == "layer3.0.conv1" ||
                   l.path.find("downsample") != std::string::npos;
    int64_t stage = l.path.rfind("layer3", 0) == 0 ? 4 : l.path.rfind("layer2", 0) == 0 ? 2 : 1;
    if (strided) stage /= 2;
    CHECK(l.h == 16 / stage);
    CHECK(l.w == 12 / stage);
    const auto& conv = layer_as<const Conv2d>(*net, l.path);
    CHECK(identical(l.op, conv_singular_values(conv.weight.value(), l.h, l.w, strided ? 2 : 1)));
  }
  CHECK(!net->find("conv1")->has_forward_hooks());
  // A side that the stride does not divide has no operator spectrum; a layer that is never called has none.
  ModulePtr odd = make_model("resnet20", {3, 15, 12, 10}, false);
  odd->eval();
  for (const LayerSpectrum& l : layer_spectra(*odd, {1, 3, 15, 12}))
    if (l.path == "layer2.0.conv1") CHECK(!l.op.defined());
  Sequential none;
  none.add<Flatten>("flatten");
  none.eval();
  CHECK(layer_spectra(none, {1, 3, 4, 4}).empty());
}

TEST_CASE("folding batch norm gives the spectrum of the layer multiplied by hand", "[spectrum]") {
  Sequential net;
  net.add<Conv2d>("conv", 3, 4, Conv2dOptions{.padding = 1});
  net.add<BatchNorm2d>("bn", 4);
  net.add<Flatten>("flatten");
  net.add<Linear>("fc", 4 * 6 * 6, 5);
  net.add<BatchNorm1d>("bn2", 5);
  initialize(net, 1);
  net.to(DType::float64);
  auto& bn = layer_as<BatchNorm>(net, "bn");
  auto& bn2 = layer_as<BatchNorm>(net, "bn2");
  randomize(bn, 2);
  randomize(bn2, 3);
  net.eval();
  auto by_hand = [](const Tensor& weight, const BatchNorm& norm) {
    Tensor w = weight.contiguous().clone();
    int64_t row = w.numel() / w.dim(0);
    for (int64_t i = 0; i < w.numel(); ++i)
      w.mutable_data<double>()[i] *=
          norm.weight.value().at({i / row}) / std::sqrt(norm.running_var.value().at({i / row}) + 1e-5);
    return w;
  };
  Tensor conv = by_hand(layer_as<Conv2d>(net, "conv").weight.value(), bn);
  Tensor fc = by_hand(layer_as<Linear>(net, "fc").weight.value(), bn2);
  Tensor x = randn({64, 3, 6, 6}, 4);
  Tensor normed;
  size_t hook = bn.register_forward_hook(
      [&](const Module&, const Variable&, const Variable& y) { normed = y.value(); });
  NoGrad off;
  net(Variable(x));
  bn.remove_forward_hook(hook);
  CHECK(fold_batch_norms(net) == 2);
  const LayerSpectrum l = layer_spectra(net, {1, 3, 6, 6})[0];
  Tensor folded = layer_as<Conv2d>(net, "conv").weight.value();
  CHECK(gap(weight_singular_values(folded), weight_singular_values(conv).to_vector()) < 1e-14);
  CHECK(gap(conv_singular_values(folded, 6, 6), conv_singular_values(conv, 6, 6).to_vector()) < 1e-14);
  CHECK(identical(l.op, conv_singular_values(folded, 6, 6)));
  CHECK(gap(weight_singular_values(layer_as<Linear>(net, "fc").weight.value()),
            weight_singular_values(fc).to_vector()) < 1e-14);
  // What comes out of the folded convolution is what came out of the norm.
  auto out = activation_spectra(net, 64, [&] { return Variable(x); });
  Tensor rows = permute(normed.contiguous(), {0, 2, 3, 1}).reshape({64 * 36, 4});
  CHECK(gap(out[0].covariance, covariance_spectrum(rows).to_vector()) < 1e-12);
}

TEST_CASE("spectra refuse what they cannot take and say why", "[spectrum]") {
  Tensor good = randn({2, 3, 3, 3}, 1), bad = good.clone();
  bad.mutable_data<double>()[5] = std::numeric_limits<double>::quiet_NaN();
  Sequential training;
  training.add<Linear>("fc", 3, 2);
  auto cases = std::vector<std::pair<std::function<void()>, std::string>>{
      {[&] {
         conv_singular_values(randn({2, 3, 3}, 1), 4, 4);
       },
       "[conv_singular_values] expected weights (C_out, C_in / groups, KH, KW) of at least 1 each, got (2, "
       "3, "
       "3)"},
      {[&] {
         conv_singular_values(Tensor::zeros({2, 0, 3, 3}), 4, 4);
       },
       "got (2, 0, 3, 3)"},
      {[&] { conv_singular_values(good, 0, 4); }, "expected an image of at least 1x1, got 0x4"},
      {[&] { conv_singular_values(good, 4, 5, 2); },
       "expected an image of a multiple of the stride (2, 2), got 4x5"},
      {[&] { conv_singular_values(good, 4, 4, 0); }, "expected stride and dilation of at least 1"},
      {[&] { conv_singular_values(good, 4, 4, 1, 0); }, "expected stride and dilation of at least 1"},
      {[&] { conv_singular_values(good, 4, 4, 1, 1, 4); }, "expected groups that divide 2 channels, got 4"},
      {[&] { conv_singular_values(bad, 4, 4); }, "expected finite weights"},
      {[&] {
         conv_singular_values(Tensor::zeros({1, 1, 1, 1}, DType::int64), 4, 4);
       },
       "expected float32 or float64 values, got int64"},
      {[&] { conv_singular_values({}, 4, 4); }, "got an undefined one"},
      {[&] { weight_singular_values(randn({3}, 1)); }, "expected weights of at least 2 dimensions"},
      {[&] {
         effective_rank(f64({1, -1}));
       },
       "[effective_rank] expected singular values, finite and at least 0, got -1"},
      {[&] { condition_number(f64({INFINITY})); }, "[condition_number] expected singular values"},
      {[&] {
         covariance_spectrum(randn({1, 3}, 1));
       },
       "expected samples (N, C) of at least 2 x 1"},
      {[&] {
         covariance_spectrum(f64({1, NAN}, {2, 1}));
       },
       "expected finite samples"},
      {[&] {
         layer_spectra(training, {1, 3});
       },
       "the model is in training mode"},
      {[&] {
         training.eval();
         activation_spectra(training, 8, [] { return Variable(); });
       },
       "[activation_spectra] expected 8 images, got 0"},
      {[&] { activation_spectra(training, 1, [] { return Variable(); }); }, "at least 2 images"},
      {[&] { activation_spectra(training, 2, [] {
               return Variable(Tensor::full({2, 3}, INFINITY));
             }); },
       "the output of fc is not finite"}};
  for (auto& [fn, message] : cases) {
    INFO(message);
    CHECK_THAT(error_of(fn), sigma::test::Contains(message));
  }
}
