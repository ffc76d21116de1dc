#include "layers/group_norm.h"

#include <algorithm>
#include <cmath>

#include "core/kernels/norm.h"
#include "core/parallel.h"
#include "layers/batch_norm_call.h"
#include "layers/init.h"

namespace sigma {
namespace {

// n samples of `pixels` rows of `groups` x `width` channels, channels innermost.
struct Sizes {
  int64_t n, pixels, groups, width;
  int64_t channels() const { return groups * width; }
  int64_t sample() const { return pixels * channels(); }
  double part() const { return static_cast<double>(pixels * width); }
  // Samples are worked on in ranges of about 16,384 values, at most 64 of them: by size, not by threads.
  int64_t grain() const {
    return std::max({int64_t{1}, 16384 / std::max<int64_t>(1, sample()), (n + 63) / 64});
  }
  int64_t ranges() const { return (n + grain() - 1) / grain(); }
};

// fn(range, first sample, one after the last), side by side; of few large samples one after the other,
// because their kernels have threads of their own.
template <class Fn>
void each_range(const Sizes& s, Fn fn) {
  auto run = [&](int64_t r) { fn(r, r * s.grain(), std::min(s.n, (r + 1) * s.grain())); };
  if (s.ranges() >= num_threads()) return parallel_for(s.ranges(), run);
  for (int64_t r = 0; r < s.ranges(); ++r) run(r);
}

// Constants of one sample's channels, for the kernels of norm.h.
template <class T>
struct Constants {
  std::vector<double> mean;
  std::vector<T> center, scale, shift, unit, unit_shift, b, k;

  explicit Constants(int64_t channels)
      : mean(static_cast<size_t>(channels)),
        center(mean.size()),
        scale(center),
        shift(center),
        unit(center),
        unit_shift(center),
        b(center),
        k(center) {}
  // y = (x - center) * scale + shift and xhat = (x - center) * unit + unit_shift; the shifts take up what
  // rounding the mean lost.
  void set(const Sizes& s, const double* mu, const double* invstd, const T* gamma, const T* beta) {
    for (size_t c = 0; c < mean.size(); ++c) {
      const size_t g = c / static_cast<size_t>(s.width);
      const double factor = (gamma ? static_cast<double>(gamma[c]) : 1.0) * invstd[g];
      mean[c] = mu[g];
      center[c] = static_cast<T>(mu[g]);
      const double lost = mu[g] - static_cast<double>(center[c]);
      scale[c] = static_cast<T>(factor);
      shift[c] = static_cast<T>((beta ? static_cast<double>(beta[c]) : 0.0) - lost * factor);
      unit[c] = static_cast<T>(invstd[g]);
      unit_shift[c] = static_cast<T>(-lost * invstd[g]);
    }
  }
  kernels::NormAffine<T> output() const { return {center.data(), scale.data(), shift.data()}; }
  kernels::NormAffine<T> xhat() const { return {center.data(), unit.data(), unit_shift.data()}; }
};

// Mean and 1/sqrt(v + eps) of the parts of one sample: channels' moments, merged (Chan, Golub and LeVeque).
template <class X>
void statistics(const Sizes& s, const X* x, double eps, std::vector<double>& mean, std::vector<double>& var,
                double* mu, double* invstd) {
  kernels::norm_statistics(x, s.pixels, s.channels(), mean.data(), var.data());
  const double pixels = static_cast<double>(s.pixels);
  for (int64_t g = 0; g < s.groups; ++g) {
    const auto first = static_cast<size_t>(g * s.width);
    Moments all;  // means relative to the first channel's, where they are small
    for (size_t c = first; c < first + static_cast<size_t>(s.width); ++c)
      all = merge(all, {pixels, mean[c] - mean[first], var[c] * pixels});
    const double v = all.m2 / s.part() + eps;
    mu[g] = mean[first] + all.mean;
    invstd[g] = v == 0 ? 0 : 1 / std::sqrt(v);
  }
}

struct Saved {
  Sizes sizes;
  Tensor mu, invstd;  // float64 (N, groups)
  SavedTensor x, weight;
};

// Gradients of a range of samples: dx, and the range's sums for weight and bias.
template <class X>
void backward_range(const Saved& saved, const X* g, const X* x, const Compute<X>* gamma, int64_t first,
                    int64_t last, double* dweight, double* dbias, X* dx) {
  const Sizes& s = saved.sizes;
  Constants<Compute<X>> c(s.channels());
  std::vector<double> sum_g(c.mean.size()), sum_gx(c.mean.size());
  for (int64_t i = first; i < last; ++i) {
    const int64_t at = i * s.sample();
    const double* invstd = saved.invstd.data<double>() + i * s.groups;
    c.set(s, saved.mu.data<double>() + i * s.groups, invstd, gamma, nullptr);
    kernels::norm_backward_reduce(g + at, x + at, s.pixels, s.channels(), c.mean.data(), sum_g.data(),
                                  sum_gx.data());
    for (int64_t part = 0; part < s.groups; ++part) {
      double of_h = 0, of_h_xhat = 0;
      const auto begin = static_cast<size_t>(part * s.width), end = begin + static_cast<size_t>(s.width);
      for (size_t k = begin; k < end; ++k) {
        const double w = gamma ? static_cast<double>(gamma[k]) : 1.0;
        sum_gx[k] *= invstd[part];
        dweight[k] += sum_gx[k];
        dbias[k] += sum_g[k];
        of_h += w * sum_g[k];
        of_h_xhat += w * sum_gx[k];
      }
      std::fill(c.b.begin() + static_cast<std::ptrdiff_t>(begin),
                c.b.begin() + static_cast<std::ptrdiff_t>(end),
                static_cast<Compute<X>>(invstd[part] * of_h / s.part()));
      std::fill(c.k.begin() + static_cast<std::ptrdiff_t>(begin),
                c.k.begin() + static_cast<std::ptrdiff_t>(end),
                static_cast<Compute<X>>(invstd[part] * of_h_xhat / s.part()));
    }
    if (dx)
      kernels::norm_backward_apply(g + at, x + at, s.pixels, s.channels(), c.xhat(), c.scale.data(),
                                   c.b.data(), c.k.data(), dx + at);
  }
}

template <class X>
std::vector<Tensor> backward(const Saved& saved, const Node& self, const Tensor& dy, const Tensor& tx) {
  const Sizes& s = saved.sizes;
  const Rows x = to_rows(tx), g = to_rows(dy);
  const Tensor& weight = saved.weight.get(self);
  Tensor dx = self.needs(0) ? rows_like(tx) : Tensor();
  Tensor sums = Tensor::zeros({s.ranges(), 2, s.channels()}, DType::float64);  // of weight and bias
  double* all = sums.mutable_data<double>();
  each_range(s, [&](int64_t r, int64_t first, int64_t last) {
    double* own = all + r * 2 * s.channels();
    backward_range<X>(saved, g.data.data<X>(), x.data.data<X>(),
                      weight.defined() ? weight.data<Compute<X>>() : nullptr, first, last, own,
                      own + s.channels(), dx.defined() ? dx.mutable_data<X>() : nullptr);
  });
  for (int64_t r = 1; r < s.ranges(); ++r)  // in order, whatever the threads did
    for (int64_t i = 0; i < 2 * s.channels(); ++i) all[i] += all[r * 2 * s.channels() + i];
  auto row = [&](size_t input, int64_t i) {
    if (!self.needs(input)) return Tensor();
    if (s.ranges() == 0) return Tensor::zeros({s.channels()}, compute_dtype(tx.dtype()));
    const double* p = all + i * s.channels();
    return Tensor::from(std::vector<double>(p, p + s.channels()), {s.channels()})
        .to(compute_dtype(tx.dtype()));
  };
  return {dx.defined() ? from_rows(dx, tx.rank()) : dx, row(1, 0), row(2, 1)};
}

void check(const Variable& x, int64_t groups, const Variable& weight, const Variable& bias, double eps) {
  const char* tag = "group_norm";
  SIGMA_CHECK(x.rank() >= 2 && x.rank() <= 4, tag, "expected input (N, C), (N, C, L) or (N, C, H, W), got {}",
              x.shape().str());
  const int64_t channels = x.dim(1);
  SIGMA_CHECK(is_floating(x.dtype()), tag, "expected floating-point input, got {}", name_of(x.dtype()));
  SIGMA_CHECK(groups > 0 && channels % groups == 0, tag, "expected groups that divide {} channels, got {}",
              channels, groups);
  SIGMA_CHECK(eps >= 0, tag, "expected eps of at least 0, got {}", eps);
  SIGMA_CHECK(x.numel() != groups || x.dim(0) != 1, tag,
              "expected more than 1 value in a group, got input {} and {} groups", x.shape().str(), groups);
  for (const Variable* v : {&weight, &bias})
    if (v->defined())
      SIGMA_CHECK(v->numel() == channels && v->dtype() == compute_dtype(x.dtype()), tag,
                  "expected weight and bias of {} {} elements, got {} {}", channels,
                  name_of(compute_dtype(x.dtype())), v->numel(), name_of(v->dtype()));
}

}  // namespace

Variable group_norm(const Variable& x, int64_t groups, const Variable& weight, const Variable& bias,
                    double eps) {
  check(x, groups, weight, bias, eps);
  const Rows in = to_rows(x.value());
  const int64_t n = x.dim(0);
  const Sizes s{in.rows > 0 ? n : 0, n ? in.rows / n : 0, groups, in.channels / groups};
  Tensor y = rows_like(x.value()), mu = Tensor::empty({s.n, groups}, DType::float64),
         invstd = Tensor::empty_like(mu);
  dispatch_stored(x.dtype(), "group_norm", [&](auto zero) {
    using X = decltype(zero);
    using T = Compute<X>;
    const X* from = in.data.data<X>();
    X* to = y.mutable_data<X>();
    double *m = mu.mutable_data<double>(), *d = invstd.mutable_data<double>();
    const T* gamma = weight.defined() ? weight.value().data<T>() : nullptr;
    const T* beta = bias.defined() ? bias.value().data<T>() : nullptr;
    each_range(s, [&](int64_t, int64_t first, int64_t last) {
      Constants<T> c(s.channels());
      std::vector<double> mean(c.mean.size()), var(mean);
      for (int64_t i = first; i < last; ++i) {
        statistics(s, from + i * s.sample(), eps, mean, var, m + i * groups, d + i * groups);
        c.set(s, m + i * groups, d + i * groups, gamma, beta);
        kernels::norm_apply(from + i * s.sample(), s.pixels, s.channels(), c.output(), to + i * s.sample());
      }
    });
  });
  Saved saved{s, mu, invstd, SavedTensor(x.rank() == 4 ? in.data : x.value()),
              SavedTensor(weight.defined() ? weight.value() : Tensor())};
  auto closure = [saved](const std::vector<Tensor>& g, const Node& self) -> std::vector<Tensor> {
    const Tensor& tx = saved.x.get(self);
    std::vector<Tensor> d;
    dispatch_stored(tx.dtype(), "group_norm",
                    [&](auto zero) { d = backward<decltype(zero)>(saved, self, g[0], tx); });
    return d;
  };
  return record("group_norm", from_rows(y, x.rank()), {x, weight, bias}, once_differentiable(closure));
}

GroupNorm::GroupNorm(int64_t groups, int64_t channels, GroupNormOptions options)
    : groups_(groups), channels_(channels), options_(options) {
  SIGMA_CHECK(groups > 0 && channels > 0 && channels % groups == 0, "group_norm",
              "expected groups that divide {} channels, got {}", channels, groups);
  SIGMA_CHECK(options.eps >= 0, "group_norm", "expected eps of at least 0, got {}", options.eps);
  if (!options.affine) return;
  weight = register_parameter("weight", Tensor::ones({channels}));
  bias = register_parameter("bias", Tensor::zeros({channels}));
}

Variable GroupNorm::forward(const Variable& x) {
  SIGMA_CHECK(x.rank() >= 2 && x.dim(1) == channels_, "group_norm", "expected {} channels, got input {}",
              channels_, x.shape().str());
  return group_norm(x, groups_, weight, bias, options_.eps);
}

std::string GroupNorm::describe() const {
  return fmt::format("GroupNorm({}, {}, eps={}, affine={})", groups_, channels_, options_.eps,
                     options_.affine ? "True" : "False");
}

void GroupNorm::reset_parameters(uint64_t, const std::string&) { init::scale_and_shift(weight, bias); }

std::vector<LayerExample> GroupNorm::examples() {
  return {example<GroupNorm>("2 groups of images", {3, 4, 3, 2}, 2, 4),
          example<GroupNorm>("1 group of sequences", {2, 3, 5}, 1, 3),
          example<GroupNorm>("3 groups of rows, not affine", {4, 6}, 3, 6, GroupNormOptions{.affine = false}),
          example<GroupNorm>("a group a channel", {2, 3, 4, 4}, 3, 3)};
}

std::vector<LayerWord> GroupNorm::words() {
  return {{"groupnorm", "gn", "GROUPS eps=1e-5",
           [](const LayerText& t) {
             const int64_t channels = t.channels();
             return planned<GroupNorm>(t.in(), 2 * static_cast<double>(channels), t.whole("groups"), channels,
                                       GroupNormOptions{.eps = t.number("eps")});
           },
           true}};
}

}  // namespace sigma
