// Initial weights: orthogonal ones have the Haar measure, whitening ones whiten.
#include <cmath>

#include "core/linalg.h"
#include "core/math.h"
#include "core/parallel.h"
#include "core/rng.h"
#include "layers/conv2d.h"
#include "layers/init.h"
#include "layers/passes/patch_whitening.h"
#include "tests/support/support.h"

using namespace sigma;
using namespace sigma::test;

namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// Mean of samples against what is expected, in standard errors of the samples' own deviation.
class Mean {
 public:
  void add(double x) { sum_ += x, squares_ += x * x, ++n_; }
  double errors_from(double expected) const {
    const double mean = sum_ / n_, variance = squares_ / n_ - mean * mean;
    return std::abs(mean - expected) / std::sqrt(variance / n_);
  }

 private:
  double sum_ = 0, squares_ = 0, n_ = 0;
};

// Images with structure: neighbours and channels are correlated, and the mean is not zero.
Tensor correlated_images(const Shape& shape, uint64_t seed, DType dtype = DType::float64) {
  Tensor x = randn(shape, seed), y = x.clone();
  const int64_t c = shape[1], h = shape[2], w = shape[3];
  double* p = y.mutable_data<double>();
  for (int64_t i = 0; i < y.numel(); ++i) {
    const int64_t column = i % w, row = i / w % h, channel = i / (w * h) % c;
    if (column > 0) p[i] += 0.9 * p[i - 1];
    if (row > 0) p[i] += 0.3 * p[i - w];
    if (channel > 0) p[i] += 0.7 * p[i - w * h];
    p[i] = 0.5 * p[i] + 0.1;
  }
  return y.to(dtype);
}

// Mean of p p^T over the patches, by definition.
Tensor patch_covariance(const Tensor& images, int64_t kh, int64_t kw) {
  const int64_t d = images.dim(1) * kh * kw;
  Tensor c = Tensor::zeros({d, d}, DType::float64);
  double* sum = c.mutable_data<double>();
  int64_t count = 0;
  for (int64_t n = 0; n < images.dim(0); ++n)
    for (int64_t y = 0; y + kh <= images.dim(2); ++y)
      for (int64_t x = 0; x + kw <= images.dim(3); ++x, ++count) {
        std::vector<double> p;
        for (int64_t k = 0; k < d; ++k)
          p.push_back(images.at({n, k / (kh * kw), y + k / kw % kh, x + k % kw}));
        for (int64_t i = 0; i < d * d; ++i)
          sum[i] += p[static_cast<size_t>(i / d)] * p[static_cast<size_t>(i % d)];
      }
  return scale(c, 1.0 / static_cast<double>(count));
}

std::string refusal(const Shape& weight, const Tensor& images, double eps = 5e-4) {
  return error_of([&] {
    Tensor w = Tensor::zeros(weight);
    init::patch_whitening(w, images, eps);
  });
}

}  // namespace

// Haar measure on the orthogonal group O(n): every entry has mean 0, mean square 1/n and mean fourth power
// 3 / (n (n+2)); the trace has mean 0, mean square 1 and, for n = 4, mean fourth power 3 (Diaconis and
// Shahshahani 1994); trace(Q^2) has mean 1; the determinant is 1 or -1 alike. The usual mistake, a QR
// factorisation without fixing the signs of R, has a mean trace of about -n/2.
TEST_CASE("square orthogonal initial values have the Haar measure", "[init]") {
  const int n = 4;
  Mean trace, trace2, trace4, trace_of_square, determinant;
  std::vector<Mean> entry(n * n), entry2(n * n), entry4(n * n), row_products(n);
  for (uint64_t seed = 0; seed < 6000; ++seed) {
    Tensor t = Tensor::zeros({n, n}, DType::float64);
    init::orthogonal(t, Rng(seed, "haar"));
    const double* q = t.data<double>();
    double tr = 0, square = 0, det = 0;
    for (int i = 0; i < n; ++i) {
      tr += q[i * n + i];
      for (int j = 0; j < n; ++j) square += q[i * n + j] * q[j * n + i];
    }
    // Laplace along the first two rows.
    for (int a = 0; a < n; ++a)
      for (int b = a + 1; b < n; ++b) {
        int c = 0, d = 3;
        while (c == a || c == b) ++c;
        while (d == a || d == b) --d;
        auto minor = [&](int row, int i, int j) {
          return q[row * n + i] * q[(row + 1) * n + j] - q[row * n + j] * q[(row + 1) * n + i];
        };
        det += ((a + b) % 2 ? 1 : -1) * minor(0, a, b) * minor(2, c, d);
      }
    REQUIRE(std::abs(std::abs(det) - 1) < 1e-13);
    trace.add(tr), trace2.add(tr * tr), trace4.add(tr * tr * tr * tr);
    trace_of_square.add(square), determinant.add(det);
    for (size_t i = 0; i < entry.size(); ++i) {
      const double v = q[i];
      entry[i].add(v), entry2[i].add(v * v), entry4[i].add(v * v * v * v);
    }
    for (size_t i = 0; i < n; ++i)
      row_products[i].add(q[i] * q[n + (i + 1) % n]);  // of different rows and columns
  }
  CHECK(trace.errors_from(0) < 5);
  CHECK(trace2.errors_from(1) < 5);
  CHECK(trace4.errors_from(3) < 5);
  CHECK(trace_of_square.errors_from(1) < 5);
  CHECK(determinant.errors_from(0) < 5);
  double worst = 0;
  for (const Mean& m : entry) worst = std::max(worst, m.errors_from(0));
  for (const Mean& m : entry2) worst = std::max(worst, m.errors_from(1.0 / n));
  for (const Mean& m : entry4) worst = std::max(worst, m.errors_from(3.0 / (n * (n + 2))));
  for (const Mean& m : row_products) worst = std::max(worst, m.errors_from(0));
  CHECK(worst < 5);
}

// A few rows (columns) of a Haar matrix of size `length`: entries have mean 0 and mean square gain^2 /
// length, and as a whole the matrix is as likely as its product with any orthogonal matrix, so that the sums
// of squares of the entries of one place along the long side have that mean, too.
TEST_CASE("tall, wide and convolutional orthogonal values are uniform, with their gain", "[init]") {
  for (Shape shape : {Shape{2, 6}, {6, 2}, {3, 2, 2, 2}, {9, 1, 2, 2}})
    for (double gain : {1.0, 1.5}) {
      INFO(shape.str() << " gain " << gain);
      const int64_t rows = shape[0], numbers = shape.numel(), columns = numbers / rows,
                    length = std::max(rows, columns), few = std::min(rows, columns);
      std::vector<Mean> entry(static_cast<size_t>(numbers)), square(entry.size()), neighbours(entry.size());
      for (uint64_t seed = 0; seed < 3000; ++seed) {
        Tensor t = Tensor::zeros(shape, DType::float64,
                                 shape.rank() == 4 ? Layout::channels_last : Layout::contiguous);
        init::orthogonal(t, Rng(seed, "stiefel"), gain);
        Tensor m = t.contiguous().reshape({rows, columns}), mt = transpose(m, 0, 1);
        if (seed < 10) {
          Tensor gram = rows <= columns ? matmul(m, mt) : matmul(mt, m),
                 unit = Tensor::zeros(gram.shape(), DType::float64);
          for (int64_t i = 0; i < few; ++i) unit.mutable_data<double>()[i * few + i] = gain * gain;
          CHECK(max_abs_difference(gram, unit) < 1e-14);
        }
        const double* v = m.data<double>();
        for (size_t i = 0; i < entry.size(); ++i) {
          entry[i].add(v[i]), square[i].add(v[i] * v[i]);
          neighbours[i].add(v[i] * v[(i + 1) % entry.size()]);
        }
      }
      double worst = 0;
      for (size_t i = 0; i < entry.size(); ++i)
        worst = std::max({worst, entry[i].errors_from(0), neighbours[i].errors_from(0),
                          square[i].errors_from(gain * gain / static_cast<double>(length))});
      CHECK(worst < 5);
    }
}

TEST_CASE("patch whitening whitens the patches of the images", "[init]") {
  struct Case {
    Shape images;
    int64_t out, kh, kw;
    DType dtype;
  };
  const double eps = 5e-4;
  for (const Case& c : {Case{{20, 3, 8, 9}, 24, 2, 2, DType::float64},
                        {{15, 2, 7, 6}, 30, 3, 2, DType::float64},
                        {{3, 1, 150, 120}, 9, 3, 3, DType::float64},  // several blocks of patches
                        {{20, 3, 8, 9}, 16, 3, 3, DType::float64},    // fewer filters than directions
                        {{20, 3, 8, 9}, 24, 2, 2, DType::float32}}) {
    INFO(c.images.str() << " " << c.kh << "x" << c.kw << " " << name_of(c.dtype));
    Tensor images = correlated_images(c.images, 5, c.dtype);
    const int64_t d = c.images[1] * c.kh * c.kw, kept = std::min(c.out, d);
    Tensor before = randn({c.out, c.images[1], c.kh, c.kw}, 6, c.dtype),
           weight = before.to(Layout::channels_last);
    if (weight.shares_storage(before)) weight = weight.clone();
    init::patch_whitening(weight, images, eps);
    CHECK(weight.layout() == Layout::channels_last);

    // The mean squares of the convolution's responses, by way of the layer itself.
    Variable y = conv2d(Variable(images.to(DType::float64)), Variable(weight.to(DType::float64)), Variable(),
                        {.kernel = {c.kh, c.kw}});
    const int64_t positions = y.numel() / c.out;
    Tensor r = permute(y.value().contiguous(), {1, 0, 2, 3}).reshape({c.out, positions});
    Tensor moments = scale(matmul(r, transpose(r, 0, 1)), 1.0 / static_cast<double>(positions));
    Tensor lambda = svdvals(patch_covariance(images, c.kh, c.kw));
    const double rounding = c.dtype == DType::float64 ? 1e-11 : 1e-4;
    double worst = 0;
    for (int64_t i = 0; i < kept; ++i)
      for (int64_t j = 0; j < kept; ++j) {
        const double l = lambda.at({i}), expected = i == j ? l / (l + eps) : 0;
        worst = std::max(worst, std::abs(moments.at({i, j}) - expected));
      }
    CHECK(worst < rounding);
    CHECK(lambda.at({0}) > 10 * lambda.at({d - 1}));  // the images were not white before

    Tensor rows = weight.contiguous().reshape({c.out, d}), old = before.contiguous().reshape({c.out, d});
    const int64_t negatives = std::min(c.out, 2 * d) - kept;
    CHECK(identical(slice(rows, 0, kept, negatives), neg(slice(rows, 0, 0, negatives))));
    if (c.out > 2 * d)
      CHECK(identical(slice(rows, 0, 2 * d, c.out - 2 * d), slice(old, 0, 2 * d, c.out - 2 * d)));

    for (int64_t i = 0; i < kept; ++i) {  // the first entry of a filter within 1% of the largest is positive
      std::vector<double> v = slice(rows, 0, i, 1).to_vector();
      double largest = 0;
      for (double x : v) largest = std::max(largest, std::abs(x));
      CHECK(*std::find_if(v.begin(), v.end(), [&](double x) { return std::abs(x) >= .99 * largest; }) > 0);
    }

    Tensor again = before.clone();  // another layout of both, other threads: the same bits
    const int threads = num_threads();
    set_num_threads(threads == 1 ? 3 : 1);
    init::patch_whitening(again, images.to(Layout::channels_last), eps);
    set_num_threads(threads);
    CHECK(identical(again.contiguous(), weight.contiguous()));
  }
}

TEST_CASE("patch whitening has a fixed sign and order", "[init]") {
  // Two pixels, equal but for noise: the sum is the first direction, the difference the second.
  Tensor images = randn({500, 1, 1, 2}, 9);
  double* p = images.mutable_data<double>();
  for (int64_t i = 0; i < 500; ++i) p[2 * i + 1] = p[2 * i] + 0.01 * p[2 * i + 1];
  Tensor w = Tensor::zeros({5, 1, 1, 2}, DType::float64);
  init::patch_whitening(w, images);
  std::vector<double> v = w.to_vector();
  CHECK(v[0] > 0);
  CHECK(v[0] == Approx(v[1]).epsilon(0.05));
  CHECK(v[2] > 0);
  CHECK(v[3] == Approx(-v[2]).epsilon(0.05));
  CHECK(v[2] > 10 * v[0]);  // the direction of small variance is amplified
  CHECK((v[4] == -v[0] && v[5] == -v[1] && v[6] == -v[2] && v[7] == -v[3]));
  CHECK((v[8] == 0 && v[9] == 0));
  // Negated images have the same second moments, so the same filters.
  Tensor other = Tensor::zeros({5, 1, 1, 2}, DType::float64);
  init::patch_whitening(other, neg(images));
  CHECK(identical(other, w));
}

TEST_CASE("patch whitening of constant images is finite", "[init]") {
  for (double value : {0.0, 1.0, -3.5}) {
    INFO(value);
    Tensor w = Tensor::full({30, 3, 2, 2}, 7);
    init::patch_whitening(w, Tensor::full({4, 3, 5, 5}, value));
    CHECK(all_finite(w));
    Tensor rows = w.reshape({30, 12}).to(DType::float64);
    const double first = norm2(slice(rows, 0, 0, 1)), last = norm2(slice(rows, 0, 11, 1));
    CHECK(first == Approx(1 / std::sqrt(12 * value * value + 5e-4)).epsilon(1e-6));
    CHECK(last == Approx(1 / std::sqrt(5e-4)).epsilon(1e-6));
    CHECK(slice(rows, 0, 24, 6).to_vector() == std::vector<double>(72, 7));
  }
  Tensor w = Tensor::zeros({4, 1, 2, 2});
  init::patch_whitening(w, randn({1, 1, 2, 2}, 1));  // one patch
  CHECK(all_finite(w));
}

TEST_CASE("patch whitening refuses what does not fit", "[init]") {
  Tensor images = randn({2, 3, 5, 5}, 1, DType::float32);
  const std::string tag = "[patch_whitening] ";
  CHECK(contains(refusal({4, 1, 2, 2}, images),
                 tag + "expected images of 1 channels for weights (4, 1, 2, 2), got"));
  CHECK(contains(refusal({4, 3, 6, 2}, images), "at least the kernel's 6x2 pixels, got (2, 3, 5, 5)"));
  CHECK(contains(refusal({4, 3, 2, 6}, images), "at least the kernel's 2x6 pixels"));
  CHECK(contains(refusal({4, 3, 2, 2}, Tensor::zeros({0, 3, 5, 5})), "at least one image, got (0, 3, 5, 5)"));
  CHECK(contains(refusal({0, 3, 2, 2}, images), "at least one number"));
  CHECK(contains(refusal({4, 3, 0, 2}, images), "at least one number"));
  CHECK(contains(refusal({4, 3}, images), "weights (out, in, kh, kw), got float32 (4, 3)"));
  CHECK(contains(refusal({4, 3, 2, 2}, Tensor::zeros({3, 5, 5})),
                 "images (N, in, H, W), got float32 (3, 5, 5)"));
  CHECK(contains(refusal({4, 3, 2, 2}, Tensor::zeros({2, 3, 5, 5}, DType::uint8)), "got uint8"));
  CHECK(contains(refusal({4, 3, 2, 2}, Tensor()), "undefined"));
  CHECK(contains(refusal({4, 3, 2, 2}, Tensor::full({2, 3, 5, 5}, std::nan(""))), "expected finite images"));
  for (double eps : {0.0, -1.0, std::nan(""), HUGE_VAL})
    CHECK(contains(refusal({4, 3, 2, 2}, images, eps), "expected eps above 0"));
}
