#include "layers/passes/fold.h"

#include <map>

#include "layers/sequential.h"

namespace sigma {

void fold_batch_norm(AffineLayer& layer, const ChannelNorm& norm) {
  const char* tag = "fold_batch_norm";
  const ChannelMap map = norm.channel_map();
  const int64_t out = layer.form().out;
  SIGMA_CHECK(static_cast<int64_t>(map.scale.size()) == out, tag, "expected a norm of {} channels, got {}",
              out, map.scale.size());
  layer.ensure_bias();
  Tensor& weight = layer.weight.mutable_value();
  Tensor& bias = layer.bias.mutable_value();
  dispatch_floating(weight.dtype(), tag, [&](auto zero) {
    using T = decltype(zero);
    T* w = weight.mutable_data<T>();
    T* b = bias.mutable_data<T>();
    const int64_t row = weight.numel() / out;  // the output channel is outermost in either layout
    for (int64_t c = 0; c < out; ++c) {
      const auto k = static_cast<size_t>(c);
      for (int64_t i = 0; i < row; ++i)
        w[c * row + i] = static_cast<T>(static_cast<double>(w[c * row + i]) * map.scale[k]);
      b[c] = static_cast<T>((static_cast<double>(b[c]) - map.mean[k]) * map.scale[k] + map.shift[k]);
    }
  });
}

namespace {

// The layer whose output leaves `m`: itself, or the last of a Sequential, such as a layer in two factors.
Module& last_layer(Module& m) {
  if (m.role() != Role::chain || m.chain().empty()) return m;
  return last_layer(*m.chain().back().second);
}

// In how many places a Variable is used.
class Uses {
 public:
  explicit Uses(Module& m) {
    for (auto& [name, v] : m.own_parameters()) ++count_[v.state()];
    for (auto& [name, child] : m.named_children()) merge(Uses(*child));
  }
  bool once(const AffineLayer& layer) const {
    return count_.at(layer.weight.state()) == 1 &&
           (!layer.bias.defined() || count_.at(layer.bias.state()) == 1);
  }

 private:
  void merge(const Uses& other) {
    for (auto& [v, n] : other.count_) count_[v] += n;
  }
  std::map<const VariableState*, int> count_;
};

}  // namespace

int fold_batch_norms(Module& model) {
  int folded = 0;
  const Uses uses(model);
  model.visit([&](const std::string&, Module& m) {
    if (!m.replaces_children()) return;
    for (size_t i = 0; i + 1 < m.chain().size(); ++i) {
      const ChannelNorm* norm = m.chain()[i + 1].second->channel_norm();
      AffineLayer* before = last_layer(*m.chain()[i].second).affine();
      if (!norm || !before || !uses.once(*before)) continue;
      fold_batch_norm(*before, *norm);
      m.replace_child(i + 1, std::make_shared<Identity>());
      ++folded;
    }
  });
  return folded;
}

}  // namespace sigma
