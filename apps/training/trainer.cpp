#include "apps/training/trainer.h"

#include <cmath>

#include "apps/run/signals.h"
#include "apps/training/initial_weights.h"
#include "autograd/precision.h"
#include "core/math.h"
#include "core/platform.h"
#include "core/sha256.h"
#include "layers/channel_norm.h"
#include "layers/cross_entropy.h"
#include "optim/clip.h"

namespace sigma::app {
namespace {

int64_t count_correct(const Tensor& logits, const Tensor& labels) {
  Tensor guess = argmax(logits, 1);
  int64_t correct = 0;
  for (int64_t i = 0; i < labels.numel(); ++i)
    correct += guess.data<int64_t>()[i] == labels.data<int64_t>()[i];
  return correct;
}

}  // namespace

Trainer::Trainer(const Dataset& dataset, TrainSetup setup, int64_t first_step)
    : dataset_(dataset), setup_(std::move(setup)), step_(first_step) {
  model_ = make_network(setup_);
  if (!setup_.weights) initialize_weights(*model_, setup_, dataset_);
  optimizer_ = make_optimizer(setup_.optimizer.name, parameter_groups(*model_, setup_.optimizer),
                              setup_.optimizer.hyper);
  setup_.loader.seed = setup_.seed;
  loader_ = std::make_unique<Loader>(dataset_.train, setup_.loader, first_step);
}

StepResult Trainer::step() {
  Batch batch = loader_->next();
  StepResult result;
  optimizer_->set_lr(setup_.schedule, step_);
  result.lr = optimizer_->lr();
  model_->train();
  model_->set_step(static_cast<uint64_t>(step_));
  Variable logits;
  {
    Autocast scope(setup_.precision);
    logits = cast((*model_)(Variable(batch.images)), DType::float32);
  }
  Variable loss = cross_entropy(logits, batch.labels, {.label_smoothing = setup_.label_smoothing});
  result.loss = loss.item();
  result.count = batch.labels.numel();
  result.correct = count_correct(logits.value(), batch.labels);
  if (!std::isfinite(result.loss)) {
    std::string where = first_bad_layer(batch.images);
    fail(ErrorKind::diverged, fmt::format("step {}", step_),
         "the loss is {}, {}; try a smaller --lr, batch normalization or --normalize standard",
         std::fabs(result.loss),  // a NaN may carry a sign
         where.empty() ? "though every layer's output is finite" : where);
  }
  loss.backward();
  if (setup_.clip_norm > 0) clip_grad_norm(model_->parameters(), setup_.clip_norm);
  optimizer_->step();
  optimizer_->zero_grad();
  ++step_;
  return result;
}

std::string Trainer::first_bad_layer(const Tensor& images) {
  std::string found;
  ScopedHooks hooks;
  model_->visit([&](const std::string& path, Module& m) {
    hooks.add(m, [&found, path](const Module&, const Variable&, const Variable& out) {
      if (found.empty() && !all_finite(out.value()))
        found = path.empty() ? "the output" : "first in the output of " + path;
    });
  });
  NoGrad off;
  NoStatisticsUpdate frozen;  // the step has counted this batch
  Autocast scope(setup_.precision);
  (*model_)(Variable(images));
  return found;
}

std::string Trainer::bad_weight() const {
  for (auto& [name, t] : model_->state_dict().items)
    if ((t.dtype() == DType::float32 || t.dtype() == DType::float64) && !all_finite(t)) return name;
  return "";
}

std::map<std::string, Tensor> Trainer::state() const {
  std::map<std::string, Tensor> tensors;
  for (auto& [name, t] : model_->state_dict().items) tensors.emplace(name, t);
  for (auto& [name, t] : optimizer_->state_dict()) tensors.emplace("optim." + name, t);
  return tensors;
}

void Trainer::restore(const SafeTensors& checkpoint, int64_t step) {
  Optimizer::State state;
  for (auto& [name, t] : checkpoint.tensors)
    if (name.rfind("optim.", 0) == 0) state.emplace(name.substr(6), t);
  model_->load_state_dict(model_state(checkpoint));
  optimizer_->load_state_dict(state, step > 0);
  step_ = step;
  loader_ = std::make_unique<Loader>(dataset_.train, setup_.loader, step);
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

ModulePtr make_network(const TrainSetup& s) {
  ModulePtr model = make_model(s.model, s.input, s.batch_norm, s.seed);
  apply_factors(*model, s.factors, false);
  if (s.weights) model->load_state_dict(*s.weights);
  return model;
}

StateDict model_state(const SafeTensors& content) {
  StateDict state;
  for (auto& [name, t] : content.tensors)
    if (name.rfind("optim.", 0) != 0 && name.rfind("normalize.", 0) != 0) state.items.emplace_back(name, t);
  return state;
}

EvalResult evaluate(Module& model, const Split& split, const Normalization& normalization, int64_t classes,
                    int64_t limit) {
  constexpr int64_t kBatch = 250;
  NoGrad off;
  model.eval();
  int64_t n = limit > 0 ? std::min(limit, split.size()) : split.size();
  EvalResult result;
  result.confusion.assign(static_cast<size_t>(classes),
                          std::vector<int64_t>(static_cast<size_t>(classes), 0));
  int64_t correct = 0;
  for (int64_t at = 0; at < n; at += kBatch) {
    if (stop_signal()) throw Stopped{stop_signal()};
    int64_t count = std::min(kBatch, n - at);
    std::vector<int64_t> rows;
    for (int64_t i = at; i < at + count; ++i)
      rows.push_back(i * split.size() / n);  // a limited look is spread over the whole set
    Variable logits = model(Variable(normalized_images(split, rows, normalization)));
    Tensor labels = index_rows(split.labels, rows), guess = argmax(logits.value(), 1);
    result.loss += cross_entropy(logits, labels, {.reduction = Reduction::sum}).item();
    for (int64_t i = 0; i < count; ++i) {
      int64_t truth = labels.data<int64_t>()[i], g = guess.data<int64_t>()[i];
      ++result.confusion[static_cast<size_t>(truth)][static_cast<size_t>(g)];
      correct += truth == g;
    }
  }
  result.count = n;
  result.loss /= static_cast<double>(std::max<int64_t>(1, n));
  result.accuracy = static_cast<double>(correct) / static_cast<double>(std::max<int64_t>(1, n));
  return result;
}

void check_fit(const TrainSetup& setup, int64_t train_images) {
  ModulePtr model = make_network(setup);
  check_init_fits(setup, *model);
  int64_t n = std::min<int64_t>({4, setup.loader.batch_size, train_images});
  size_t before = pool_stats().in_use;
  Variable logits =
      (*model)(Variable(Tensor::zeros(setup.input.shape(n), DType::float32, Layout::channels_last)));
  // What the graph holds, scaled to the batch; gradients and scratch double it.
  auto graph = static_cast<double>(pool_stats().in_use - before) / static_cast<double>(n);
  double need = 2 * graph * static_cast<double>(std::min(setup.loader.batch_size, train_images)) +
                16.0 * static_cast<double>(model->parameter_count());
  uint64_t have = platform::available_memory();
  if (need > static_cast<double>(have))
    fail(ErrorKind::memory, "memory",
         "a step of {} with --batch-size {} needs about {:.1f} GB, {:.1f} GB are available", setup.model,
         setup.loader.batch_size, need / 1e9, static_cast<double>(have) / 1e9);
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

}  // namespace sigma::app
