#include "training/grad_cam.h"

#include <algorithm>
#include <cmath>

#include "layers/passes/trace.h"

namespace sigma {
namespace {

bool has_places(const Shape& s) { return s.rank() == 4 && s[2] * s[3] > 1; }

// The logits, and the output of `layer` or of the last that has places; undefined when none had.
struct Seen {
  Variable logits, features;
};

Seen look(Module& model, const Tensor& images, const std::string& layer) {
  Seen seen;
  ScopedHooks hooks;
  const auto keep = [&seen](const Module&, const Variable&, const Variable& out) {
    if (has_places(out.shape())) seen.features = out;
  };
  if (layer.empty()) {
    model.visit([&](const std::string&, Module& m) { hooks.add(m, keep); });
  } else {
    Module* m = model.find(layer);
    SIGMA_CHECK(m, "grad_cam", "the network has no layer \"{}\"", layer);
    hooks.add(*m, keep);
  }
  NoGrad on(true);
  // The images ask for a gradient, which is never computed, so that a network without trainable weights
  // records what happens, too.
  seen.logits = model(Variable(images, true));
  return seen;
}

// max(0, sum_k a_k A_k) of one image, in double and in the order of the channels.
std::vector<double> map_of(const float* features, const float* gradients, int64_t channels, int64_t places) {
  std::vector<double> map(static_cast<size_t>(places), 0.0);
  for (int64_t k = 0; k < channels; ++k) {
    const float *a = features + k * places, *g = gradients + k * places;
    double weight = 0;
    for (int64_t i = 0; i < places; ++i) weight += static_cast<double>(g[i]);
    weight /= static_cast<double>(places);
    for (int64_t i = 0; i < places; ++i) map[static_cast<size_t>(i)] += weight * static_cast<double>(a[i]);
  }
  for (double& v : map) v = std::max(0.0, v);
  return map;
}

// Where output `i` of `to` lies among `from` places: between two neighbours, at a fraction.
struct Between {
  int64_t low, high;
  double t;
};
Between between(int64_t i, int64_t from, int64_t to) {
  const double at = std::max(
      0.0, (static_cast<double>(i) + 0.5) * static_cast<double>(from) / static_cast<double>(to) - 0.5);
  const int64_t low = std::min(static_cast<int64_t>(at), from - 1);
  return {low, std::min(low + 1, from - 1), at - static_cast<double>(low)};
}

// Resized to height x width and divided by the maximum.
void write_heat(const std::vector<double>& map, int64_t h, int64_t w, int64_t height, int64_t width,
                float* heat) {
  std::vector<double> large;
  large.reserve(static_cast<size_t>(height * width));
  const auto at = [&](int64_t y, int64_t x) { return map[static_cast<size_t>(y * w + x)]; };
  for (int64_t i = 0; i < height; ++i) {
    const Between y = between(i, h, height);
    for (int64_t j = 0; j < width; ++j) {
      const Between x = between(j, w, width);
      const double upper = (1 - x.t) * at(y.low, x.low) + x.t * at(y.low, x.high);
      const double lower = (1 - x.t) * at(y.high, x.low) + x.t * at(y.high, x.high);
      large.push_back((1 - y.t) * upper + y.t * lower);
    }
  }
  const bool finite = std::all_of(large.begin(), large.end(), [](double v) { return std::isfinite(v); });
  const double top = finite ? *std::max_element(large.begin(), large.end()) : 0;
  for (size_t i = 0; i < large.size(); ++i) heat[i] = top > 0 ? static_cast<float>(large[i] / top) : 0.0f;
}

Tensor one_hot(const std::vector<int64_t>& classes, const Variable& logits) {
  Tensor seed = Tensor::zeros(logits.shape(), DType::float32);
  for (size_t i = 0; i < classes.size(); ++i) {
    SIGMA_CHECK(classes[i] >= 0 && classes[i] < logits.dim(1), "grad_cam", "expected classes 0 to {}, got {}",
                logits.dim(1) - 1, classes[i]);
    seed.mutable_data<float>()[static_cast<int64_t>(i) * logits.dim(1) + classes[i]] = 1;
  }
  return seed.to(logits.dtype());
}

}  // namespace

Tensor grad_cam(Module& model, const Tensor& images, const std::vector<int64_t>& classes,
                const std::string& layer) {
  SIGMA_CHECK(images.rank() == 4 && images.numel() > 0, "grad_cam", "expected images (N, C, H, W), got {}",
              images.shape().str());
  SIGMA_CHECK(static_cast<int64_t>(classes.size()) == images.dim(0), "grad_cam",
              "expected a class for each of {} images, got {}", images.dim(0), classes.size());
  ScopedMode mode(model);
  model.eval();
  const Seen seen = look(model, images, layer);
  if (!seen.features.defined() && !layer.empty())
    fail(ErrorKind::usage, "grad_cam",
         "the output of layer \"{}\" has no places: expected (N, C, h, w) of "
         "more than one",
         layer);
  if (!seen.features.defined())
    fail(ErrorKind::usage, "grad_cam",
         "no layer of the network gives images (N, C, h, w) of more than one place, so that there is nothing "
         "to point to; it needs a convolution or pooling layer");
  SIGMA_CHECK(seen.logits.rank() == 2 && seen.logits.dim(0) == images.dim(0), "grad_cam",
              "expected logits ({}, classes), got {}", images.dim(0), seen.logits.shape().str());
  const Variables gradients = grad({seen.logits}, {seen.features}, {Variable(one_hot(classes, seen.logits))});
  const Tensor features = seen.features.value().to(DType::float32).contiguous(),
               slopes = gradients[0].value().to(DType::float32).contiguous();
  const int64_t channels = features.dim(1), h = features.dim(2), w = features.dim(3);
  Tensor heat = Tensor::zeros({images.dim(0), images.dim(2), images.dim(3)}, DType::float32);
  const int64_t size = images.dim(2) * images.dim(3);
  for (int64_t i = 0; i < images.dim(0); ++i) {
    const int64_t from = i * channels * h * w;
    write_heat(map_of(features.data<float>() + from, slopes.data<float>() + from, channels, h * w), h, w,
               images.dim(2), images.dim(3), heat.mutable_data<float>() + i * size);
  }
  return heat;
}

bool has_spatial_layer(Module& model, const Shape& images) {
  const std::vector<TraceRow> rows = trace(model, images);
  return std::any_of(rows.begin(), rows.end(), [](const TraceRow& r) { return has_places(r.out); });
}

Image heat_overlay(const Image& image, const Tensor& heat) {
  SIGMA_CHECK(heat.rank() == 2 && heat.dim(0) == image.height && heat.dim(1) == image.width, "heat_overlay",
              "expected a heat for each of {}x{} pixels, got {}", image.height, image.width,
              heat.shape().str());
  // Five colours of matplotlib's inferno, which grows lighter all the way.
  static constexpr double kColors[5][3] = {
      {0, 0, 4}, {87, 16, 110}, {188, 55, 84}, {249, 142, 9}, {252, 255, 164}};
  constexpr double kOver = 0.6;  // of the heat; the rest is the image
  const Image grey = to_channels(image, 1);
  const Tensor values = heat.to(DType::float32).contiguous();
  Image out;
  out.height = image.height;
  out.width = image.width;
  out.channels = 3;
  for (int64_t i = 0; i < values.numel(); ++i) {
    const double v = 4 * std::clamp(static_cast<double>(values.data<float>()[i]), 0.0, 1.0);
    const int low = std::min(3, static_cast<int>(v));
    for (int c = 0; c < 3; ++c) {
      const double color = kColors[low][c] + (v - low) * (kColors[low + 1][c] - kColors[low][c]);
      const double mixed =
          kOver * color + (1 - kOver) * static_cast<double>(grey.pixels[static_cast<size_t>(i)]);
      out.pixels.push_back(static_cast<uint8_t>(mixed + 0.5));
    }
  }
  return out;
}

}  // namespace sigma
