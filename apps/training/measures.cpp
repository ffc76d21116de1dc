#include "training/measures.h"

#include <algorithm>
#include <cmath>

#include "core/linalg.h"
#include "core/math.h"
#include "layers/channel_norm.h"
#include "layers/cross_entropy.h"
#include "layers/role.h"

namespace sigma {
namespace {

// (samples, features) in float64.
Tensor matrix_of(const Tensor& x, const char* tag) {
  SIGMA_CHECK(x.rank() == 2 && x.numel() > 0, tag, "expected a matrix (samples, features), got {}",
              x.shape().str());
  return x.to(DType::float64);
}

// The singular values of the matrix over its Frobenius norm, so that no scale overflows their powers.
std::vector<double> relative_singular_values(const Tensor& x, const char* tag) {
  std::vector<double> s = svdvals(matrix_of(x, tag)).to_vector();
  const double top = s[0];
  double squares = 0;
  for (double v : s) squares += (v / top) * (v / top);
  for (double& v : s) v = v / top / std::sqrt(squares);
  return s;
}

struct LossAndGradient {
  double loss = 0;
  std::vector<Tensor> gradient;
};

LossAndGradient at_weights(Module& model, const Variable& images, const Tensor& labels,
                           const Variables& parameters) {
  const Variable loss = cross_entropy(model(images), labels);
  LossAndGradient at;
  at.loss = loss.item();
  for (const Variable& g : grad({loss}, parameters)) at.gradient.push_back(g.value().to(DType::float64));
  return at;
}

double norm_of(const std::vector<Tensor>& tensors) {
  double squares = 0;
  for (const Tensor& t : tensors) squares += norm2(t) * norm2(t);
  return std::sqrt(squares);
}

// The largest of sign * v; NaN where one of them is not finite.
double largest_of(const std::vector<double>& v, double sign = 1) {
  double largest = -HUGE_VAL;
  for (double x : v) {
    if (!std::isfinite(x)) return std::nan("");
    largest = std::max(largest, sign * x);
  }
  return largest;
}

double distance_of(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  std::vector<Tensor> difference;
  for (size_t i = 0; i < a.size(); ++i) difference.push_back(sub(a[i], b[i]));
  return norm_of(difference);
}

}  // namespace

std::vector<double> percentiles(const Tensor& values, const std::vector<double>& q) {
  std::vector<double> v = values.to_vector();
  std::vector<size_t> order(q.size());
  for (size_t i = 0; i < q.size(); ++i) {
    SIGMA_CHECK(q[i] >= 0 && q[i] <= 100, "percentiles", "expected percentages in 0..100, got {}", q[i]);
    order[i] = i;
  }
  std::vector<double> result(q.size(), std::nan(""));
  if (v.empty() || std::any_of(v.begin(), v.end(), [](double x) { return std::isnan(x); })) return result;
  // Only what the percentages ask for is put in its place, from below: a tenth of the time of a sort.
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return q[a] < q[b]; });
  auto placed = v.begin();
  for (size_t i : order) {
    const double at = q[i] / 100 * static_cast<double>(v.size() - 1);
    const auto below = v.begin() + static_cast<std::ptrdiff_t>(at);
    std::nth_element(placed, below, v.end());
    placed = below;
    const double part = at - std::floor(at);
    result[i] = part == 0 ? *below : *below + part * (*std::min_element(below + 1, v.end()) - *below);
  }
  return result;
}

double kurtosis(const Tensor& values) {
  const std::vector<double> v = values.to_vector();
  const auto n = static_cast<double>(v.size());
  double mean = 0, second = 0, fourth = 0;
  for (double x : v) mean += x / n;
  for (double x : v) {
    const double d = (x - mean) * (x - mean);
    second += d / n;
    fourth += d * d / n;
  }
  return fourth / (second * second);
}

double max_over_median(const Tensor& values) {
  const std::vector<double> of = percentiles(abs(values), {50, 100});
  return of[1] / of[0];
}

std::vector<double> histogram_shares(const Tensor& values, double low, double high, int64_t bins) {
  SIGMA_CHECK(bins >= 1 && low < high, "histogram_shares",
              "expected bins from low to high, got {} from {} to {}", bins, low, high);
  std::vector<double> shares(static_cast<size_t>(bins), 0);
  const std::vector<double> all = values.to_vector();
  for (double v : all) {
    if (std::isnan(v)) continue;
    const double at = std::floor((v - low) / (high - low) * static_cast<double>(bins));
    shares[static_cast<size_t>(std::clamp(at, 0.0, static_cast<double>(bins - 1)))] += 1;
  }
  for (double& s : shares) s /= static_cast<double>(all.size());
  return shares;
}

double percentile_drift(const std::vector<double>& q15, const std::vector<double>& q50,
                        const std::vector<double>& q85) {
  SIGMA_CHECK(q15.size() == q50.size() && q85.size() == q50.size(), "percentile_drift",
              "expected three series of one length, got {}, {} and {}", q15.size(), q50.size(), q85.size());
  if (q50.size() < 2) return 0;
  double way = 0, width = 0;
  for (size_t t = 0; t < q50.size(); ++t) {
    if (t > 0) way += std::abs(q50[t] - q50[t - 1]);
    width += (q85[t] - q15[t]) / static_cast<double>(q50.size());
  }
  return way / width;
}

int64_t soft_rank(const Tensor& x, double tau) {
  const std::vector<double> s = svdvals(matrix_of(x, "soft_rank")).to_vector();
  const auto n = static_cast<double>(x.dim(0));
  return std::count_if(s.begin(), s.end(), [&](double v) { return v * v / n >= tau; });
}

double trace_rank(const Tensor& x) {
  double fourth = 0;  // the squares add up to 1
  for (double s : relative_singular_values(x, "trace_rank")) fourth += s * s * s * s;
  return 1 / fourth;
}

double orthogonality_gap(const Tensor& x) {
  // || G / tr G - I / n ||^2 = sum over the eigenvalues g of G / tr G, (g - 1/n)^2, where those beyond the
  // rank are 0.
  const std::vector<double> s = relative_singular_values(x, "orthogonality_gap");
  const auto n = static_cast<double>(x.dim(0));
  double squares = (n - static_cast<double>(std::min<int64_t>(x.dim(0), x.dim(1)))) / (n * n);
  for (double v : s) squares += (v * v - 1 / n) * (v * v - 1 / n);
  return std::sqrt(squares);
}

InputSpectrum input_spectrum(const Tensor& inputs, std::optional<double> least) {
  const Tensor x = matrix_of(inputs, "input_spectrum");
  const Tensor second = scale(matmul(transpose(x, 0, 1), x), 1 / static_cast<double>(x.dim(0)));
  const std::vector<double> eigenvalues = svdvals(second).to_vector();  // of a positive matrix
  InputSpectrum spectrum;
  spectrum.largest = eigenvalues[0];
  const double zero = least.value_or(static_cast<double>(eigenvalues.size()) * 2.2e-16 * spectrum.largest);
  for (double v : eigenvalues)
    if (v > zero) {
      spectrum.smallest = v;
      ++spectrum.rank;
    }
  return spectrum;
}

LinearLeastSquares::LinearLeastSquares(const Tensor& inputs, const Tensor& targets) {
  const Tensor x = matrix_of(inputs, "LinearLeastSquares"), y = matrix_of(targets, "LinearLeastSquares");
  SIGMA_CHECK(x.dim(0) == y.dim(0), "LinearLeastSquares", "expected as many targets as inputs, got {} and {}",
              y.dim(0), x.dim(0));
  const auto n = static_cast<double>(x.dim(0));
  const Tensor across = transpose(x, 0, 1);
  hessian_ = scale(matmul(across, x), 1 / n);
  right_ = scale(matmul(across, y), 1 / n);
  at_zero_ = norm2(y) * norm2(y) / (2 * n);
  const Tensor best = matmul(pinv(hessian_), right_);
  least_ = loss(best, matmul(hessian_, best));
}

double LinearLeastSquares::loss(const Tensor& w, const Tensor& hessian_times_w) const {
  return sum(mul(w, sub(scale(hessian_times_w, 0.5), right_))).item() + at_zero_;
}

std::vector<double> LinearLeastSquares::descend(double rate, int64_t steps) const {
  Tensor w = Tensor::zeros(right_.shape(), DType::float64);
  std::vector<double> losses;
  for (int64_t i = 0;; ++i) {
    const Tensor product = matmul(hessian_, w);
    losses.push_back(loss(w, product));
    if (i >= steps || !std::isfinite(losses.back())) return losses;
    w = sub(w, scale(sub(product, right_), rate));
  }
}

double Landscape::loss_range() const { return loss.empty() ? 0 : largest_of(loss) + largest_of(loss, -1); }
double Landscape::beta_smoothness() const { return smoothness.empty() ? 0 : largest_of(smoothness); }
double Landscape::predictiveness() const { return distance.empty() ? 0 : largest_of(distance); }

Landscape landscape(Module& model, const Tensor& images, const Tensor& labels,
                    const std::vector<double>& steps) {
  const ScopedMode mode(model);
  const NoStatisticsUpdate keep;
  model.train();
  const Variable x(images);
  Variables parameters = model.parameters();
  std::erase_if(parameters, [](const Variable& p) { return !p.requires_grad(); });
  SIGMA_CHECK(!parameters.empty(), "landscape", "expected a network with parameters that learn, got none");
  std::vector<Tensor> weights;
  for (const Variable& p : parameters) weights.push_back(p.value().clone());
  const LossAndGradient here = at_weights(model, x, labels, parameters);
  Landscape l;
  l.start = here.loss;
  l.gradient_norm = norm_of(here.gradient);
  auto put_back = [&] {
    for (size_t i = 0; i < parameters.size(); ++i) parameters[i].mutable_value().copy_(weights[i]);
  };
  try {
    for (double t : steps) {
      for (size_t i = 0; i < parameters.size(); ++i)
        parameters[i].mutable_value().copy_(sub(weights[i].to(DType::float64), scale(here.gradient[i], t)));
      const LossAndGradient there = at_weights(model, x, labels, parameters);
      l.loss.push_back(there.loss);
      l.distance.push_back(distance_of(there.gradient, here.gradient));
      l.smoothness.push_back(l.distance.back() / (std::abs(t) * l.gradient_norm));
    }
  } catch (...) {
    put_back();
    throw;
  }
  put_back();
  return l;
}

BranchVariances branch_variances(Module& model, const Tensor& images) {
  const ScopedMode mode(model);
  const NoStatisticsUpdate keep;
  const NoGrad off;
  model.train();
  BranchVariances result;
  ScopedHooks hooks;
  Tensor body;  // the output of the innermost that has just ended
  auto mean_square = [](const Tensor& t) {
    const double norm = norm2(t);
    return norm * norm / static_cast<double>(t.numel());
  };
  model.visit([&](const std::string& path, Module& m) {
    if (m.role() != Role::residual) return;
    SIGMA_CHECK(!m.chain().empty(), "branch_variances", "expected layers in the block {}, got none", path);
    hooks.add(*m.chain().back().second, [&](const Module&, const Variable&, const Variable& out) {
      body = out.value().to(DType::float64);
    });
    hooks.add(m, [&, mean_square](const Module&, const Variable&, const Variable& out) {
      result.branch.push_back(mean_square(body));
      result.skip.push_back(mean_square(sub(out.value().to(DType::float64), body)));
    });
  });
  model(Variable(images));
  return result;
}

double switched_off(const Module& model, double threshold) {
  double off = 0, all = 0;
  const_cast<Module&>(model).visit([&](const std::string&, Module& m) {
    if (!m.channel_norm()) return;
    for (const auto& [name, p] : m.own_parameters())
      if (name == "weight")
        for (double gamma : p.value().to_vector()) {
          off += std::abs(gamma) < threshold ? 1 : 0;
          all += 1;
        }
  });
  return off / all;
}

}  // namespace sigma
