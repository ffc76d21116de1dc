#include "layers/passes/spectrum.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <limits>
#include <map>
#include <numbers>

#include "core/linalg.h"
#include "core/math.h"
#include "core/parallel.h"
#include "core/rng.h"
#include "layers/affine.h"
#include "layers/passes/trace.h"

namespace sigma {
namespace {

using Complex = std::complex<double>;

// e^(2 pi i j / n) for j in 0..n-1. Callers reduce their index mod n while it is an integer, so that the
// angle is correctly rounded; cos(2 pi 900 * 1000 / 1024) computed as it stands is off by 1e-13.
std::vector<Complex> roots_of_unity(int64_t n) {
  std::vector<Complex> roots;
  for (int64_t j = 0; j < n; ++j) {
    double angle = 2 * std::numbers::pi * static_cast<double>(j) / static_cast<double>(n);
    roots.emplace_back(std::cos(angle), std::sin(angle));
  }
  return roots;
}

void check_floating(const char* tag, const Tensor& t) {
  SIGMA_CHECK(t.defined(), tag, "expected a tensor, got an undefined one");
  SIGMA_CHECK(t.dtype() == DType::float32 || t.dtype() == DType::float64, tag,
              "expected float32 or float64 values, got {}", name_of(t.dtype()));
}

// Finite and not negative.
std::vector<double> checked_values(const char* tag, const Tensor& values) {
  check_floating(tag, values);
  std::vector<double> s = values.to_vector();
  for (double v : s)
    SIGMA_CHECK(std::isfinite(v) && v >= 0, tag, "expected singular values, finite and at least 0, got {}",
                v);
  return s;
}

// Sets to 0 those of descending values of m x n matrices that are rounding alone: matrix_rank's rule.
void drop_rounding(double* s, int64_t count, int64_t m, int64_t n) {
  const double zero = s[0] * static_cast<double>(std::max(m, n)) * std::numeric_limits<double>::epsilon();
  for (int64_t i = 0; i < count; ++i)
    if (s[i] <= zero) s[i] = 0;
}

// One group's values by output frequency, appended to `all`.
void append_spectrum(const Tensor& weight, int64_t h, int64_t w, Pair stride, Pair dilation,
                     std::vector<double>& all) {
  const int64_t out = weight.dim(0), in = weight.dim(1), kh = weight.dim(2), kw = weight.dim(3);
  const int64_t oh = h / stride.h, ow = w / stride.w, aliases = stride.h * stride.w, taps = kh * kw;
  // A real kernel gives W(-f) = conj W(f), with the same singular values: of each pair -g, g one is computed.
  struct Frequency {
    int64_t i, j, times;
  };
  std::vector<Frequency> frequencies;
  for (int64_t i = 0; i < oh; ++i)
    for (int64_t j = 0; j < ow; ++j) {
      int64_t self = i * ow + j, mirror = (oh - i) % oh * ow + (ow - j) % ow;
      if (self <= mirror) frequencies.push_back({i, j, self == mirror ? 1 : 2});
    }
  // The transform at all frequencies as one product, (frequencies x taps) times (taps x C_in C_out). For 3x3
  // that is 9 multiply-adds, 72 flops, a frequency and pair of channels, at the speed of a matrix product. An
  // FFT of the kernel padded with zeros to 32x32 is 5 log2(1024) = 50 flops, strided, and 114 times the
  // kernel in memory; it wants sizes with small factors, and its error grows with their logarithm. Either is
  // little beside the SVD, about 11 min(C_in, C_out) flops. Taps are written C_in x C_out, so that the
  // aliases of a frequency, one below the other, are the block's transpose.
  Tensor kernel = permute(weight.to(DType::float64).contiguous(), {2, 3, 1, 0}).reshape({taps, in * out});
  kernel = complex(kernel, Tensor::zeros_like(kernel));
  const std::vector<Complex> along_h = roots_of_unity(h), along_w = roots_of_unity(w);
  const double norm = 1 / std::sqrt(static_cast<double>(aliases));
  // 2^22 complex numbers, 64 MB, at a time.
  const int64_t block = aliases * in * out, at_once = std::max<int64_t>(1, (int64_t{1} << 22) / block);
  const auto total = static_cast<int64_t>(frequencies.size());
  for (int64_t begin = 0; begin < total; begin += at_once) {
    const int64_t count = std::min(at_once, total - begin);
    Tensor roots = Tensor::empty({count * aliases, taps}, DType::complex128);
    Complex* to = roots.mutable_data<Complex>();
    for (int64_t k = 0; k < count; ++k) {
      const Frequency& f = frequencies[static_cast<size_t>(begin + k)];
      for (int64_t a = 0; a < aliases; ++a) {
        int64_t fi = f.i + a / stride.w * oh, fj = f.j + a % stride.w * ow;
        for (int64_t u = 0; u < kh; ++u)
          for (int64_t v = 0; v < kw; ++v)
            *to++ = norm * along_h[static_cast<size_t>(u * dilation.h % h * fi % h)] *
                    along_w[static_cast<size_t>(v * dilation.w % w * fj % w)];
      }
    }
    // gesdd by name: automatic would take Jacobi for channels of very different size, 20 times slower, and of
    // a few hundred blocks that is minutes.
    Tensor s = svdvals(matmul(roots, kernel).reshape({count, aliases * in, out}), SvdDriver::gesdd);
    const int64_t values = s.dim(1);
    const double* from = s.data<double>();
    for (int64_t k = 0; k < count; ++k)
      for (int64_t t = 0; t < frequencies[static_cast<size_t>(begin + k)].times; ++t)
        all.insert(all.end(), from + k * values, from + (k + 1) * values);
  }
}

// fn(path, layer) for every affine layer, parents first.
template <class Fn>
void each_layer(Module& model, Fn fn) {
  model.visit([&](const std::string& path, Module& m) {
    if (AffineLayer* layer = m.affine()) fn(path, *layer);
  });
}

// Keeps the chosen samples of one layer's outputs, batch after batch.
class Sampler {
 public:
  Sampler(int64_t images, int64_t max_samples, int feature_dimension)
      : images_(images), max_samples_(max_samples), dimension_(feature_dimension) {}

  void add(const Tensor& y) {
    const int64_t n = y.dim(0), c = y.dim(dimension_), rows = c ? y.numel() / c : 0;
    if (n == 0 || rows == 0) return;
    const int64_t positions = rows / n, all = checked_mul(images_, positions);
    features_ = c;
    kept_ = std::min(all, max_samples_);
    const bool last = dimension_ == -1 || dimension_ == y.rank() - 1;
    const bool innermost = last || y.layout() == Layout::channels_last;
    dispatch_floating(y.dtype(), "activation_spectra", [&](auto zero) {
      const auto* p = y.data<decltype(zero)>();
      for (; next_ < kept_; ++next_) {
        int64_t low = next_ * all / kept_, part = (next_ + 1) * all / kept_ - low;
        int64_t row =
            low +
            static_cast<int64_t>(
                Rng(0, "spectrum", static_cast<uint64_t>(next_)).next_below(static_cast<uint64_t>(part)));
        if (row >= seen_ + rows) break;
        row -= seen_;
        int64_t start = innermost ? row * c : row / positions * c * positions + row % positions;
        for (int64_t k = 0; k < c; ++k)
          values_.push_back(static_cast<double>(p[start + k * (innermost ? 1 : positions)]));
      }
    });
    seen_ += rows;
  }
  bool used() const { return features_ > 0; }
  ActivationSpectrum spectrum(const std::string& path) const {
    const int64_t n = static_cast<int64_t>(values_.size()) / features_;
    Tensor samples = Tensor::from(values_, {n, features_});
    SIGMA_CHECK(all_finite(samples), "activation_spectra", "the output of {} is not finite", path);
    return {path, n, features_, covariance_spectrum(samples)};
  }

 private:
  int64_t images_, max_samples_;
  int dimension_;
  int64_t features_ = 0, kept_ = 0, next_ = 0, seen_ = 0;
  std::vector<double> values_;
};

}  // namespace

Tensor conv_singular_values(const Tensor& weight, int64_t h, int64_t w, Pair stride, Pair dilation,
                            int64_t groups) {
  const char* tag = "conv_singular_values";
  check_floating(tag, weight);
  SIGMA_CHECK(weight.rank() == 4 && weight.numel() > 0, tag,
              "expected weights (C_out, C_in / groups, KH, KW) of at least 1 each, got {}",
              weight.shape().str());
  SIGMA_CHECK(h > 0 && w > 0, tag, "expected an image of at least 1x1, got {}x{}", h, w);
  SIGMA_CHECK(stride.h > 0 && stride.w > 0 && dilation.h > 0 && dilation.w > 0, tag,
              "expected stride and dilation of at least 1, got {} and {}", stride.str(), dilation.str());
  SIGMA_CHECK(h % stride.h == 0 && w % stride.w == 0, tag,
              "expected an image of a multiple of the stride {}, got {}x{}", stride.str(), h, w);
  SIGMA_CHECK(groups > 0 && weight.dim(0) % groups == 0, tag,
              "expected groups that divide {} channels, got {}", weight.dim(0), groups);
  SIGMA_CHECK(all_finite(weight), tag, "expected finite weights, got a NaN or an infinity");
  std::vector<double> all;
  const int64_t out = weight.dim(0) / groups;
  for (int64_t g = 0; g < groups; ++g)
    append_spectrum(groups == 1 ? weight : slice(weight, 0, g * out, out), h, w, stride, dilation, all);
  std::sort(all.begin(), all.end(), std::greater<>());
  // Beside the largest of all: what is left of a frequency that vanishes as a whole is rounding too. Taps
  // count: the mean of two pixels at width 30 leaves 1.3 epsilon.
  drop_rounding(all.data(), static_cast<int64_t>(all.size()), out,
                stride.h * stride.w * weight.numel() / weight.dim(0));
  return Tensor::from(all, {static_cast<int64_t>(all.size())});
}

Tensor weight_singular_values(const Tensor& weight) {
  check_floating("weight_singular_values", weight);
  SIGMA_CHECK(weight.rank() >= 2 && weight.numel() > 0, "weight_singular_values",
              "expected weights of at least 2 dimensions and 1 element, got {}", weight.shape().str());
  Tensor w = weight.to(DType::float64).reshape({weight.dim(0), -1}), s = svdvals(w);
  drop_rounding(s.mutable_data<double>(), s.numel(), w.dim(0), w.dim(1));
  return s;
}

double effective_rank(const Tensor& values) {
  std::vector<double> s = checked_values("effective_rank", values);
  double top = 0, sum = 0, entropy = 0;
  for (double v : s) top = std::max(top, v);
  if (top == 0) return 0;
  for (double v : s) sum += v / top;  // the sum alone may overflow
  for (double v : s)
    if (double p = v / top / sum; p > 0) entropy -= p * std::log(p);
  return std::exp(entropy);
}

double condition_number(const Tensor& values) {
  std::vector<double> s = checked_values("condition_number", values);
  if (s.empty()) return 0;
  auto [low, high] = std::minmax_element(s.begin(), s.end());
  return *low == 0 ? std::numeric_limits<double>::infinity() : *high / *low;
}

Tensor covariance_spectrum(const Tensor& samples) {
  const char* tag = "covariance_spectrum";
  check_floating(tag, samples);
  SIGMA_CHECK(samples.rank() == 2 && samples.dim(0) >= 2 && samples.dim(1) >= 1, tag,
              "expected samples (N, C) of at least 2 x 1, got {}", samples.shape().str());
  SIGMA_CHECK(all_finite(samples), tag, "expected finite samples, got a NaN or an infinity");
  const int64_t n = samples.dim(0), c = samples.dim(1), k = std::min(n - 1, c);
  // Less the first sample first, so that a constant feature is exactly 0 and a large mean costs no digits.
  Tensor x = samples.to(DType::float64).contiguous();
  x = sub(x, slice(x, 0, 0, 1));
  x = sub(x, mean(x, {0}, true));
  // Centred samples are of rank N - 1: one value more would be 0. gesdd, because float32 activations are not
  // worth Jacobi's accuracy.
  Tensor s = slice(svdvals(x, SvdDriver::gesdd), 0, 0, k);
  double* v = s.mutable_data<double>();
  drop_rounding(v, k, n, c);
  for (int64_t i = 0; i < k; ++i) v[i] *= v[i] / static_cast<double>(n - 1);
  return s;
}

std::vector<LayerSpectrum> layer_spectra(Module& model, const Shape& input) {
  SIGMA_CHECK(!model.is_training(), "layer_spectra", "the model is in training mode; call eval() first");
  std::map<const Module*, Shape> inputs;
  for (const TraceRow& r : trace(model, input)) inputs.emplace(r.module, r.in);
  std::vector<LayerSpectrum> list;
  each_layer(model, [&](const std::string& path, AffineLayer& layer) {
    auto found = inputs.find(&layer);
    if (found == inputs.end()) return;
    const Tensor& weight = layer.weight.value();
    LayerSpectrum l{path, layer.kind(), weight.shape()};
    l.weight = weight_singular_values(weight);
    l.frobenius = matrix_norm(weight.to(DType::float64).reshape({weight.dim(0), -1})).item();
    if (const AffineForm& f = layer.form(); f.convolution) {
      l.h = found->second[2];
      l.w = found->second[3];
      if (l.h % f.stride.h == 0 && l.w % f.stride.w == 0)
        l.op = conv_singular_values(weight, l.h, l.w, f.stride, f.dilation, f.groups);
    }
    list.push_back(std::move(l));
  });
  return list;
}

std::vector<ActivationSpectrum> activation_spectra(Module& model, int64_t images,
                                                   const std::function<Variable()>& next,
                                                   int64_t max_samples) {
  const char* tag = "activation_spectra";
  SIGMA_CHECK(!model.is_training(), tag, "the model is in training mode; call eval() first");
  SIGMA_CHECK(images >= 2 && max_samples >= 2, tag, "expected at least 2 images and 2 samples, got {} and {}",
              images, max_samples);
  std::vector<std::pair<std::string, Sampler>> samplers;
  std::map<const Module*, size_t> index;
  {
    ScopedHooks hooks;
    each_layer(model, [&](const std::string& path, AffineLayer& m) {
      index.emplace(&m, samplers.size());
      samplers.emplace_back(path, Sampler(images, max_samples, m.form().features));
      hooks.add(m, [&](const Module& layer, const Variable&, const Variable& y) {
        samplers[index.at(&layer)].second.add(y.value());
      });
    });
    NoGrad off;
    for (int64_t seen = 0; seen < images;) {
      Variable x = next();
      SIGMA_CHECK(x.defined() && x.dim(0) > 0, tag, "expected {} images, got {}", images, seen);
      seen += x.dim(0);
      model(x);
    }
  }
  std::erase_if(samplers, [](const auto& s) { return !s.second.used(); });
  std::vector<ActivationSpectrum> list(samplers.size());
  // One decomposition runs on one thread: the layers are what there is to share.
  parallel_for(static_cast<int64_t>(list.size()), [&](int64_t i) {
    auto& [path, sampler] = samplers[static_cast<size_t>(i)];
    list[static_cast<size_t>(i)] = sampler.spectrum(path);
  });
  return list;
}

}  // namespace sigma
