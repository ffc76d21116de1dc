#include "layers/batch_norm.h"

#include <cmath>
#include <limits>

#include "layers/batch_norm_call.h"
#include "layers/batch_norm_second.h"
#include "layers/init.h"

namespace sigma {
namespace {

Tensor value_of(const Variable& v) { return v.defined() ? v.value() : Tensor(); }

struct Gradients {
  Tensor dx, dweight, dbias;
};

// The formulas of the header. `overwrite`: dy is nobody else's, and as large as the activations: dx takes its
// place.
Gradients backward(const Tensor& dy, const Tensor& x, const Tensor& weight, const Tensor& statistics,
                   bool training, bool needs_dx, bool overwrite) {
  const Rows in = to_rows(x), g = to_rows(dy);
  Gradients d;
  dispatch_stored(x.dtype(), "batch_norm", [&](auto zero) {
    using X = decltype(zero);
    using T = Compute<X>;
    NormSums sums(in.channels);
    if (in.rows > 0)
      kernels::norm_backward_reduce(g.data.data<X>(), in.data.data<X>(), in.rows, in.channels,
                                    statistics.data<double>(), sums.g.data(), sums.g_xhat.data());
    for (size_t c = 0; c < sums.g.size(); ++c) sums.g_xhat[c] *= statistics.data<double>()[sums.g.size() + c];
    d.dweight = sums.dweight(compute_dtype(x.dtype()));
    d.dbias = sums.dbias(compute_dtype(x.dtype()));
    if (!needs_dx) return;
    const double rows = training ? static_cast<double>(in.rows) : std::numeric_limits<double>::infinity();
    const NormConstants<T> xhat(statistics, {}, {});
    const NormBackward<T> c(sums, statistics, weight, rows);
    Tensor dx = overwrite || !g.data.shares_storage(dy) ? g.data : rows_like(x);
    kernels::norm_backward_apply(g.data.data<X>(), in.data.data<X>(), in.rows, in.channels, xhat.view(),
                                 c.a.data(), c.b.data(), c.k.data(), dx.mutable_data<X>());
    d.dx = from_rows(dx, x.rank());
  });
  return d;
}

}  // namespace

Variable batch_norm(const Variable& x, const BatchNormArguments& a) {
  check_batch_norm(x, a);
  const Rows rows = to_rows(x.value());
  return normalize(x, rows, batch_norm_statistics(rows, a), a);
}

Variable normalize(const Variable& x, const Rows& in, const Tensor& statistics, const BatchNormArguments& a) {
  Tensor y = rows_like(x.value());
  if (in.rows > 0)
    dispatch_stored(x.dtype(), "batch_norm", [&](auto zero) {
      using X = decltype(zero);
      const NormConstants<Compute<X>> c(statistics, value_of(a.weight), value_of(a.bias));
      kernels::norm_apply(in.data.data<X>(), in.rows, in.channels, c.view(), y.mutable_data<X>());
    });
  // 4-D inputs are kept as they were rearranged, so that backward does not rearrange them again.
  SavedTensor saved_x(x.rank() == 4 ? in.data : x.value()), saved_weight(value_of(a.weight));
  auto closure = [saved_x, saved_weight, statistics, training = a.training](const Variables& g,
                                                                            const Node& self) -> Variables {
    const bool own = g[0].handle().use_count() == 1 && g[0].value().is_sole_owner();
    const Tensor& tx = saved_x.get(self);
    const Tensor& weight = saved_weight.get(self);
    const bool again = grad_enabled();
    Gradients d = backward(g[0].value(), tx, weight, statistics, training, self.needs(0), own && !again);
    Variables result{Variable(), Variable(d.dweight), Variable(d.dbias)};
    if (again)
      result = record_batch_norm_backward(g[0], self.input(0, tx),
                                          weight.defined() ? self.input(1, weight) : Variable(), statistics,
                                          training, {d.dx, d.dweight, d.dbias});
    else if (d.dx.defined())
      result[0] = Variable(d.dx);
    for (size_t i = 0; i < result.size(); ++i)
      if (!self.needs(i)) result[i] = Variable();
    return result;
  };
  return record("batch_norm", from_rows(y, x.rank()), {x, a.weight, a.bias}, closure);
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

Variable BatchNorm::forward(const Variable& x) {
  return forward_with(x, [&](const BatchNormArguments& a) { return batch_norm(x, a); });
}

Variable BatchNorm::forward_with(const Variable& x,
                                 const std::function<Variable(const BatchNormArguments&)>& normalize_x) {
  check_rank(x.shape());
  const bool update = is_training() && tracks_statistics() && statistics_update_enabled();
  BatchNormArguments a{
      .weight = weight, .bias = bias, .training = uses_batch_statistics(), .eps = options_.eps};
  if (update || !a.training) {
    a.running_mean = running_mean;
    a.running_var = running_var;
  }
  if (!(a.running_mean.defined() || weight.defined()))
    SIGMA_CHECK(x.dim(1) == channels_, "batch_norm", "expected {} channels, got input {}", channels_,
                x.shape().str());
  const int64_t count = update ? num_batches_tracked.value().data<int64_t>()[0] + 1 : 0;
  a.momentum = options_.momentum ? *options_.momentum : update ? 1.0 / static_cast<double>(count) : 0.0;
  Variable y = normalize_x(a);
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
  init::scale_and_shift(weight, bias);
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

ChannelStatistics BatchNorm::running_statistics() const {
  SIGMA_CHECK(running_mean.defined(), "batch_norm", "the layer keeps no running statistics");
  return {running_mean.value().to_vector(), running_var.value().to_vector()};
}

ChannelMap BatchNorm::channel_map() const {
  SIGMA_CHECK(!is_training(), "batch_norm",
              "expected a layer in eval mode, got one in training mode; call eval() first");
  SIGMA_CHECK(tracks_statistics(), "batch_norm", "the layer does not track running statistics");
  const auto count = static_cast<size_t>(channels_);
  const auto [mean, var] = running_statistics();
  ChannelMap map{mean, std::vector<double>(count, 1), std::vector<double>(count, 0)};
  if (bias.defined()) map.shift = bias.value().to_vector();
  if (weight.defined()) map.scale = weight.value().to_vector();
  for (size_t c = 0; c < count; ++c) {
    const double v = var[c] + options_.eps;
    map.scale[c] = v == 0 ? 0 : map.scale[c] / std::sqrt(v);
  }
  return map;
}

Moments merge(const Moments& a, const Moments& b) {
  if (a.count == 0) return b;
  if (b.count == 0) return a;
  double count = a.count + b.count, delta = b.mean - a.mean;
  return {count, a.mean + delta * (b.count / count),
          a.m2 + b.m2 + delta * delta * (a.count * b.count / count)};
}

std::vector<LayerExample> BatchNorm1d::examples() {
  return {example<BatchNorm1d>("training, (N, C)", {6, 4}, 4),
          example<BatchNorm1d>("training, (N, C, L)", {3, 4, 5}, 4),
          in_eval(example<BatchNorm1d>("eval", {6, 4}, 4))};
}

std::vector<LayerExample> BatchNorm2d::examples() {
  return {example<BatchNorm2d>("training", {4, 3, 2, 2}, 3),
          in_eval(example<BatchNorm2d>("eval", {4, 3, 2, 2}, 3)),
          example<BatchNorm2d>("not affine", {4, 3, 2, 2}, 3, BatchNormOptions{.affine = false})};
}

std::vector<LayerWord> BatchNorm2d::words() {
  return {{"bn", "bn", "eps=1e-5 momentum=0.1",
           [](const LayerText& t) {  // of images, or of rows: then it is a BatchNorm1d
             const int64_t channels = t.channels();
             const BatchNormOptions o{.eps = t.number("eps"), .momentum = t.number("momentum")};
             const double numbers = 2 * static_cast<double>(channels);
             return t.in().rank() == 4 ? planned<BatchNorm2d>(t.in(), numbers, channels, o)
                                       : planned<BatchNorm1d>(t.in(), numbers, channels, o);
           },
           true}};
}

}  // namespace sigma
