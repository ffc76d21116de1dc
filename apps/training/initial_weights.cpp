#include "training/initial_weights.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/rng.h"
#include "core/text.h"
#include "layers/affine.h"
#include "layers/init.h"
#include "layers/passes/fixup.h"
#include "layers/passes/patch_whitening.h"
#include "layers/role.h"

namespace sigma {
namespace {

// Large images are fewer: this many numbers are 256 MB, and thousands of patches an image.
constexpr int64_t kMaxImages = 5000, kMaxValues = int64_t{1} << 26;

struct Layer {
  std::string path, kind;
  AffineLayer* affine = nullptr;  // null when it is none
};

const std::string kNormal = "normal:", kAirbench = "airbench";

bool whitens(const std::string& kind) { return kind == "patch-whitening" || kind == kAirbench; }

// Of "normal:0.05"; NaN where it is no number.
double deviation_of(const std::string& kind) {
  double value = std::nan("");
  const char* end = kind.data() + kind.size();
  const auto [rest, error] = std::from_chars(kind.data() + kNormal.size(), end, value);
  return error == std::errc() && rest == end ? value : std::nan("");
}

// The layers that have parameters, in the order of the network.
std::vector<Layer> layers_of(Module& model) {
  std::vector<Layer> layers;
  model.visit([&](const std::string& path, Module& m) {
    if (!m.named_children().empty() || m.named_parameters().empty()) return;
    layers.push_back({path, m.kind(), m.affine()});
  });
  return layers;
}

Tensor some_images(const TrainSetup& setup, const Split& train) {
  const int64_t pixels = setup.input.channels * setup.input.height * setup.input.width;
  std::vector<int64_t> rows = permutation(train.size(), Rng(setup.seed, "init/patch-whitening"));
  rows.resize(
      static_cast<size_t>(std::min({train.size(), kMaxImages, std::max<int64_t>(1, kMaxValues / pixels)})));
  std::sort(rows.begin(), rows.end());  // reads along memory
  return normalized_images(train, rows, setup.loader.normalization);
}

}  // namespace

void initialize_weights(Module& model, const TrainSetup& setup, const Dataset& dataset) {
  if (setup.init == "default") return;
  check_init(setup.init);
  check_init_fits(setup, model);
  std::vector<Layer> layers = layers_of(model);
  if (whitens(setup.init)) {
    init::patch_whitening(layers[0].affine->weight.mutable_value(), some_images(setup, dataset.train));
    for (size_t i = 1; i < layers.size() && setup.init == kAirbench; ++i)
      if (layers[i].affine && layers[i].affine->form().convolution)
        init::dirac(layers[i].affine->weight.mutable_value());
    return;
  }
  std::erase_if(layers, [](const Layer& layer) { return !layer.affine; });
  for (size_t i = 0; i < layers.size(); ++i) {
    const Rng rng(setup.seed, "init/" + layers[i].path + ".weight");
    AffineLayer& layer = *layers[i].affine;
    Tensor& weight = layer.weight.mutable_value();
    if (setup.init == "kaiming" || setup.init == "fixup") {
      init::kaiming_normal(weight, rng);
    } else if (setup.init == "xavier") {
      init::xavier_normal(weight, rng);
    } else if (setup.init == "orthogonal") {
      init::orthogonal(weight, rng, i + 1 < layers.size() ? std::sqrt(2.0) : 1);
    } else {
      init::normal(weight, 0, deviation_of(setup.init), rng);
      if (layer.bias.defined()) layer.bias.mutable_value().fill_(0);
    }
  }
  if (setup.init == "fixup") init::fixup(model);
}

const std::vector<std::string>& init_names() {
  static const std::vector<std::string> names{"default",    "kaiming", "xavier",          "normal:S",
                                              "orthogonal", "fixup",   "patch-whitening", kAirbench};
  return names;
}

void check_init(const std::string& kind) {
  if (kind.starts_with(kNormal)) {
    const double s = deviation_of(kind);
    if (!(s > 0 && std::isfinite(s)))
      fail(ErrorKind::usage, "init", "expected a deviation above 0, such as normal:0.05, got \"{}\"",
           printable(kind));
    return;
  }
  const auto& names = init_names();
  if (std::find(names.begin(), names.end(), kind) == names.end())
    fail(ErrorKind::usage, "init", "expected one of {}, got \"{}\"", join(names, ", "), printable(kind));
}

void check_init_fits(const TrainSetup& setup, Module& model) {
  if (setup.init == "fixup") {
    bool residual = false;
    model.visit([&](const std::string&, Module& m) { residual |= m.role() == Role::residual; });
    if (!residual)
      fail(ErrorKind::usage, "init", "fixup needs a network of residual blocks, {} has none",
           model_label(setup.model));
  }
  if (!whitens(setup.init)) return;
  std::vector<Layer> layers = layers_of(model);
  if (layers.empty() || !layers[0].affine || !layers[0].affine->form().convolution)
    fail(ErrorKind::usage, "init", "{} needs a network that begins with a convolution, {} {}", setup.init,
         model_label(setup.model),
         layers.empty() ? "has no parameters"
                        : fmt::format("begins with {} {}", layers[0].kind, layers[0].path));
}

}  // namespace sigma
