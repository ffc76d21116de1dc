// The training library as a program of someone's own uses it: no flags, no run folder, no terminal.
#include <training/fit.h>
#include <training/trainer.h>

#include <cmath>
#include <thread>

#include "core/math.h"
#include "core/parallel.h"
#include "layers/layers.h"
#include "tests/support/support.h"

using namespace sigma;
using namespace sigma::test;

namespace {

TrainSetup small_setup(int64_t steps, const std::string& optimizer = "sgd") {
  TrainSetup setup;
  setup.model = "sigmoid-mlp";
  setup.loader.batch_size = 16;
  setup.loader.threads = 0;
  setup.optimizer = {optimizer, optimizer == "sgd" ? 0.05 : 0.002, 1e-4, {}};
  setup.schedule = {Schedule::cosine, steps};
  setup.seed = 5;
  return setup;
}

void check_same(const std::map<std::string, Tensor>& a, const std::map<std::string, Tensor>& b) {
  REQUIRE(a.size() == b.size());
  for (auto& [name, t] : a) {
    INFO(name);
    CHECK(identical(t.contiguous(), b.at(name).contiguous()));
  }
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a program trains, evaluates, saves, loads and goes on, with each optimizer", "[training]") {
  Dataset data = make_synth_digits(64, 30);
  TemporaryFolder folder;
  for (const OptimizerEntry& entry : optimizer_table()) {
    INFO(entry.name);
    const std::string path = (folder / (entry.name + ".safetensors")).string();
    TrainSetup setup = small_setup(8, entry.name);
    Trainer trainer(data, setup);
    while (trainer.steps_done() < 5) trainer.step();
    save_checkpoint(path, checkpoint_of(trainer));
    EvalResult before = evaluate(trainer.model(), data.test, setup.loader.normalization, data.classes());
    CHECK(before.count == 30);
    CHECK(before.top_k_accuracy >= before.accuracy);

    SavedModel saved = model_from(load_checkpoint(path), path);
    EvalResult after = evaluate(*saved.model, data.test, saved.normalization, data.classes());
    CHECK(after.loss == before.loss);
    CHECK(after.confusion == before.confusion);

    Trainer again(data, setup);
    FitOptions options;
    go_on(again, options, load_checkpoint(path), path);
    CHECK(again.steps_done() == 5);
    while (trainer.steps_done() < 8) trainer.step();
    while (again.steps_done() < 8) again.step();
    check_same(trainer.weights(), again.weights());
    check_same(trainer.optimizer_state(), again.optimizer_state());
  }
}

TEST_CASE("a network of one's own is trained, saved, loaded and gone on with", "[training]") {
  Dataset data = make_synth_digits(64, 30);
  const auto own = [](uint64_t seed) -> ModulePtr {
    ModulePtr net(new Sequential{std::make_shared<Conv2d>(1, 4, Conv2dOptions{.stride = 4}),
                                 std::make_shared<ReLU>(), std::make_shared<Flatten>(),
                                 std::make_shared<Linear>(4 * 7 * 7, 10)});
    initialize(*net, seed);
    return net;
  };
  TemporaryFolder folder;
  const std::string path = (folder / "own.safetensors").string();
  const TrainSetup setup = small_setup(8);
  Trainer trainer(data, setup, own(1));
  while (trainer.steps_done() < 5) trainer.step();
  save_checkpoint(path, checkpoint_of(trainer));
  CHECK(load_checkpoint(path).network.name == kOwnNetwork);
  SavedModel saved = model_from(load_checkpoint(path), path, own(2));
  check_same(trainer.weights(), saved.model->state_dict().by_name());
  CHECK_THROWS_WITH(model_from(load_checkpoint(path), path), sigma::test::Contains("none of sigma's"));
  CHECK_THROWS_WITH(model_from(load_checkpoint(path), path, std::make_shared<Linear>(3, 4)),
                    sigma::test::Contains(path));
  Trainer again(data, setup, own(3));
  FitOptions options;
  go_on(again, options, load_checkpoint(path), path);
  while (trainer.steps_done() < 8) trainer.step();
  while (again.steps_done() < 8) again.step();
  check_same(trainer.weights(), again.weights());
}

TEST_CASE("fit tells what happens, saves when asked, and resumes to the same bits", "[training]") {
  Dataset data = make_synth_digits(64, 30);  // four steps an epoch
  TemporaryFolder folder;
  const TrainSetup setup = small_setup(10);
  Trainer whole(data, setup);
  std::vector<int64_t> steps, measured, saved;
  std::string third;
  FitCallbacks callbacks{.on_step = [&](const StepEvent& e) { steps.push_back(e.index); },
                         .on_measure = [&](const Measurement& m) { measured.push_back(m.step); },
                         .on_save =
                             [&](const Checkpoint& c, SaveReason reason) {
                               if (reason == SaveReason::best) return;
                               saved.push_back(c.run->progress.step);
                               if (saved.back() != 6) return;
                               third = (folder / "third.safetensors").string();
                               save_checkpoint(third, c);
                             }};
  FitResult r = fit(whole, {.eval_every = 3, .save_every = 3, .config = R"({"a":1})"}, callbacks);
  CHECK(steps == std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  CHECK(measured == std::vector<int64_t>{3, 4, 6, 8, 9, 10});
  CHECK(saved == std::vector<int64_t>{0, 3, 6, 9, 10});
  CHECK_FALSE(r.stopped);
  CHECK(r.progress.step == 10);
  CHECK(r.test.count == 30);
  CHECK(r.seen == 160);

  Trainer again(data, setup);
  FitOptions options{.eval_every = 3};
  Checkpoint c = load_checkpoint(third);
  CHECK(c.run->config == R"({"a":1})");
  go_on(again, options, c, third);
  CHECK(options.progress.evaluated_step == 6);
  FitResult rest = fit(again, options);
  check_same(whole.weights(), again.weights());
  CHECK(rest.progress.best == r.progress.best);
  CHECK(rest.progress.train_loss == r.progress.train_loss);
  CHECK(rest.test.loss == r.test.loss);
  CHECK(rest.seen == 64);
}

TEST_CASE("fit stops when asked, before a step and within a measurement", "[training]") {
  Dataset data = make_synth_digits(64, 600);  // three batches of a measurement
  for (int64_t asked : {0, 2, 5, 6}) {
    INFO("stop at question " << asked);
    Trainer trainer(data, small_setup(8));
    int64_t questions = 0;
    std::vector<int64_t> saved, measured;
    bool stopped_save = false;
    FitCallbacks callbacks{.on_measure = [&](const Measurement& m) { measured.push_back(m.step); },
                           .on_save =
                               [&](const Checkpoint& c, SaveReason reason) {
                                 saved.push_back(c.run->progress.step);
                                 stopped_save = reason == SaveReason::stopped;
                               },
                           .stop = [&] { return questions++ >= asked; }};
    FitResult r = fit(trainer, {}, callbacks);
    CHECK(r.stopped);
    CHECK(stopped_save);
    CHECK(r.progress.step == std::min<int64_t>(asked, 4));  // the measurement is after step 4
    CHECK(saved.back() == r.progress.step);
    CHECK(measured.empty());
    CHECK(r.progress.evaluated_step == 0);
  }
}

// The forward pass of a step that diverges had moved the running statistics before the state was saved.
TEST_CASE("a step that diverges leaves weights, buffers and optimizer as they were",
          "[training][regression]") {
  Dataset data = make_synth_digits(64, 30);
  TrainSetup setup = small_setup(8, "adam");
  setup.model = "lenet5";
  Trainer trainer(data, setup);
  trainer.step();
  // A weight so large that an output overflows, while the first batch norm's statistics move as ever.
  trainer.model().find("conv2")->named_parameters()[0].second.mutable_value().fill_(1e38);
  auto copies = [](const std::map<std::string, Tensor>& tensors) {
    std::map<std::string, Tensor> all;
    for (auto& [name, t] : tensors) all.emplace(name, t.clone());
    return all;
  };
  auto weights = copies(trainer.weights()), state = copies(trainer.optimizer_state());
  CHECK(weights.at("bn1.num_batches_tracked").item() == 1);
  std::string message = error_of([&] { trainer.step(); });
  CHECK(contains(message, "step 1: the loss is "));
  CHECK(contains(message, "first in the output of conv2"));
  CHECK_FALSE(contains(message, "--"));
  CHECK(trainer.steps_done() == 1);
  check_same(trainer.weights(), weights);
  check_same(trainer.optimizer_state(), state);

  std::map<std::string, Tensor> saved;
  std::vector<SaveReason> reasons;
  FitOptions options{.progress = {.step = 1, .epoch_count = 16}};
  FitCallbacks callbacks{.on_save = [&](const Checkpoint& c, SaveReason reason) {
    reasons.push_back(reason);
    saved = copies(c.weights);
  }};
  CHECK_THROWS_AS(fit(trainer, options, callbacks), Error);
  CHECK(reasons == std::vector<SaveReason>{SaveReason::diverged});
  check_same(saved, weights);
}

TEST_CASE("a network found lost when a run is stopped is saved as diverged, and never as the last",
          "[training]") {
  Dataset data = make_synth_digits(64, 30);
  Trainer trainer(data, small_setup(10));
  std::vector<SaveReason> saved;
  bool lost = false;
  FitCallbacks callbacks{.on_step =
                             [&](const StepEvent&) {
                               trainer.weights().begin()->second.mutable_data<float>()[0] = std::nanf("");
                               lost = true;
                             },
                         .on_save = [&](const Checkpoint&, SaveReason reason) { saved.push_back(reason); },
                         .stop = [&] { return lost; }};
  CHECK_THROWS_WITH(fit(trainer, {}, callbacks), sigma::test::Contains("is not finite"));
  CHECK(saved == std::vector<SaveReason>{SaveReason::begin, SaveReason::diverged});
}

TEST_CASE("two trainers on two threads of one process are independent", "[training]") {
  Dataset data = make_synth_digits(64, 30);
  auto train = [&](const TrainSetup& setup) {
    SerialScope alone;
    Trainer trainer(data, setup);
    fit(trainer, {.eval_every = 3});
    return weights_sha256(trainer.model());
  };
  TrainSetup a = small_setup(12), b = small_setup(12, "adamw");
  b.model = "lenet5";
  b.seed = 9;
  const std::string first = train(a), second = train(b);
  CHECK(first != second);
  for (int round = 0; round < 3; ++round) {
    std::string one, two;
    std::thread thread([&] { one = train(a); });
    two = train(b);
    thread.join();
    CHECK(one == first);
    CHECK(two == second);
  }
}

TEST_CASE("what does not fit is refused with the name of what it is", "[training]") {
  Dataset data = make_synth_digits(64, 30);
  TemporaryFolder folder;
  const std::string path = (folder / "c.safetensors").string();
  TrainSetup setup = small_setup(8);
  Trainer trainer(data, setup);
  for (int i = 0; i < 3; ++i) trainer.step();
  RunRecord run;
  run.progress = {.step = 3, .epoch_count = 48, .epoch_loss = 5};
  const Checkpoint good = checkpoint_of(trainer, run);
  auto refused = [&](const std::string& message, const std::function<void(Checkpoint&)>& change,
                     const TrainSetup& other) {
    Checkpoint c = good;
    change(c);
    Trainer again(data, other);
    FitOptions options;
    const std::string error = error_of([&] { go_on(again, options, c, path); });
    INFO(error);
    CHECK(error.rfind(path + ": ", 0) == 0);
    CHECK(contains(error, message));
  };
  auto progress = [&](const std::string& message, const std::function<void(Progress&)>& change) {
    refused(
        message, [&](Checkpoint& c) { change(c.run->progress); }, setup);
  };
  progress("expected a step of 0 to 8, the length of the run, got 9", [](Progress& p) { p.step = 9; });
  progress("expected a step of at least 0, got -5", [](Progress& p) { p.step = -5; });
  progress("evaluated_step", [](Progress& p) { p.evaluated_step = 4; });
  progress("epoch_count", [](Progress& p) { p.epoch_count = 49; });
  progress("epoch_count", [](Progress& p) { p.epoch_count = 2; });
  progress("epoch_correct", [](Progress& p) { p.epoch_correct = 49; });
  progress("epoch_loss", [](Progress& p) { p.epoch_loss = NAN; });
  progress("best", [](Progress& p) { p.best = 1.5; });
  progress("best", [](Progress& p) { p.best = -0.5; });
  progress("seconds", [](Progress& p) { p.seconds = -1; });
  progress("train_loss", [](Progress& p) { p.train_loss = INFINITY; });
  auto state = [&](const std::string& message, const std::function<void(Optimizer::State&)>& change) {
    refused(
        message, [&](Checkpoint& c) { change(c.run->state); }, setup);
  };
  // A missing momentum tensor went unnoticed, and the run went on to other weights.
  state("velocity.fc1.weight is missing", [](auto& s) { s.erase("velocity.fc1.weight"); });
  state("velocity.fc1.weight", [](auto& s) { s["velocity.fc1.weight"] = Tensor::zeros({2}); });
  state("velocity.fc9.weight is not of this", [](auto& s) { s["velocity.fc9.weight"] = Tensor::zeros({2}); });
  state("not finite", [](auto& s) { s["velocity.fc4.bias"] = Tensor::full({10}, NAN); });
  refused(
      "missing fc1.weight", [](Checkpoint& c) { c.weights.erase("fc1.weight"); }, setup);
  refused(
      "it is of no run", [](Checkpoint& c) { c.run.reset(); }, setup);
  refused(
      "its optimizer is sgd, expected adam", [](Checkpoint&) {}, small_setup(8, "adam"));
  refused(
      "images or labels of the data set changed", [](Checkpoint& c) { c.run->fingerprint = "other"; }, setup);
  TrainSetup longer = setup;
  longer.schedule.total_steps = 2;
  refused(
      "expected a step of 0 to 2", [](Checkpoint&) {}, longer);

  Checkpoint bad = good;
  bad.network.class_names[3] = "\xff";
  CHECK(contains(error_of([&] { save_checkpoint(path, bad); }), "checkpoint: classes: "));
  setup.init = "zeros";
  CHECK(contains(error_of([&] { Trainer(data, setup); }), "init: expected one of default, kaiming"));
}

TEST_CASE("metrics are those worked out by hand", "[training]") {
  Tensor logits = Tensor::from<double>({3, 1, 2, 0, /**/ 0, 0, 0, 0, /**/ 1, NAN, 5, 4}, {3, 4});
  Tensor labels = Tensor::from<int64_t>({2, 1, 0}, {3});
  CHECK(count_correct(logits, labels) == 0);
  CHECK(count_top_k(logits, labels, 1) == 0);
  CHECK(count_top_k(logits, labels, 2) == 2);  // of equals the first come first
  CHECK(count_top_k(logits, labels, 3) == 2);
  CHECK(count_top_k(logits, labels, 4) == 3);
  CHECK(contains(error_of([&] { count_top_k(logits, labels, 0); }), "k of at least 1"));
  CHECK(contains(error_of([&] { count_top_k(logits, Tensor::from<int64_t>({4, 0, 0}, {3}), 1); }), "got 4"));
  std::vector<ClassMetrics> m = class_metrics({{3, 1, 0}, {1, 2, 0}, {0, 0, 0}});
  CHECK(m[0].precision == 0.75);
  CHECK(m[0].recall == 0.75);
  CHECK(m[1].precision == Approx(2. / 3));
  CHECK(m[1].recall == Approx(2. / 3));
  CHECK(m[1].f1 == Approx(2. / 3));
  CHECK(m[0].count == 4);
  CHECK(m[2].precision == 0);
  CHECK(m[2].f1 == 0);
}
