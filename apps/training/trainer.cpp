#include "training/trainer.h"

#include <cmath>
#include <cstring>

#include "autograd/precision.h"
#include "core/math.h"
#include "layers/channel_norm.h"
#include "layers/cross_entropy.h"
#include "optim/clip.h"
#include "training/initial_weights.h"

namespace sigma {
namespace {

ModulePtr drawn(const TrainSetup& setup, const Dataset& dataset) {
  ModulePtr model = make_network(setup);
  if (!setup.weights) initialize_weights(*model, setup, dataset);
  return model;
}

// The mean of a batch; of mixed images that of both labels, weighted.
Variable loss_of(const Variable& logits, const Batch& batch, const TrainSetup& setup) {
  const CrossEntropyOptions options{.label_smoothing = setup.label_smoothing, .weight = setup.class_weights};
  Variable loss = cross_entropy(logits, batch.labels, options);
  if (batch.weight == 1) return loss;
  return loss * batch.weight + cross_entropy(logits, batch.other_labels, options) * (1 - batch.weight);
}

}  // namespace

Trainer::Trainer(const Dataset& dataset, TrainSetup setup, int64_t first_step)
    : dataset_(dataset), setup_(std::move(setup)), model_(drawn(setup_, dataset)), step_(first_step) {
  prepare();
}

Trainer::Trainer(const Dataset& dataset, TrainSetup setup, ModulePtr model, int64_t first_step)
    : dataset_(dataset), setup_(std::move(setup)), model_(std::move(model)), step_(first_step) {
  if (!model_) fail(ErrorKind::usage, "Trainer", "expected a network, got none");
  setup_.model = kOwnNetwork;
  prepare();
}

void Trainer::prepare() {
  optimizer_ = make_optimizer(setup_.optimizer.name, parameter_groups(*model_, setup_.optimizer),
                              setup_.optimizer.hyper);
  setup_.loader.seed = setup_.seed;
  loader_ = std::make_unique<Loader>(dataset_.train, setup_.loader, step_);
}

StepResult Trainer::step() {
  Batch batch = loader_->next();
  StepResult result;
  optimizer_->set_lr(setup_.schedule, step_);
  result.lr = optimizer_->lr();
  model_->train();
  model_->set_step(static_cast<uint64_t>(step_));
  save_buffers();
  Variable logits;
  {
    Autocast scope(setup_.precision);
    logits = cast((*model_)(Variable(batch.images)), DType::float32);
  }
  Variable loss = loss_of(logits, batch, setup_);
  result.loss = loss.item();
  result.count = batch.labels.numel();
  result.correct = count_correct(logits.value(), batch.labels);
  if (!std::isfinite(result.loss)) {
    restore_buffers();
    const std::string where = first_bad_layer(batch.images);
    fail(ErrorKind::diverged, fmt::format("step {}", step_), "the loss is {}, {}",
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

// Running statistics move in the forward pass, before the loss tells whether there is to be a step. They are
// a few hundred numbers a layer.
void Trainer::save_buffers() {
  const auto buffers = model_->named_buffers();
  saved_buffers_.resize(buffers.size());
  for (size_t i = 0; i < buffers.size(); ++i) {
    const Tensor& now = buffers[i].second.value();
    Tensor& saved = saved_buffers_[i];
    if (!saved.defined() || saved.bytes() != now.bytes() || saved.dtype() != now.dtype())
      saved = Tensor::empty_like(now);
    std::memcpy(saved.mutable_raw(), now.raw(), now.bytes());
  }
}

void Trainer::restore_buffers() {
  auto buffers = model_->named_buffers();
  for (size_t i = 0; i < buffers.size(); ++i)
    std::memcpy(buffers[i].second.mutable_value().mutable_raw(), saved_buffers_[i].raw(),
                saved_buffers_[i].bytes());
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
  NoStatisticsUpdate frozen;
  Autocast scope(setup_.precision);
  (*model_)(Variable(images));
  return found;
}

std::string Trainer::bad_weight() const {
  for (auto& [name, t] : model_->state_dict().items)
    if ((t.dtype() == DType::float32 || t.dtype() == DType::float64) && !all_finite(t)) return name;
  return "";
}

std::map<std::string, Tensor> Trainer::weights() const { return model_->state_dict().by_name(); }

void Trainer::restore(const std::map<std::string, Tensor>& weights, const Optimizer::State& optimizer,
                      int64_t step) {
  SIGMA_CHECK(step >= 0, "trainer", "expected a step of at least 0, got {}", step);
  model_->load_state_dict(StateDict::of(weights));
  optimizer_->load_state_dict(optimizer, step > 0);
  step_ = step;
  loader_ = std::make_unique<Loader>(dataset_.train, setup_.loader, step);
}

}  // namespace sigma
