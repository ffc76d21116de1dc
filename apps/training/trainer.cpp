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

const std::string kRaw = "raw.";

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
  freeze_layers(*model_, setup_.freeze);
  optimizer_ = make_optimizer(setup_.optimizer.name, parameter_groups(*model_, setup_.optimizer),
                              setup_.optimizer.hyper);
  if (setup_.ema != 0) {
    std::vector<Variable> all = model_->parameters();
    for (auto& [name, buffer] : model_->named_buffers()) all.push_back(buffer);
    ema_ = std::make_unique<Ema>(std::move(all), setup_.ema);
  }
  setup_.loader.seed = setup_.seed;
  loader_ = std::make_unique<Loader>(dataset_.train, setup_.loader, step_);
}

StepResult Trainer::step() {
  optimizer_->set_lr(setup_.schedule, step_);
  return take_step(setup_.schedule.at(step_, setup_.optimizer.lr));
}

StepResult Trainer::step_at(double lr) {
  const double base = setup_.optimizer.lr;
  SIGMA_CHECK(base > 0, "trainer", "expected a setup with a rate above 0, got {}", base);
  optimizer_->set_lr([=](double own) { return own / base * lr; });
  return take_step(lr);
}

StepResult Trainer::take_step(double lr) {
  Batch batch = loader_->next();
  StepResult result;
  result.lr = lr;
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
  if (ema_) ema_->update();
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

std::map<std::string, Tensor> Trainer::weights() const {
  std::map<std::string, Tensor> all = model_->state_dict().by_name();
  if (ema_)
    for (auto& [name, t] : all) t = ema_->average_of(t);
  return all;
}

Optimizer::State Trainer::optimizer_state() const {
  Optimizer::State state = optimizer_->state_dict();
  if (ema_)
    for (auto& [name, t] : model_->state_dict().by_name()) state.emplace(kRaw + name, t);
  return state;
}

// The network has the averages; it gets what is trained.
void Trainer::restore_raw(Optimizer::State& state, int64_t step) {
  ema_->restart(step);
  std::map<std::string, Tensor> raw;
  for (auto it = state.begin(); it != state.end();) {
    const bool is_raw = it->first.rfind(kRaw, 0) == 0;
    if (is_raw) raw.emplace(it->first.substr(kRaw.size()), it->second);
    it = is_raw ? state.erase(it) : std::next(it);
  }
  if (raw.empty()) fail(ErrorKind::checkpoint, "trainer", "the weights beside their average are missing");
  model_->load_state_dict(StateDict::of(raw));
  const std::string bad = bad_weight();
  if (!bad.empty())
    fail(ErrorKind::checkpoint, "trainer", "{}{} holds values that are not finite", kRaw, bad);
}

void Trainer::restore(const std::map<std::string, Tensor>& weights, const Optimizer::State& optimizer,
                      int64_t step) {
  SIGMA_CHECK(step >= 0, "trainer", "expected a step of at least 0, got {}", step);
  model_->load_state_dict(StateDict::of(weights));
  Optimizer::State state = optimizer;
  if (ema_) restore_raw(state, step);
  optimizer_->load_state_dict(state, step > 0);
  step_ = step;
  loader_ = std::make_unique<Loader>(dataset_.train, setup_.loader, step);
}

}  // namespace sigma
