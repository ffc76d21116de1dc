#include "data/transforms/transforms.h"

#include <array>
#include <cmath>
#include <mutex>

#include "core/parallel.h"
#include "core/text.h"
#include "data/transforms/resized_crop.h"

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

using Table = std::vector<std::array<float, 256>>;

// Flips and crops; what a pixel becomes is `value(channel, pixel)`.
template <class T, class Value>
void one_image(const uint8_t* image, int64_t h, int64_t w, int64_t channels, const Augmentation& a, Rng rng,
               const Value& value, T* out) {
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
      for (int64_t c = 0; c < channels; ++c) out[c] = value(c, inside ? from[c] : uint8_t{0});
    }
}

// One image of a split, augmented, at its place in the batch.
void one_row(const Split& split, int64_t row, const Augmentation& given, const Table& table, const Rng& rng,
             const Shape& shape, float* out) {
  const int64_t c = shape[1], h = shape[2], w = shape[3], size = c * h * w;
  const auto normalized = [&](int64_t k, uint8_t v) { return table[static_cast<size_t>(k)][v]; };
  Augmentation moves{given.flip, given.crop, given.pad, given.padding};
  Image image{h, w, c, {}};
  if (given.crop && split.source && split.source->any_size()) {
    const Image original = split.source->original(row);
    const Window window = draw_window(original.height, original.width, rng.branch(".crop"));
    image = resized(original, window, h, w);
    moves.crop = false;
  } else if (!split.images.defined()) {
    image.pixels.resize(static_cast<size_t>(size));
    split.read(row, image.pixels.data());
  }
  const uint8_t* from =
      image.pixels.empty() ? split.images.data<uint8_t>() + row * size : image.pixels.data();
  if (given.changes.empty()) return one_image(from, h, w, c, moves, rng, normalized, out);
  Image changed{h, w, c, Bytes(static_cast<size_t>(size))};
  one_image(
      from, h, w, c, moves, rng, [](int64_t, uint8_t v) { return v; }, changed.pixels.data());
  for (const AugmentationRow* change : given.changes) change->change(changed, rng.branch("." + change->name));
  one_image(changed.pixels.data(), h, w, c, {}, rng, normalized, out);
}

// Whitening looks at each image several times; of the size that it takes, 100,000 are a gigabyte.
Tensor in_memory(const Split& split) {
  if (split.images.defined()) return split.images;
  const Shape s = split.shape();
  const int64_t size = s[1] * s[2] * s[3];
  if (size > kMaxWhitened)
    fail(ErrorKind::data, "whitening", "images of {} values are too large, expected at most {}", size,
         kMaxWhitened);
  Tensor images = Tensor::empty(s, DType::uint8, Layout::channels_last);
  uint8_t* to = images.mutable_data<uint8_t>();
  parallel_for(s[0], [&](int64_t i) { split.read(i, to + i * size); });
  return images;
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
    auto whitening = std::make_shared<Whitening>(make_whitening(kind, in_memory(dataset.train), epsilon));
    return {kind, {0}, {1}, std::move(whitening)};
  }
  if (kind != "standard")
    fail(ErrorKind::usage, "normalize", "unknown kind \"{}\", expected one of {}", kind,
         join(normalization_kinds(), ", "));
  // Histograms are exact; their moments are too, and those of a block at a time can be added up in any order.
  const Split& train = dataset.train;
  const auto channels = static_cast<size_t>(dataset.channels());
  using Counts = std::vector<std::array<int64_t, 256>>;
  auto count_into = [channels](Counts& counts, const uint8_t* p, int64_t values) {
    for (int64_t i = 0; i < values; ++i) ++counts[static_cast<size_t>(i) % channels][p[i]];
  };
  Counts counts(channels, std::array<int64_t, 256>{});
  if (train.images.defined()) {
    count_into(counts, train.images.data<uint8_t>(), train.images.numel());
  } else {  // one pass over the files
    const int64_t size = train.shape().numel() / std::max<int64_t>(1, train.size());
    std::mutex mutex;
    parallel_ranges(train.size(), 64, [&](int64_t i, int64_t end) {
      Counts some(channels, std::array<int64_t, 256>{});
      Bytes pixels(static_cast<size_t>(size));
      for (; i < end; ++i) {
        train.read(i, pixels.data());
        count_into(some, pixels.data(), size);
      }
      std::lock_guard lock(mutex);
      for (size_t k = 0; k < channels; ++k)
        for (size_t v = 0; v < 256; ++v) counts[k][v] += some[k][v];
    });
  }
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

Tensor normalized_images(const Split& split, const std::vector<int64_t>& rows,
                         const Normalization& normalization, const Augmentation& augmentation,
                         const std::function<Rng(int64_t)>& rng) {
  const Shape shape = split.shape();
  SIGMA_CHECK(
      !split.images.defined() || (shape.rank() == 4 && split.images.layout() == Layout::channels_last),
      "normalize", "expected images (N, C, H, W) channels_last, got {}", shape.str());
  int64_t c = shape[1], h = shape[2], w = shape[3];
  check(normalization, c);
  const Table table = tables(normalization, c);
  Tensor batch =
      Tensor::empty({static_cast<int64_t>(rows.size()), c, h, w}, DType::float32, Layout::channels_last);
  float* out = batch.mutable_data<float>();
  // What is read from files takes longer.
  const bool files = !split.images.defined() || (augmentation.crop && split.source);
  parallel_ranges(static_cast<int64_t>(rows.size()), files ? 1 : 32, [&](int64_t i, int64_t end) {
    for (; i < end; ++i)
      one_row(split, rows[static_cast<size_t>(i)], augmentation, table, rng ? rng(i) : Rng(0, ""), shape,
              out + i * c * h * w);
  });
  if (normalization.whitening) whiten(batch, *normalization.whitening);
  return batch;
}

Tensor denormalized_images(const Tensor& y, const Normalization& n) {
  SIGMA_CHECK(y.rank() == 4, "denormalize", "expected images (N, C, H, W), got {}", y.shape().str());
  SIGMA_CHECK(!n.whitening, "denormalize",
              "expected Normalize(mean, std), got {}: a whitening has no way back", n.kind);
  check(n, y.dim(1));
  Tensor pixels = y.to(DType::float32).contiguous().clone();
  float* p = pixels.mutable_data<float>();
  const int64_t places = y.dim(2) * y.dim(3);
  for (int64_t i = 0; i < y.dim(0) * y.dim(1); ++i) {
    const auto c = static_cast<size_t>(i % y.dim(1));
    const double mean = n.mean[n.mean.size() == 1 ? 0 : c], std = n.std[n.std.size() == 1 ? 0 : c];
    for (int64_t k = i * places; k < (i + 1) * places; ++k)
      p[k] = static_cast<float>(255 * (static_cast<double>(p[k]) * std + mean));
  }
  return pixels;
}

}  // namespace sigma
