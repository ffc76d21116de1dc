#include "training/covariate_shift.h"

#include <cmath>

#include "core/math.h"
#include "layers/channel_norm.h"

namespace sigma {
namespace {

struct Layer {
  std::string path;
  Variables parameters;
  std::vector<Tensor> weights, gradient;  // before the step; the gradient in float64
};

std::vector<Layer> layers_of(Module& model) {
  std::vector<Layer> layers;
  for (auto& [name, p] : model.named_parameters()) {
    if (!p.requires_grad()) continue;
    const size_t dot = name.rfind('.');
    const std::string path = dot == name.npos ? "" : name.substr(0, dot);
    if (layers.empty() || layers.back().path != path) layers.push_back({path, {}, {}, {}});
    layers.back().parameters.push_back(p);
    layers.back().weights.push_back(p.value().clone());
  }
  SIGMA_CHECK(!layers.empty(), "covariate_shift", "expected a network with parameters that learn, got none");
  return layers;
}

std::vector<Tensor> gradient_of(const Variable& loss, const Variables& parameters) {
  std::vector<Tensor> gradient;
  for (const Variable& g : grad({loss}, parameters)) gradient.push_back(g.value().to(DType::float64));
  return gradient;
}

double dot(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  double total = 0;
  for (size_t i = 0; i < a.size(); ++i) total += sum(mul(a[i], b[i])).item();
  return total;
}

double distance(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  std::vector<Tensor> difference;
  for (size_t i = 0; i < a.size(); ++i) difference.push_back(sub(a[i], b[i]));
  return std::sqrt(dot(difference, difference));
}

void measure(std::vector<Layer>& layers, const std::function<Variable()>& loss, double rate,
             CovariateShift& result) {
  Variables all;
  for (const Layer& l : layers) all.insert(all.end(), l.parameters.begin(), l.parameters.end());
  const std::vector<Tensor> gradients = gradient_of(loss(), all);
  auto next = gradients.begin();
  for (Layer& l : layers)
    for (size_t i = 0; i < l.parameters.size(); ++i) l.gradient.push_back(*next++);
  for (size_t k = 0; k < layers.size(); ++k) {
    Layer& l = layers[k];
    const std::vector<Tensor> after = k == 0 ? l.gradient : gradient_of(loss(), l.parameters);
    result.layers.push_back(l.path);
    result.gradient_norm.push_back(std::sqrt(dot(l.gradient, l.gradient)));
    result.distance.push_back(distance(after, l.gradient));
    result.cosine.push_back(dot(l.gradient, after) /
                            (result.gradient_norm.back() * std::sqrt(dot(after, after))));
    for (size_t i = 0; i < l.parameters.size(); ++i)
      l.parameters[i].mutable_value().copy_(sub(l.weights[i].to(DType::float64), scale(l.gradient[i], rate)));
  }
}

}  // namespace

CovariateShift covariate_shift(Module& model, const std::function<Variable()>& loss, double rate) {
  const ScopedMode mode(model);
  const NoStatisticsUpdate keep;
  model.train();
  std::vector<Layer> layers = layers_of(model);
  auto put_back = [&] {
    for (Layer& l : layers)
      for (size_t i = 0; i < l.parameters.size(); ++i) l.parameters[i].mutable_value().copy_(l.weights[i]);
  };
  CovariateShift result;
  try {
    measure(layers, loss, rate, result);
  } catch (...) {
    put_back();
    throw;
  }
  put_back();
  return result;
}

}  // namespace sigma
