// An image before and after Normalize(mean, std).
#include <algorithm>
#include <cmath>

#include "apps/training/measures.h"
#include "apps/verbs/inspect.h"
#include "core/math.h"

namespace sigma::app {
namespace {

constexpr int64_t kBins = 32;

std::vector<double> deviations(const BatchMoments& m) {
  std::vector<double> d = m.biased;
  for (double& v : d) v = std::sqrt(v);
  return d;
}

std::vector<NormalizedImage::Shares> shares_of(const Tensor& images, double low, double high) {
  std::vector<NormalizedImage::Shares> all;
  for (int64_t c = 0; c < images.dim(1); ++c)
    all.push_back({low, high, histogram_shares(slice(images, 1, c, 1), low, high, kBins)});
  return all;
}

}  // namespace

NormalizedImage normalized_image(const Dataset& data, const Normalization& normalization,
                                 const std::vector<int64_t>& rows) {
  NormalizedImage n;
  n.words = describe(normalization);
  const auto label = static_cast<size_t>(data.train.labels.data<int64_t>()[rows[0]]);
  n.label = data.class_names.at(label);
  const Tensor pixels = normalized_images(data.train, rows, make_normalization("none", data)).contiguous(),
               after = normalized_images(data.train, rows, normalization).contiguous();
  n.pixels = index_rows(pixels, {0});
  n.normalized = index_rows(after, {0});
  if (!normalization.whitening) {
    const Tensor back = denormalized_images(after, normalization);
    n.back = index_rows(back, {0});
    n.back_error = max_abs_difference(back, pixels);
  }
  n.images = static_cast<int64_t>(rows.size());
  const BatchMoments a = batch_moments(pixels), b = batch_moments(after);
  n.mean = a.mean;
  n.std = deviations(a);
  n.new_mean = b.mean;
  n.new_std = deviations(b);
  n.before = shares_of(pixels, 0, 256);
  const double low = min(after).item(), high = max(after).item();
  n.after = shares_of(after, low, high > low ? high : low + 1);
  return n;
}

}  // namespace sigma::app
