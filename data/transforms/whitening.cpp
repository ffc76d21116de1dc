#include "data/transforms/whitening.h"

#include <cmath>
#include <limits>

#include "core/linalg.h"
#include "core/math.h"
#include "core/parallel.h"

namespace sigma {
namespace {

struct Covariance {
  std::vector<double> mean;
  Tensor matrix;  // float64 (d, d), divided by the number of images
};

// Sums of 8-bit pixels are exact, so the mean is; products of centred pixels are summed in float64, a block
// of images at a time.
Covariance covariance_of(const Tensor& images) {
  constexpr int64_t kBlock = 2048;
  int64_t n = images.dim(0), d = images.numel() / n;
  Tensor pixels = images.to(Layout::channels_last);
  const uint8_t* p = pixels.data<uint8_t>();
  std::vector<int64_t> sums(static_cast<size_t>(d), 0);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < d; ++j) sums[static_cast<size_t>(j)] += p[i * d + j];
  Covariance c;
  for (int64_t s : sums) c.mean.push_back(static_cast<double>(s) / 255 / static_cast<double>(n));
  for (int64_t at = 0; at < n; at += kBlock) {
    int64_t rows = std::min(kBlock, n - at);
    Tensor x = Tensor::empty({rows, d}, DType::float64);
    double* to = x.mutable_data<double>();
    parallel_ranges(rows, 64, [&](int64_t i, int64_t end) {
      for (; i < end; ++i)
        for (int64_t j = 0; j < d; ++j)
          to[i * d + j] = static_cast<double>(p[(at + i) * d + j]) / 255 - c.mean[static_cast<size_t>(j)];
    });
    Tensor product = matmul(transpose(x, 0, 1), x);
    if (c.matrix.defined())
      add_(c.matrix, product);
    else
      c.matrix = product;
  }
  c.matrix = scale(c.matrix, 1 / static_cast<double>(n));
  return c;
}

}  // namespace

Whitening make_whitening(const std::string& kind, const Tensor& images, double epsilon) {
  const char* tag = "whitening";
  SIGMA_CHECK(kind == "zca" || kind == "pca", tag, "expected zca or pca, got \"{}\"", kind);
  SIGMA_CHECK(epsilon >= 0 && std::isfinite(epsilon), tag, "expected an epsilon of at least 0, got {}",
              epsilon);
  SIGMA_CHECK(images.rank() == 4 && images.dtype() == DType::uint8 && images.dim(0) > 0, tag,
              "expected 8-bit images (N, C, H, W), got {} {}", name_of(images.dtype()), images.shape().str());
  int64_t d = images.numel() / images.dim(0);
  if (d > kMaxWhitened)
    fail(ErrorKind::data, tag,
         "images of {} values are too large, expected at most {} (32x32 in colour is 3072)", d, kMaxWhitened);
  Covariance c = covariance_of(images);
  Svd svd = sigma::svd(c.matrix, {.full_matrices = false});
  const double* v = svd.s.data<double>();
  const double rounding = 1 / (12.0 * 255 * 255);
  const double least =
      std::max(rounding, static_cast<double>(d) * std::numeric_limits<double>::epsilon() * v[0]);
  Whitening w;
  w.epsilon = epsilon;
  Tensor factors = Tensor::zeros({d}, DType::float64);
  for (int64_t i = 0; i < d && v[i] > least; ++i) {
    factors.mutable_data<double>()[i] = 1 / std::sqrt(v[i] + epsilon);
    w.smallest = v[i];
    ++w.kept;
  }
  if (w.kept == 0) fail(ErrorKind::data, tag, "the training images do not vary, so they cannot be whitened");
  w.largest = v[0];
  Tensor m = mul(svd.u, factors);  // columns scaled
  if (kind == "zca") m = matmul(m, transpose(svd.u, 0, 1));
  w.matrix = m.to(DType::float32);
  w.mean = Tensor::from<double>(c.mean, {d}).to(DType::float32);
  return w;
}

void whiten(Tensor& images, const Whitening& w) {
  SIGMA_CHECK(images.rank() == 4 && images.layout() == Layout::channels_last, "whitening",
              "expected images (N, C, H, W) channels_last, got {}", images.shape().str());
  int64_t n = images.dim(0), d = w.mean.numel();
  SIGMA_CHECK(n == 0 || images.numel() / n == d, "whitening", "expected images of {} values, got {}", d,
              images.shape().str());
  float* pixels = images.mutable_data<float>();
  const float* mean = w.mean.data<float>();
  Tensor centred = Tensor::empty({n, d});
  float* to = centred.mutable_data<float>();
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < d; ++j) to[i * d + j] = pixels[i * d + j] - mean[j];
  Tensor y = matmul(centred, w.matrix);
  std::copy_n(y.data<float>(), n * d, pixels);
}

}  // namespace sigma
