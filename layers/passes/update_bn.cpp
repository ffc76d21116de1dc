#include "layers/passes/update_bn.h"

#include <optional>
#include <vector>

#include "layers/channel_norm.h"

namespace sigma {
namespace {

// The momentum of every norm that tracks statistics, put back at the end.
struct CumulativeAverage {
  std::vector<std::pair<ChannelNorm*, std::optional<double>>> norms;

  explicit CumulativeAverage(Module& model) {
    model.visit([this](const std::string&, Module& m) {
      ChannelNorm* norm = m.channel_norm();
      if (norm && norm->tracks_statistics() && !m.is_frozen()) norms.emplace_back(norm, norm->momentum());
    });
    for (auto& [norm, momentum] : norms) {
      norm->reset_running_stats();
      norm->set_momentum(std::nullopt);
    }
  }
  ~CumulativeAverage() {
    for (auto& [norm, momentum] : norms) norm->set_momentum(momentum);
  }
};

}  // namespace

void update_bn(Module& model, const std::function<Variable()>& next) {
  ScopedMode mode(model);
  CumulativeAverage average(model);
  NoGrad off;
  model.train();
  for (Variable x = next(); x.defined(); x = next()) model(x);
}

}  // namespace sigma
