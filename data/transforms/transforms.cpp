#include "data/transforms/transforms.h"

#include <array>
#include <cmath>

#include "core/parallel.h"
#include "core/text.h"

namespace sigma {
namespace {

// Float of each of the 256 pixel values, a channel.
std::vector<std::array<float, 256>> tables(const Normalization& n, int64_t channels) {
  std::vector<std::array<float, 256>> t(static_cast<size_t>(channels));
  for (size_t c = 0; c < t.size(); ++c) {
    double mean = n.mean[n.mean.size() == 1 ? 0 : c], std = n.std[n.std.size() == 1 ? 0 : c];
    for (size_t v = 0; v < 256; ++v)
      t[c][v] = static_cast<float>((static_cast<double>(v) / 255 - mean) / std);
  }
  return t;
}

int64_t reflect(int64_t i, int64_t size) {
  if (size == 1) return 0;
  int64_t period = 2 * (size - 1);
  i = ((i % period) + period) % period;
  return i < size ? i : period - i;
}

void check(const Normalization& n, int64_t channels) {
  auto fits = [channels](const std::vector<double>& v) {
    return v.size() == 1 || static_cast<int64_t>(v.size()) == channels;
  };
  SIGMA_CHECK(fits(n.mean) && fits(n.std), "normalize",
              "expected 1 or {} means and deviations, got {} and {}", channels, n.mean.size(), n.std.size());
  for (double s : n.std)
    SIGMA_CHECK(s > 0 && std::isfinite(s), "normalize", "expected deviations above 0, got {}", s);
}

void one_image(const uint8_t* image, int64_t h, int64_t w, int64_t channels, const Augmentation& a,
               const std::vector<std::array<float, 256>>& table, Rng rng, float* out) {
  bool flip = a.flip && rng.next_uniform() < .5;
  int64_t dy = 0, dx = 0;
  if (a.crop) {
    dy = static_cast<int64_t>(rng.next_below(static_cast<uint64_t>(2 * a.pad + 1))) - a.pad;
    dx = static_cast<int64_t>(rng.next_below(static_cast<uint64_t>(2 * a.pad + 1))) - a.pad;
  }
  for (int64_t i = 0; i < h; ++i)
    for (int64_t j = 0; j < w; ++j, out += channels) {
      int64_t y = i + dy, x = (flip ? w - 1 - j : j) + dx;
      bool inside = y >= 0 && y < h && x >= 0 && x < w;
      if (!inside && a.padding == Padding::reflect) y = reflect(y, h), x = reflect(x, w), inside = true;
      const uint8_t* from = image + (y * w + x) * channels;
      for (int64_t c = 0; c < channels; ++c) out[c] = table[static_cast<size_t>(c)][inside ? from[c] : 0];
    }
}

}  // namespace

const std::vector<std::string>& normalization_kinds() {
  static const std::vector<std::string> kinds{"none", "unit", "standard", "zca", "pca"};
  return kinds;
}

Normalization make_normalization(const std::string& kind, const Dataset& dataset, double epsilon) {
  if (kind == "none") return {kind, {0}, {1.0 / 255}};
  if (kind == "unit") return {kind, {0}, {1}};
  if (kind == "zca" || kind == "pca") {
    auto whitening = std::make_shared<Whitening>(make_whitening(kind, dataset.train.images, epsilon));
    return {kind, {0}, {1}, std::move(whitening)};
  }
  if (kind != "standard")
    fail(ErrorKind::usage, "normalize", "unknown kind \"{}\", expected one of {}", kind,
         join(normalization_kinds(), ", "));
  const Tensor& images = dataset.train.images;
  auto channels = static_cast<size_t>(images.dim(1));
  // Histograms are exact; their moments are too.
  std::vector<std::array<int64_t, 256>> counts(channels);
  for (auto& c : counts) c.fill(0);
  const uint8_t* p = images.data<uint8_t>();
  for (int64_t i = 0; i < images.numel(); ++i) ++counts[static_cast<size_t>(i) % channels][p[i]];
  Normalization n{kind, {}, {}};
  for (auto& count : counts) {
    double total = 0, sum = 0, square = 0;
    for (size_t v = 0; v < 256; ++v) {
      double x = static_cast<double>(v) / 255, k = static_cast<double>(count[v]);
      total += k, sum += k * x, square += k * x * x;
    }
    double mean = sum / total, var = square / total - mean * mean;
    n.mean.push_back(mean);
    n.std.push_back(var > 1e-12 ? std::sqrt(var) : 1);  // a constant channel is only centred
  }
  return n;
}

std::string describe(const Normalization& n) {
  auto list = [](const std::vector<double>& v) {
    std::string s;
    for (double x : v) s += fmt::format("{}{:.4f}", s.empty() ? "" : " ", x);
    return s;
  };
  if (!n.whitening) return fmt::format("{}: mean {}, std {}", n.kind, list(n.mean), list(n.std));
  const Whitening& w = *n.whitening;
  std::string epsilon = w.epsilon > 0 ? fmt::format(", epsilon {:g}", w.epsilon) : "";
  return fmt::format("{}: {} of {} directions, variance {:.3g} to {:.3g}{}", n.kind, w.kept, w.mean.numel(),
                     w.largest, w.smallest, epsilon);
}

Augmentation parse_augmentation(const std::string& text) {
  Augmentation a;
  a.flip = text == "flip" || text == "flip+crop" || text == "crop+flip";
  a.crop = text == "crop" || text == "flip+crop" || text == "crop+flip";
  if (!a.flip && !a.crop && text != "none")
    fail(ErrorKind::usage, "augment", "unknown kind \"{}\", expected none, flip, crop or flip+crop", text);
  return a;
}

Tensor normalized_images(const Tensor& images, const std::vector<int64_t>& rows,
                         const Normalization& normalization, const Augmentation& augmentation,
                         const std::function<Rng(int64_t)>& rng) {
  SIGMA_CHECK(images.rank() == 4 && images.layout() == Layout::channels_last, "normalize",
              "expected images (N, C, H, W) channels_last, got {}", images.shape().str());
  int64_t c = images.dim(1), h = images.dim(2), w = images.dim(3), size = c * h * w;
  check(normalization, c);
  auto table = tables(normalization, c);
  Tensor batch =
      Tensor::empty({static_cast<int64_t>(rows.size()), c, h, w}, DType::float32, Layout::channels_last);
  float* out = batch.mutable_data<float>();
  const uint8_t* from = images.data<uint8_t>();
  parallel_ranges(static_cast<int64_t>(rows.size()), 32, [&](int64_t i, int64_t end) {
    for (; i < end; ++i) {
      int64_t row = rows[static_cast<size_t>(i)];
      one_image(from + row * size, h, w, c, augmentation, table, rng ? rng(row) : Rng(0, ""), out + i * size);
    }
  });
  if (normalization.whitening) whiten(batch, *normalization.whitening);
  return batch;
}

}  // namespace sigma
