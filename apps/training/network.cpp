#include "training/network.h"

#include "core/allocation.h"
#include "core/file.h"
#include "core/platform.h"
#include "core/sha256.h"
#include "training/initial_weights.h"

namespace sigma {

ModulePtr make_network(const TrainSetup& s) {
  ModulePtr model = make_model(s.model, s.input, norm_of(s), s.seed);
  apply_factors(*model, s.factors, false);
  if (s.weights) model->load_state_dict(*s.weights);
  return model;
}

std::vector<ParameterGroup> parameter_groups(Module& model, const OptimizerSetup& setup) {
  ParameterGroup decayed{{}, setup.lr, setup.weight_decay}, plain{{}, setup.lr, 0};
  model.visit([&](const std::string& path, Module& m) {
    for (auto& [name, p] : m.named_parameters()) {
      if (name.find('.') != std::string::npos) continue;  // a child's; visited on its own
      ParameterGroup& group = setup.decay_all || m.decays(name) ? decayed : plain;
      group.parameters.emplace_back(join_path(path, name), p);
    }
  });
  if (plain.parameters.empty()) return {decayed};
  return {decayed, plain};
}

void check_fit(const TrainSetup& setup, int64_t train_images) {
  ModulePtr model = make_network(setup);
  check_init_fits(setup, *model);
  const int64_t n = std::min<int64_t>({4, setup.loader.batch_size, train_images});
  AllocationScope scope;
  Variable logits =
      (*model)(Variable(Tensor::zeros(setup.input.shape(n), DType::float32, Layout::channels_last)));
  // What the graph holds, scaled to the batch; gradients and scratch double it.
  const double graph = static_cast<double>(scope.in_use()) / static_cast<double>(n);
  const double need = 2 * graph * static_cast<double>(std::min(setup.loader.batch_size, train_images)) +
                      16.0 * static_cast<double>(model->parameter_count());
  const uint64_t have = platform::available_memory();
  if (need > static_cast<double>(have))
    fail(ErrorKind::memory, "memory",
         "a step of {} with a batch of {} needs about {:.1f} GB, {:.1f} GB are available",
         model_label(setup.model), setup.loader.batch_size, need / 1e9, static_cast<double>(have) / 1e9);
}

std::string weights_sha256(const Module& model) {
  Sha256 hash;
  for (auto& [name, t] : model.state_dict().items) {
    Tensor c = t.contiguous();
    hash.update(name + "\n");
    hash.update(c.raw(), c.bytes());
  }
  return hash.hex();
}

}  // namespace sigma
