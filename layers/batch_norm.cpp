#include "layers/batch_norm.h"

#include <cmath>

#include "core/kernels/norm.h"
#include "core/math.h"
#include "layers/batch_norm_second.h"

namespace sigma {
namespace {

// The input as rows x channels with channels innermost.
struct Rows {
  Tensor data;
  int64_t rows = 0, channels = 0;
  bool defined() const { return data.defined(); }
};

Rows to_rows(const Tensor& x) {
  int64_t channels = x.dim(1);
  Tensor t = x.rank() == 4   ? x.to(Layout::channels_last)
             : x.rank() == 3 ? permute(x, {0, 2, 1})
                             : x.contiguous();
  return {t, channels ? x.numel() / channels : 0, channels};
}

// A tensor for a result of `like`'s shape, rows-wise; from_rows gives it that shape's element order.
Tensor rows_like(const Tensor& like) {
  if (like.rank() == 4) return Tensor::empty(like.shape(), like.dtype(), Layout::channels_last);
  if (like.rank() == 3) return Tensor::empty({like.dim(0), like.dim(2), like.dim(1)}, like.dtype());
  return Tensor::empty(like.shape(), like.dtype());
}
Tensor from_rows(const Tensor& t, int rank) { return rank == 3 ? permute(t, {0, 2, 1}) : t; }

// Per-channel constants of y = (x - mean) * scale + shift, in the data's precision; one column each.
template <class T>
struct Affine {
  std::vector<T> mean, scale, shift;
  kernels::NormAffine<T> view() const { return {mean.data(), scale.data(), shift.data()}; }
  // scale = gamma * invstd, and the shift takes up what rounding the mean to T lost.
  Affine(const double* mu, const double* invstd, const T* gamma, const T* beta, int64_t channels)
      : mean(static_cast<size_t>(channels)), scale(mean.size()), shift(mean.size()) {
    for (size_t c = 0; c < mean.size(); ++c) {
      double factor = (gamma ? static_cast<double>(gamma[c]) : 1.0) * invstd[c];
      mean[c] = static_cast<T>(mu[c]);
      double lost = mu[c] - static_cast<double>(mean[c]);
      scale[c] = static_cast<T>(factor);
      shift[c] = static_cast<T>((beta ? static_cast<double>(beta[c]) : 0.0) - lost * factor);
    }
  }
};

double inverse_deviation(double var, double eps) { return var + eps == 0 ? 0 : 1 / std::sqrt(var + eps); }

Tensor column(const Tensor& stats, int64_t row, DType dtype) { return slice(stats, 0, row, 1).to(dtype); }

// What backward needs beside x.
struct Saved {
  Tensor stats;  // mean and inverse deviation, float64 (2, C)
  bool training = true;
  bool relu = false;
  SavedTensor bias;  // for the mask of a ReLU, which is computed again from x,
  SavedTensor y;     // unless a skip was added before it
};

// dx, dweight, dbias (and the gradient of a skip) as a recorded function of (dy, x, weight), so that it can
// be differentiated again when nothing is fused.
Variables batch_norm_backward(const Variable& dy, const Variable& x, const Variable& weight,
                              const Saved& saved, const Node& node, bool has_skip, bool own_gradient) {
  const Tensor& stats = saved.stats;
  const bool training = saved.training, needs_dx = node.needs(0);
  Rows in = to_rows(x.value()), g = to_rows(dy.value());
  int64_t channels = in.channels;
  const DType master = compute_dtype(x.dtype());
  Tensor dx, dskip, dweight = Tensor::zeros({channels}, master), dbias = Tensor::zeros({channels}, master);
  dispatch_stored(x.dtype(), "batch_norm", [&](auto zero) {
    using X = decltype(zero);
    using T = Compute<X>;
    const double *mu = stats.data<double>(), *invstd = mu + channels;
    const T* gamma = weight.defined() ? weight.value().data<T>() : nullptr;
    const Tensor &beta = saved.bias.get(node), &y = saved.y.get(node);
    Affine<T> xhat(mu, invstd, nullptr, nullptr, channels),
        out(mu, invstd, gamma, beta.defined() ? beta.data<T>() : nullptr, channels);
    const kernels::NormAffine<T> normalized = xhat.view(), output = out.view();
    kernels::NormMask<X> mask;
    if (saved.relu && has_skip)
      mask.y = y.data<X>();
    else if (saved.relu)
      mask.affine = &output;
    const X* grad = g.data.data<X>();
    X* masked = nullptr;
    if (mask.y) {
      dskip = rows_like(x.value());
      masked = dskip.mutable_data<X>();
    }
    std::vector<double> sum_g(static_cast<size_t>(channels)), sum_gx(sum_g);
    if (in.rows > 0)
      kernels::norm_backward_reduce(grad, in.data.data<X>(), in.rows, channels, mu, mask, masked,
                                    sum_g.data(), sum_gx.data());
    for (size_t c = 0; c < sum_g.size(); ++c) {
      sum_gx[c] *= invstd[c];
      dweight.mutable_data<T>()[c] = static_cast<T>(sum_gx[c]);
      dbias.mutable_data<T>()[c] = static_cast<T>(sum_g[c]);
    }
    if (masked) grad = masked, mask.y = nullptr;
    if (!needs_dx) return;
    std::vector<T> a(sum_g.size()), b(a), k(a);
    for (size_t c = 0; c < a.size(); ++c) {
      double factor = (gamma ? static_cast<double>(gamma[c]) : 1.0) * invstd[c],
             m = training ? static_cast<double>(in.rows) : INFINITY;  // in eval y is affine in x
      a[c] = static_cast<T>(factor);
      b[c] = static_cast<T>(factor * sum_g[c] / m);
      k[c] = static_cast<T>(factor * sum_gx[c] / m);
    }
    // A gradient that nobody else sees is overwritten: it is as large as the activations.
    bool mine = !grad_enabled() && !has_skip && (own_gradient || !g.data.shares_storage(dy.value()));
    dx = mine ? g.data : rows_like(x.value());
    kernels::norm_backward_apply(grad, in.data.data<X>(), in.rows, channels, normalized, mask, a.data(),
                                 b.data(), k.data(), dx.mutable_data<X>());
    dx = from_rows(dx, x.rank());
  });
  if (!grad_enabled()) {
    Variables out;
    if (has_skip && !dskip.defined()) dskip = dy.value();
    for (Tensor* t : {&dx, &dweight, &dbias, &dskip}) out.push_back(t->defined() ? Variable(*t) : Variable());
    return out;
  }
  SIGMA_CHECK(!saved.relu, "relu",
              "this function can be differentiated once only; its backward pass is not recorded");
  SIGMA_CHECK(x.dtype() == master, "batch_norm", "in {} this function can be differentiated once only",
              name_of(x.dtype()));
  if (!dx.defined()) dx = Tensor::zeros(x.shape(), x.dtype());
  SavedTensor saved_g(dy.value()), saved_x(x.value()), saved_w(weight.defined() ? weight.value() : Tensor());
  Variables result = record_many(
      "batch_norm_backward", {dx, dweight, dbias}, {dy, x, weight},
      once_differentiable([=](const std::vector<Tensor>& gg, const Node& self) -> std::vector<Tensor> {
        const Tensor& input = saved_x.get(self);
        Rows rx = to_rows(input), rg = to_rows(saved_g.get(self)), rgg = to_rows(gg[0]);
        auto flat = [&](const Rows& r) { return Tensor(r.data).reshape({r.rows, r.channels}); };
        // A channels_last image has its rows in storage order; a view of its storage as a matrix is what is
        // wanted.
        auto matrix = [&](const Rows& r) {
          if (r.data.layout() == Layout::contiguous) return flat(r);
          return permute(r.data, {0, 2, 3, 1}).reshape({r.rows, r.channels});
        };
        DType d = input.dtype();
        const Tensor& w = saved_w.get(self);
        Shape row{1, rx.channels};
        Tensor gamma = w.defined() ? w.reshape(row) : Tensor::ones(row, d);
        BatchNormSecond r =
            batch_norm_second(training, matrix(rg), matrix(rx), column(stats, 0, d), column(stats, 1, d),
                              gamma, matrix(rgg), gg[1].reshape(row), gg[2].reshape(row));
        auto shaped = [&](const Tensor& t) {
          if (input.rank() == 4)
            return permute(t.reshape({input.dim(0), input.dim(2), input.dim(3), input.dim(1)}), {0, 3, 1, 2});
          if (input.rank() == 3)
            return permute(t.reshape({input.dim(0), input.dim(2), input.dim(1)}), {0, 2, 1});
          return t.reshape(input.shape());
        };
        return {shaped(r.g_output), shaped(r.g_input),
                w.defined() ? r.g_weight.reshape(w.shape()) : Tensor()};
      }));
  result.push_back(has_skip ? dy : Variable());
  return result;
}

void check_sizes(const BatchNormArguments& a, int64_t channels, DType dtype) {
  auto check = [&](const char* name, const Variable& v) {
    if (!v.defined()) return;
    SIGMA_CHECK(v.numel() == channels, "batch_norm", "{} should contain {} elements not {}", name, channels,
                v.numel());
    SIGMA_CHECK(v.dtype() == compute_dtype(dtype), "batch_norm",
                "mixed dtype: input is {}, {} is {}, expected {}", name_of(dtype), name, name_of(v.dtype()),
                name_of(compute_dtype(dtype)));
  };
  check("running_mean", a.running_mean);
  check("running_var", a.running_var);
  check("weight", a.weight);
  check("bias", a.bias);
}

}  // namespace

Variable batch_norm(const Variable& x, const BatchNormArguments& a) {
  const Shape& shape = x.shape();
  SIGMA_CHECK(x.rank() >= 2 && x.rank() <= 4, "batch_norm", "expected 2D, 3D or 4D input (got {}D input)",
              x.rank());
  SIGMA_CHECK(is_floating(x.dtype()), "batch_norm", "\"batch_norm\" not implemented for {}",
              name_of(x.dtype()));
  SIGMA_CHECK(!(a.eps < 0), "batch_norm", "expected eps of at least 0, got {}", a.eps);
  if (!a.training) {
    SIGMA_CHECK(a.running_mean.defined(), "batch_norm", "running_mean must be defined in evaluation mode");
    SIGMA_CHECK(a.running_var.defined(), "batch_norm", "running_var must be defined in evaluation mode");
  }
  int64_t channels = shape[1];
  check_sizes(a, channels, x.dtype());
  SIGMA_CHECK(!a.training || channels == 0 || shape.numel() / channels != 1, "batch_norm",
              "Expected more than 1 value per channel when training, got input size {}", shape.str());

  if (a.skip.defined())
    SIGMA_CHECK(a.skip.shape() == shape && a.skip.dtype() == x.dtype() && x.rank() != 3, "batch_norm",
                "expected a skip of {} {}, got {} {}", name_of(x.dtype()), shape.str(),
                name_of(a.skip.dtype()), a.skip.shape().str());

  Rows in = to_rows(x.value()), skip = a.skip.defined() ? to_rows(a.skip.value()) : Rows{};
  Tensor y = rows_like(x.value()), stats = Tensor::zeros({2, channels}, DType::float64);
  if (in.rows > 0) {
    dispatch_stored(x.dtype(), "batch_norm", [&](auto zero) {
      using X = decltype(zero);
      using T = Compute<X>;
      double *mean = stats.mutable_data<double>(), *invstd = mean + channels;
      std::vector<double> var(static_cast<size_t>(channels));
      if (a.training) {
        if (a.moments.defined()) {
          std::copy_n(a.moments.data<double>(), channels, mean);
          std::copy_n(a.moments.data<double>() + channels, channels, var.data());
        } else {
          kernels::norm_statistics(in.data.data<X>(), in.rows, channels, mean, var.data());
        }
        double m = a.momentum, unbiased = static_cast<double>(in.rows) / static_cast<double>(in.rows - 1);
        auto track = [&](Variable buffer, const double* value, double factor) {
          if (!buffer.defined()) return;
          T* p = buffer.mutable_value().mutable_data<T>();
          for (int64_t c = 0; c < channels; ++c)
            p[c] = static_cast<T>((1 - m) * static_cast<double>(p[c]) + m * value[c] * factor);
        };
        track(a.running_mean, mean, 1);
        track(a.running_var, var.data(), unbiased);
      } else {
        for (int64_t c = 0; c < channels; ++c) {
          mean[c] = static_cast<double>(a.running_mean.value().data<T>()[c]);
          var[static_cast<size_t>(c)] = static_cast<double>(a.running_var.value().data<T>()[c]);
        }
      }
      for (int64_t c = 0; c < channels; ++c)
        invstd[c] = inverse_deviation(var[static_cast<size_t>(c)], a.eps);
      Affine<T> f(mean, invstd, a.weight.defined() ? a.weight.value().data<T>() : nullptr,
                  a.bias.defined() ? a.bias.value().data<T>() : nullptr, channels);
      kernels::norm_apply(in.data.data<X>(), in.rows, channels, f.view(),
                          skip.defined() ? skip.data.data<X>() : nullptr, a.relu, y.mutable_data<X>());
    });
  }
  y = from_rows(y, x.rank());
  const bool has_skip = a.skip.defined();
  Saved saved{stats, a.training, a.relu, {}, {}};
  if (a.relu && has_skip) saved.y = SavedTensor(y);
  if (a.relu && a.bias.defined()) saved.bias = SavedTensor(a.bias.value());
  // 4-D inputs are kept as they were rearranged, so that backward does not rearrange them again.
  SavedTensor saved_x(x.rank() == 4 ? in.data : x.value()),
      saved_w(a.weight.defined() ? a.weight.value() : Tensor());
  Variables inputs = {x, a.weight, a.bias};
  if (has_skip) inputs.push_back(a.skip);
  return record("batch_norm", y, inputs, [=](const Variables& g, const Node& self) -> Variables {
    Variable input = self.input(0, saved_x.get(self));
    const Tensor& w = saved_w.get(self);
    const bool own = g[0].defined() && g[0].handle().use_count() == 1 && g[0].value().is_sole_owner();
    Variables d = batch_norm_backward(g[0], input, w.defined() ? self.input(1, w) : Variable(), saved, self,
                                      has_skip, own);
    d.resize(self.inputs.size());
    for (size_t i = 0; i < d.size(); ++i)
      if (!self.needs(i)) d[i] = Variable();
    return d;
  });
}

BatchNorm::BatchNorm(int64_t channels, BatchNormOptions options, const char* tag)
    : channels_(channels), options_(options) {
  SIGMA_CHECK(channels >= 0, tag, "expected at least 0 channels, got {}", channels);
  SIGMA_CHECK(!(options.eps < 0), tag, "expected eps of at least 0, got {}", options.eps);
  if (options.affine) {
    weight = register_parameter("weight", Tensor::ones({channels}));
    bias = register_parameter("bias", Tensor::zeros({channels}));
  }
  if (options.track_running_stats) {
    running_mean = register_buffer("running_mean", Tensor::zeros({channels}));
    running_var = register_buffer("running_var", Tensor::ones({channels}));
    num_batches_tracked = register_buffer("num_batches_tracked", Tensor::zeros({}, DType::int64));
  }
}

Variable BatchNorm::forward(const Variable& x, BatchNormArguments a) {
  check_rank(x.shape());
  bool tracked = running_mean.defined(),
       update = is_training() && tracks_statistics() && statistics_update_enabled();
  a.weight = weight, a.bias = bias, a.eps = options_.eps;
  a.training = is_training() || !tracked;
  if (update || !a.training) a.running_mean = running_mean, a.running_var = running_var;
  if (!(a.running_mean.defined() || weight.defined()))
    SIGMA_CHECK(x.dim(1) == channels_, "batch_norm", "expected {} channels, got input {}", channels_,
                x.shape().str());
  int64_t count = update ? num_batches_tracked.value().data<int64_t>()[0] + 1 : 0;
  a.momentum = options_.momentum ? *options_.momentum : update ? 1.0 / static_cast<double>(count) : 0.0;
  Variable y = batch_norm(x, a);
  if (update) num_batches_tracked.mutable_value().mutable_data<int64_t>()[0] = count;
  return y;
}

std::string BatchNorm::describe() const {
  auto flag = [](bool on) { return on ? "True" : "False"; };
  std::string eps = fmt::format("{}", options_.eps);
  return fmt::format("{}({}, eps={}, momentum={}, affine={}, track_running_stats={})", kind(), channels_, eps,
                     options_.momentum ? fmt::format("{}", *options_.momentum) : "None",
                     flag(options_.affine), flag(options_.track_running_stats));
}

void BatchNorm::reset_parameters(uint64_t, const std::string&) {
  if (weight.defined()) weight.mutable_value().fill_(1), bias.mutable_value().fill_(0);
  reset_running_stats();
}

void BatchNorm::reset_running_stats() {
  if (!running_mean.defined()) return;
  running_mean.mutable_value().fill_(0);
  running_var.mutable_value().fill_(1);
  num_batches_tracked.mutable_value().fill_(0);
}

void BatchNorm::upgrade_state(const std::string& prefix, StateDict& state) const {
  std::string name = join_path(prefix, "num_batches_tracked");
  if (state.version < 2 && num_batches_tracked.defined() && !state.find(name))
    state.items.emplace_back(name, Tensor::zeros({}, DType::int64));
}

void BatchNorm1d::check_rank(const Shape& s) const {
  SIGMA_CHECK(s.rank() == 2 || s.rank() == 3, "batch_norm1d", "expected 2D or 3D input (got {}D input)",
              s.rank());
}
void BatchNorm2d::check_rank(const Shape& s) const {
  SIGMA_CHECK(s.rank() == 4, "batch_norm2d", "expected 4D input (got {}D input)", s.rank());
}

Moments merge(const Moments& a, const Moments& b) {
  if (a.count == 0) return b;
  if (b.count == 0) return a;
  double count = a.count + b.count, delta = b.mean - a.mean;
  return {count, a.mean + delta * (b.count / count),
          a.m2 + b.m2 + delta * delta * (a.count * b.count / count)};
}

ChannelMap BatchNorm::channel_map() const {
  SIGMA_CHECK(!is_training(), "batch_norm",
              "expected a layer in eval mode, got one in training mode; call eval() first");
  SIGMA_CHECK(tracks_statistics(), "batch_norm", "the layer does not track running statistics");
  const auto count = static_cast<size_t>(channels_);
  ChannelMap map{running_mean.value().to_vector(), std::vector<double>(count, 1),
                 std::vector<double>(count, 0)};
  const std::vector<double> var = running_var.value().to_vector();
  if (bias.defined()) map.shift = bias.value().to_vector();
  if (weight.defined()) map.scale = weight.value().to_vector();
  for (size_t c = 0; c < count; ++c) {
    const double v = var[c] + options_.eps;
    map.scale[c] = v == 0 ? 0 : map.scale[c] / std::sqrt(v);
  }
  return map;
}

}  // namespace sigma
