#include "layers/passes/fold.h"

#include <cmath>
#include <typeinfo>

#include "layers/sequential.h"

namespace sigma {
namespace {

template <class Layer>
void fold(Layer& layer, const BatchNorm& norm) {
  const char* tag = "fold_batch_norm";
  SIGMA_CHECK(!norm.is_training(), tag, "the batch norm is in training mode; call eval() first");
  SIGMA_CHECK(norm.running_mean.defined() && norm.options().track_running_stats, tag,
              "the batch norm does not track running statistics");
  int64_t out = layer.weight.dim(0);
  SIGMA_CHECK(norm.channels() == out, tag, "expected a norm of {} channels, got {}", out, norm.channels());
  layer.ensure_bias();
  Tensor& weight = layer.weight.mutable_value();
  Tensor& bias = layer.bias.mutable_value();
  dispatch_floating(weight.dtype(), tag, [&](auto zero) {
    using T = decltype(zero);
    const T *mean = norm.running_mean.value().template data<T>(),
            *var = norm.running_var.value().template data<T>();
    T *w = weight.mutable_data<T>(), *b = bias.mutable_data<T>();
    int64_t row = weight.numel() / out;  // the output channel is outermost in either layout
    for (int64_t c = 0; c < out; ++c) {
      double v = static_cast<double>(var[c]) + norm.options().eps;
      double gamma =
          norm.weight.defined() ? static_cast<double>(norm.weight.value().template data<T>()[c]) : 1;
      double beta = norm.bias.defined() ? static_cast<double>(norm.bias.value().template data<T>()[c]) : 0;
      double factor = v == 0 ? 0 : gamma / std::sqrt(v);
      for (int64_t i = 0; i < row; ++i)
        w[c * row + i] = static_cast<T>(static_cast<double>(w[c * row + i]) * factor);
      b[c] = static_cast<T>((static_cast<double>(b[c]) - static_cast<double>(mean[c])) * factor + beta);
    }
  });
}

}  // namespace

void fold_batch_norm(Conv2d& layer, const BatchNorm& norm) { fold(layer, norm); }
void fold_batch_norm(Linear& layer, const BatchNorm& norm) { fold(layer, norm); }

namespace {
// The layer whose output leaves `m`: itself, or the last of a Sequential, such as a layer in two factors.
Module& last_layer(Module& m) {
  bool nested = typeid(m) == typeid(Sequential) && !m.named_children().empty();
  return nested ? last_layer(*m.named_children().back().second) : m;
}
}  // namespace

int fold_batch_norms(Module& model) {
  int folded = 0;
  model.visit([&](const std::string&, Module& m) {
    if (!m.is_chain()) return;
    for (size_t i = 0; i + 1 < m.named_children().size(); ++i) {
      auto* norm = dynamic_cast<BatchNorm*>(m.named_children()[i + 1].second.get());
      if (!norm) continue;
      Module& before = last_layer(*m.named_children()[i].second);
      if (auto* conv = dynamic_cast<Conv2d*>(&before))
        fold_batch_norm(*conv, *norm);
      else if (auto* lin = dynamic_cast<Linear*>(&before))
        fold_batch_norm(*lin, *norm);
      else
        continue;
      m.replace_child(i + 1, std::make_shared<Identity>());
      ++folded;
    }
  });
  return folded;
}

}  // namespace sigma
