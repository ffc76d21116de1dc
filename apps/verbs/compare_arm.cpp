#include "apps/verbs/compare_arm.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "apps/verbs/saved_model.h"
#include "core/safetensors.h"
#include "layers/channel_norm.h"

namespace sigma::app {
namespace {

// Before the names of the optimizer's tensors in a file.
const std::string kOptimizer = "optim.";

using Clock = std::chrono::steady_clock;

Histogram histogram(const Tensor& values) {
  Histogram h;
  h.share.assign(64, 0);
  Tensor v = values.to(DType::float64);
  const double* p = v.data<double>();
  for (int64_t i = 0; i < v.numel(); ++i) {
    if (!std::isfinite(p[i])) continue;
    double t = (p[i] - h.low) / (h.high - h.low) * 64;
    h.share[static_cast<size_t>(std::clamp(t, 0.0, 63.0))] += 1.0 / static_cast<double>(v.numel());
  }
  return h;
}

// What flows through the probe on some images as in training, with the statistics of the batch, and leaves no
// trace: neither running statistics nor random streams move.
struct Activations {
  Tensor in, out;
};
Activations observe(Module& model, const Probe& probe, const Split& test, const Normalization& n) {
  Activations a;
  Module *before = model.find(probe.before), *norm = model.find(probe.norm);
  ScopedHooks hooks;
  hooks.add(*before,
            [&](const Module&, const Variable&, const Variable& out) { a.in = a.out = out.value(); });
  if (norm)
    hooks.add(*norm, [&](const Module&, const Variable&, const Variable& out) { a.out = out.value(); });
  std::vector<int64_t> rows;
  for (int64_t i = 0; i < std::min<int64_t>(200, test.size()); ++i) rows.push_back(i);
  const NoGrad off;
  const NoStatisticsUpdate keep;
  model.eval();
  model.visit([](const std::string&, Module& m) {
    if (m.channel_norm()) m.train();
  });
  model(Variable(normalized_images(test, rows, n)));
  model.eval();
  return a;
}

double percentile(std::vector<double>& v, double q) {
  if (v.empty()) return std::nan("");
  auto at = v.begin() + static_cast<std::ptrdiff_t>(q * static_cast<double>(v.size() - 1));
  std::nth_element(v.begin(), at, v.end());
  return *at;
}

}  // namespace

std::vector<Probe> places_of_norm(const std::string& network, const ModelInput& input) {
  ModulePtr model = make_model(network, input, Norm("batch"));
  std::vector<Probe> places;
  model->visit([&](const std::string& path, Module& m) {
    auto& children = m.named_children();
    for (size_t i = 1; i < children.size(); ++i)
      if (children[i].second->channel_norm())
        places.push_back({join_path(path, children[i].first), join_path(path, children[i - 1].first)});
  });
  return places;
}

ArmTraining::ArmTraining(const Comparison& comparison, size_t arm, uint64_t seed, const Dataset& data,
                         TrainSetup setup, const Probe& probe)
    : comparison_(comparison), data_(data), probe_(probe), trainer_(data, [&] {
        setup.seed = seed;
        return setup;
      }()) {
  run_.arm = arm;
  run_.seed = seed;
}

void ArmTraining::look(bool first, bool last) {
  if (probe_.before.empty()) {
    for (auto* list : {&run_.p15, &run_.p50, &run_.p85}) list->push_back(std::nan(""));
    return;
  }
  Activations a = observe(trainer_.model(), probe_, data_.measured(), trainer_.setup().loader.normalization);
  if (first) {
    run_.first_in = histogram(a.in);
    run_.first_out = histogram(a.out);
  }
  if (last) {
    run_.last_in = histogram(a.in);
    run_.last_out = histogram(a.out);
  }
  std::vector<double> v = a.out.to_vector();
  std::erase_if(v, [](double x) { return !std::isfinite(x); });
  run_.p15.push_back(percentile(v, .15));
  run_.p50.push_back(percentile(v, .5));
  run_.p85.push_back(percentile(v, .85));
}

void ArmTraining::measure() {
  const Trainer::Measured weights(trainer_);
  // First what may be stopped: a measurement is there whole or not at all.
  const EvalResult e =
      evaluate_or_stop(trainer_.model(), data_, trainer_.setup().loader.normalization, arm().eval_images);
  look(step_ == 0, ended());
  run_.step.push_back(step_);
  run_.seconds.push_back(trained_);
  run_.loss.push_back(loss_count_ ? loss_sum_ / static_cast<double>(loss_count_) : std::nan(""));
  run_.accuracy.push_back(e.accuracy);
  loss_sum_ = 0;
  loss_count_ = 0;
}

ArmRun ArmTraining::run(const std::function<void(int64_t steps, bool measures)>& between) {
  while (true) {
    const bool due = ended() || step_ % arm().eval_every == 0;
    // A run that diverged just after a measurement is measured again, with the histograms of its end.
    const bool again = run_.diverged_at >= 0 && run_.last_in.share.empty() && !probe_.before.empty();
    const bool measures = due && (run_.step.empty() || run_.step.back() < step_ || again);
    between(step_, measures);
    if (measures) measure();
    if (ended()) break;
    auto start = Clock::now();
    try {
      StepResult r = trainer_.step();
      loss_sum_ += r.loss;
      ++loss_count_;
      ++step_;
    } catch (const Error& e) {
      if (e.kind() != ErrorKind::diverged) throw;
      run_.diverged_at = step_;
      continue;
    }
    trained_ += std::chrono::duration<double>(Clock::now() - start).count();
  }
  between(step_, true);
  const Trainer::Measured weights(trainer_);
  const EvalResult e = evaluate_or_stop(trainer_.model(), data_, trainer_.setup().loader.normalization);
  ArmRun done = run_;
  done.ms_per_step = 1000 * trained_ / static_cast<double>(std::max<int64_t>(1, step_));
  if (done.diverged_at < 0 && !std::isfinite(e.loss)) done.diverged_at = step_;  // by the last update
  done.test_accuracy = e.accuracy;
  return done;
}

void ArmTraining::save(const std::string& path) {
  SafeTensors content;
  content.tensors = trainer_.weights();
  for (auto& [name, t] : trainer_.optimizer_state()) content.tensors.emplace(kOptimizer + name, t);
  const Json progress{{"step", step_},
                      {"loss_count", loss_count_},
                      {"loss_sum", loss_sum_},
                      {"seconds", trained_},
                      {"run", run_.json()}};
  content.metadata["sigma-arm"] = json_text(progress);
  add_digest(content);
  save_safetensors(path, content);
}

void ArmTraining::load(const std::string& path) {
  constexpr ErrorKind kind = ErrorKind::checkpoint;
  SafeTensors content = load_safetensors(path);
  if (!content.metadata.count("sigma-arm") || !content.metadata.count("sha256"))
    fail(kind, path, "this is no unfinished run of a comparison");
  verify_digest(content, path);
  const Json progress = parse_json(content.metadata.at("sigma-arm"), kind, path);
  ArmRun run = ArmRun::from(json_object(progress, "run", kind, path), path);
  const int64_t step = json_whole(progress, "step", 0, arm().steps, kind, path);
  if (run.arm != run_.arm || run.seed != run_.seed)
    fail(kind, path, "expected arm {} with seed {}, got arm {} with seed {}", run_.arm, run_.seed, run.arm,
         run.seed);
  const double loss_sum = json_get<double>(progress, "loss_sum", kind, path),
               seconds = json_get<double>(progress, "seconds", kind, path);
  const int64_t loss_count = json_whole(progress, "loss_count", 0, step, kind, path);
  std::map<std::string, Tensor> weights;
  Optimizer::State optimizer;
  for (auto& [name, t] : content.tensors) {
    if (name.rfind(kOptimizer, 0) == 0)
      optimizer.emplace(name.substr(kOptimizer.size()), t);
    else
      weights.emplace(name, t);
  }
  trainer_.restore(weights, optimizer, step);
  run_ = std::move(run);
  step_ = step;
  loss_sum_ = loss_sum;
  loss_count_ = loss_count;
  trained_ = seconds;
}

}  // namespace sigma::app
