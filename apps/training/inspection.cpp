#include "training/inspection.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "autograd/precision.h"
#include "core/math.h"
#include "layers/batch_norm_call.h"

namespace sigma {
namespace {

// What the literature calls a tensor of a layer that normalizes channels.
std::string symbol_of(const std::string& name) {
  static const std::map<std::string, std::string> symbols{{"weight", "gamma"},
                                                          {"bias", "beta"},
                                                          {"running_mean", "running mean"},
                                                          {"running_var", "running variance"},
                                                          {"num_batches_tracked", "batches seen"}};
  const auto found = symbols.find(name);
  return found == symbols.end() ? "" : found->second;
}

// The layer of that path; `tag` is who asks.
Module& layer_at(Module& model, const std::string& path, const char* tag) {
  Module* layer = model.find(path);
  if (!layer) fail(ErrorKind::usage, tag, "the network has no layer \"{}\"", path);
  return *layer;
}

const ChannelNorm& norm_at(Module& model, const std::string& path, const char* tag) {
  const ChannelNorm* norm = layer_at(model, path, tag).channel_norm();
  if (!norm || !norm->tracks_statistics())
    fail(ErrorKind::usage, tag, "expected a layer that keeps running statistics, got \"{}\"", path);
  return *norm;
}

// Layers that normalize channels in training mode, all else in eval mode.
void only_norms_train(Module& model) {
  model.eval();
  model.visit([](const std::string&, Module& m) {
    if (m.channel_norm()) m.train();
  });
}

// Outputs as float64 (N, K).
Tensor outputs_of(Module& model, const Tensor& images, DType precision) {
  const Autocast scope(precision);
  const Tensor y = model(Variable(images)).value().to(DType::float64).contiguous();
  return y.reshape({y.dim(0), y.numel() / std::max<int64_t>(1, y.dim(0))});
}

struct Both {
  Tensor train, eval;
};
Both both_modes(Module& model, const Tensor& images, DType precision) {
  const ScopedMode mode(model);
  const NoStatisticsUpdate keep;
  const NoGrad off;
  only_norms_train(model);
  Both both;
  both.train = outputs_of(model, images, precision);
  model.eval();
  both.eval = outputs_of(model, images, precision);
  return both;
}

ModeGap gap_of(const Both& both) {
  ModeGap gap{both.train, both.eval};
  gap.largest = max_abs_difference(gap.train, gap.eval);
  gap.rms = norm2(sub(gap.train, gap.eval)) / std::sqrt(static_cast<double>(gap.train.numel()));
  const std::vector<double> variances = batch_moments(gap.train).biased;
  gap.spread = std::sqrt(std::accumulate(variances.begin(), variances.end(), 0.0) /
                         static_cast<double>(variances.size()));
  const Tensor a = argmax(gap.train, 1), b = argmax(gap.eval, 1);
  for (int64_t i = 0; i < a.numel(); ++i)
    gap.same_class += (a.data<int64_t>()[i] == b.data<int64_t>()[i]) / static_cast<double>(a.numel());
  return gap;
}

// What comes into a layer in the forward pass that `run` makes.
Tensor input_during(Module& layer, const std::function<void()>& run) {
  Tensor seen;
  ScopedHooks hooks;
  hooks.add(layer, [&](const Module&, const Variable& in, const Variable&) { seen = in.value(); });
  run();
  SIGMA_CHECK(seen.defined(), "inspection", "the forward pass did not come through the layer");
  return seen;
}

void check_size(const char* tag, const Tensor& x, int64_t size) {
  SIGMA_CHECK(x.rank() >= 2 && size >= 2 && size <= x.dim(0), tag, "expected batches of 2 to {} rows, got {}",
              x.rank() ? x.dim(0) : 0, size);
}

}  // namespace

std::vector<StateEntry> state_entries(Module& model) {
  std::map<std::string, std::string> symbols;
  model.visit([&](const std::string& path, Module& m) {
    if (!m.channel_norm()) return;
    for (const NamedVariables* own : {&m.own_parameters(), &m.own_buffers()})
      for (const auto& [name, value] : *own) symbols[join_path(path, name)] = symbol_of(name);
  });
  std::vector<StateEntry> entries;
  for (const auto& [name, t] : model.state_dict().items) {
    const std::vector<double> values = t.to_vector();
    StateEntry e{name, symbols[name], t.shape(), t.dtype(), 0, std::nan(""), std::nan("")};
    for (double v : values) e.mean += v;
    e.mean /= static_cast<double>(values.size());
    if (!values.empty()) {
      e.low = *std::min_element(values.begin(), values.end());
      e.high = *std::max_element(values.begin(), values.end());
    }
    entries.push_back(std::move(e));
  }
  return entries;
}

std::vector<std::string> norm_layers(Module& model) {
  std::vector<std::string> paths;
  model.visit([&](const std::string& path, Module& m) {
    if (m.channel_norm() && m.channel_norm()->tracks_statistics()) paths.push_back(path);
  });
  return paths;
}

std::vector<double> BatchMoments::unbiased() const {
  std::vector<double> v = biased;
  for (double& x : v) x *= static_cast<double>(values) / static_cast<double>(values - 1);
  return v;
}

BatchMoments batch_moments(const Tensor& x) {
  SIGMA_CHECK(x.rank() >= 2 && x.rank() <= 4 && x.numel() > 0, "batch_moments",
              "expected values (N, C), (N, C, L) or (N, C, H, W), got {}", x.shape().str());
  const Rows rows = to_rows(x);
  BatchMoments m;
  m.values = rows.rows;
  m.mean.resize(static_cast<size_t>(rows.channels));
  m.biased.resize(static_cast<size_t>(rows.channels));
  dispatch_stored(rows.data.dtype(), "batch_moments", [&](auto zero) {
    kernels::norm_statistics(rows.data.data<decltype(zero)>(), rows.rows, rows.channels, m.mean.data(),
                             m.biased.data());
  });
  return m;
}

std::vector<StatisticsStep> watch_statistics(Trainer& trainer, const std::string& path, int64_t steps,
                                             const std::function<bool(const StatisticsStep&)>& on_step) {
  const char* tag = "watch_statistics";
  Module& layer = layer_at(trainer.model(), path, tag);
  const ChannelNorm& norm = norm_at(trainer.model(), path, tag);
  std::vector<StatisticsStep> seen;
  for (int64_t i = 1; i <= steps; ++i) {
    StatisticsStep s;
    s.step = i;
    s.batch = batch_moments(input_during(layer, [&] { s.loss = trainer.step().loss; }));
    s.running = norm.running_statistics();
    seen.push_back(std::move(s));
    if (on_step && !on_step(seen.back())) break;
  }
  return seen;
}

ModeGap mode_gap(Module& model, const Tensor& images, DType precision) {
  return gap_of(both_modes(model, images, precision));
}

ModeGap mode_gap_in_batches(Module& model, const Tensor& images, int64_t size, DType precision) {
  check_size("mode_gap_in_batches", images, size);
  std::vector<Tensor> train, eval;
  for (int64_t at = 0; at + size <= images.dim(0); at += size) {
    const Both both = both_modes(model, slice(images, 0, at, size), precision);
    train.push_back(both.train);
    eval.push_back(both.eval);
  }
  return gap_of({cat(train, 0), cat(eval, 0)});
}

Tensor layer_input(Module& model, const std::string& path, const Tensor& images, DType precision) {
  Module& layer = layer_at(model, path, "layer_input");
  const ScopedMode mode(model);
  const NoGrad off;
  model.eval();
  return input_during(layer, [&] {
    const Autocast scope(precision);
    model(Variable(images));
  });
}

BatchVariance variance_in_batches(const Tensor& x, int64_t size) {
  check_size("variance_in_batches", x, size);
  const std::vector<double> whole = batch_moments(x).unbiased();
  BatchVariance v;
  v.size = size;
  double count = 0;
  for (int64_t at = 0; at + size <= x.dim(0); at += size) {
    const BatchMoments m = batch_moments(slice(x, 0, at, size));
    v.values = m.values;
    const std::vector<double> unbiased = m.unbiased();
    for (size_t c = 0; c < whole.size(); ++c) {
      if (!(whole[c] > 0)) continue;
      v.biased += m.biased[c] / whole[c];
      v.unbiased += unbiased[c] / whole[c];
      ++count;
    }
  }
  v.biased /= count;
  v.unbiased /= count;
  return v;
}

std::vector<BatchMoments> moments_at_rest(Module& model, const std::string& path, Loader& loader,
                                          int64_t batches, DType precision) {
  Module& layer = layer_at(model, path, "moments_at_rest");
  const ScopedMode mode(model);
  const NoStatisticsUpdate keep;
  const NoGrad off;
  model.train();
  std::vector<BatchMoments> all;
  for (int64_t i = 0; i < batches; ++i)
    all.push_back(batch_moments(input_during(layer, [&] {
      const Autocast scope(precision);
      model(Variable(loader.next().images));
    })));
  return all;
}

ChannelStatistics population_of(const std::vector<BatchMoments>& batches) {
  SIGMA_CHECK(!batches.empty(), "population_of", "expected a batch, got none");
  ChannelStatistics p{std::vector<double>(batches[0].mean.size(), 0), {}};
  p.var = p.mean;
  const auto count = static_cast<double>(batches.size());
  for (const BatchMoments& b : batches) {
    const std::vector<double> unbiased = b.unbiased();
    for (size_t c = 0; c < p.mean.size(); ++c) {
      p.mean[c] += b.mean[c] / count;
      p.var[c] += unbiased[c] / count;
    }
  }
  return p;
}

MomentumTrace momentum_trace(const std::vector<BatchMoments>& batches, const ChannelStatistics& population,
                             std::optional<double> momentum) {
  MomentumTrace trace;
  trace.momentum = momentum;
  const size_t channels = population.mean.size();
  std::vector<double> mean(channels, 0), var(channels, 1);
  double varying = 0, noise = 0;
  for (double v : population.var) varying += v > 0;
  for (size_t t = 0; t < batches.size(); ++t) {
    const double m = momentum.value_or(1 / static_cast<double>(t + 1));
    const std::vector<double> unbiased = batches[t].unbiased();
    double mean_squares = 0, var_squares = 0;
    for (size_t c = 0; c < channels; ++c) {
      const double mu = population.mean[c], v = population.var[c];
      mean[c] = (1 - m) * mean[c] + m * batches[t].mean[c];
      var[c] = (1 - m) * var[c] + m * unbiased[c];
      if (!(v > 0)) continue;
      mean_squares += (mean[c] - mu) * (mean[c] - mu) / v;
      var_squares += (var[c] - v) * (var[c] - v) / (v * v);
      noise += (batches[t].mean[c] - mu) * (batches[t].mean[c] - mu) / v;
    }
    trace.mean_error.push_back(std::sqrt(mean_squares / varying));
    trace.var_error.push_back(std::sqrt(var_squares / varying));
  }
  if (momentum && !batches.empty())
    trace.floor =
        std::sqrt(*momentum / (2 - *momentum) * noise / varying / static_cast<double>(batches.size()));
  return trace;
}

EpsEffect eps_effect(const Tensor& x, double eps) {
  const Tensor values = x.to(DType::float64);
  const BatchMoments before = batch_moments(values);
  const NoGrad off;
  const BatchMoments after = batch_moments(batch_norm(Variable(values), {.eps = eps}).value());
  EpsEffect effect;
  effect.eps = eps;
  for (size_t c = 0; c < before.biased.size(); ++c) {
    effect.deviation.push_back(std::sqrt(after.biased[c]));
    const double v = before.biased[c] + eps;
    effect.slope.push_back(v > 0 ? 1 / std::sqrt(v) : 0);
  }
  return effect;
}

}  // namespace sigma
