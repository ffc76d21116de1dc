#include "layers/passes/patch_whitening.h"

#include <algorithm>
#include <cmath>

#include "core/kernels/gemm.h"
#include "core/linalg.h"
#include "core/math.h"

namespace sigma::init {
namespace {

// Sum of p p^T over all patches, (d, d).
Tensor patch_products(const Tensor& images, int64_t kh, int64_t kw) {
  const int64_t n = images.dim(0), channels = images.dim(1), h = images.dim(2), w = images.dim(3);
  const int64_t oh = h - kh + 1, ow = w - kw + 1, d = channels * kh * kw;
  const int64_t together = std::max<int64_t>(1, 16384 / (oh * ow));  // images at a time: a few MB of patches
  const Tensor planes = images.contiguous();  // once: each slice would rearrange all images
  Tensor sum = Tensor::zeros({d, d}, DType::float64);
  for (int64_t first = 0; first < n; first += together) {
    const int64_t count = std::min(together, n - first), columns = count * oh * ow;
    Tensor block = slice(planes, 0, first, count).to(DType::float64);
    Tensor patches = Tensor::empty({d, columns}, DType::float64);  // a column each
    const double* p = block.data<double>();
    double* to = patches.mutable_data<double>();
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t u = 0; u < kh; ++u)
        for (int64_t v = 0; v < kw; ++v)
          for (int64_t i = 0; i < count; ++i)
            for (int64_t y = 0; y < oh; ++y)
              to = std::copy_n(p + ((i * channels + c) * h + y + u) * w + v, ow, to);
    using kernels::Trans;
    const double* q = patches.data<double>();
    kernels::parallel_gemm(Trans::no, Trans::yes, d, d, columns, 1.0, q, columns, q, columns, 1.0,
                           sum.mutable_data<double>(), d);
  }
  return sum;
}

}  // namespace

void patch_whitening(Tensor& weight, const Tensor& images, double eps) {
  const char* tag = "patch_whitening";
  auto is_float = [](const Tensor& t) { return t.dtype() == DType::float32 || t.dtype() == DType::float64; };
  SIGMA_CHECK(weight.defined() && images.defined(), tag,
              "expected weights and images, got an undefined tensor");
  SIGMA_CHECK(weight.rank() == 4 && is_float(weight), tag,
              "expected float32 or float64 weights (out, in, kh, kw), got {} {}", name_of(weight.dtype()),
              weight.shape().str());
  SIGMA_CHECK(images.rank() == 4 && is_float(images), tag,
              "expected float32 or float64 images (N, in, H, W), got {} {}", name_of(images.dtype()),
              images.shape().str());
  const int64_t kh = weight.dim(2), kw = weight.dim(3), out = weight.dim(0), d = weight.dim(1) * kh * kw;
  SIGMA_CHECK(out > 0 && d > 0, tag, "expected filters of at least one number, got weights {}",
              weight.shape().str());
  SIGMA_CHECK(images.dim(1) == weight.dim(1), tag, "expected images of {} channels for weights {}, got {}",
              weight.dim(1), weight.shape().str(), images.shape().str());
  SIGMA_CHECK(images.dim(0) > 0, tag, "expected at least one image, got {}", images.shape().str());
  SIGMA_CHECK(images.dim(2) >= kh && images.dim(3) >= kw, tag,
              "expected images of at least the kernel's {}x{} pixels, got {}", kh, kw, images.shape().str());
  SIGMA_CHECK(std::isfinite(eps) && eps > 0, tag, "expected eps above 0, got {}", eps);
  SIGMA_CHECK(all_finite(images), tag, "expected finite images, got an infinity or NaN");

  const int64_t patches = images.dim(0) * (images.dim(2) - kh + 1) * (images.dim(3) - kw + 1);
  Svd eigen = svd(scale(patch_products(images, kh, kw), 1 / static_cast<double>(patches)));
  const double *lambda = eigen.s.data<double>(), *u = eigen.u.data<double>();  // filter i: column i of U
  Tensor filters = weight.contiguous().to(DType::float64).clone();
  double* w = filters.mutable_data<double>();
  for (int64_t i = 0; i < std::min(out, 2 * d); ++i) {
    const double factor = (i < d ? 1 : -1) / std::sqrt(lambda[i % d] + eps);
    for (int64_t k = 0; k < d; ++k) w[i * d + k] = factor * u[k * d + i % d];
  }
  weight.copy_(filters);
}

}  // namespace sigma::init
