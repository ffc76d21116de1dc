#include "training/distributions.h"

#include <algorithm>
#include <map>

#include "autograd/precision.h"
#include "core/parallel.h"
#include "layers/channel_norm.h"
#include "layers/cross_entropy.h"
#include "training/measures.h"

namespace sigma {
namespace {

struct Call {
  std::string layer, kind;
  Variable output;
};

Band band_of(const Tensor& values) {
  const std::vector<double> q =
      percentiles(values, std::vector<double>(kBandPercentiles.begin(), kBandPercentiles.end()));
  Band band{};
  std::copy(q.begin(), q.end(), band.begin());
  return band;
}

}  // namespace

std::vector<LayerDistribution> distributions(Module& model, const Tensor& images, const Tensor& labels,
                                             DType precision) {
  std::vector<Call> calls;
  Variables gradients;
  {
    const ScopedMode mode(model);
    const NoStatisticsUpdate keep;
    const NoGrad on(true);
    ScopedHooks hooks;
    std::map<std::string, int> count;
    model.visit([&](const std::string& path, Module& m) {
      if (!m.named_children().empty()) return;
      hooks.add(m, [&calls, &count, path](const Module& layer, const Variable&, const Variable& out) {
        const int call = ++count[path];
        calls.push_back({call == 1 ? path : fmt::format("{} ({})", path, call), layer.kind(), out});
      });
    });
    model.train();
    Variable logits;
    {
      const Autocast scope(precision);
      // The images ask for a gradient, which is never computed, so that frozen layers record what happens.
      logits = model(Variable(images, true));
      if (logits.dtype() == DType::bfloat16) logits = cast(logits, DType::float32);
    }
    Variables outputs;
    for (const Call& c : calls) outputs.push_back(c.output);
    gradients = grad({cross_entropy(logits, labels)}, outputs, {}, {.allow_unused = true});
  }
  std::vector<LayerDistribution> all(calls.size());
  parallel_for(static_cast<int64_t>(2 * calls.size()), [&](int64_t task) {
    const auto i = static_cast<size_t>(task / 2);
    if (task % 2 == 0) {
      all[i].layer = calls[i].layer;
      all[i].kind = calls[i].kind;
      all[i].activation = band_of(calls[i].output.value());
    } else if (gradients[i].defined()) {
      all[i].gradient = band_of(gradients[i].value());
    }
  });
  return all;
}

}  // namespace sigma
