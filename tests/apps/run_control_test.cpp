// Averages of weights, rates by layer, frozen layers, patience, longer runs and new heads, in the library.
#include <training/fit.h>
#include <training/new_head.h>

#include <algorithm>

#include "core/math.h"
#include "tests/support/support.h"
#include "training/checkpoint_schema.h"

using namespace sigma;
using namespace sigma::test;

namespace {

TrainSetup lenet(int64_t steps) {
  TrainSetup s;
  s.model = "lenet5";
  s.loader.batch_size = 16;
  s.loader.threads = 0;
  s.loader.min_last_batch = 2;
  s.optimizer = {"sgd", 0.05, 5e-4, {}};
  s.schedule = {Schedule::constant, steps};
  s.seed = 5;
  return s;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

void check_same(const std::map<std::string, Tensor>& a, const std::map<std::string, Tensor>& b) {
  REQUIRE(a.size() == b.size());
  for (auto& [name, t] : a) {
    INFO(name);
    CHECK(identical(t.contiguous(), b.at(name).contiguous()));
  }
}

// A checkpoint as a file has it, apart from the trainer that it came from.
Checkpoint through_bytes(const Checkpoint& c) {
  const std::string bytes = serialize_safetensors(content_of(c));
  return checkpoint_from(parse_safetensors(Bytes(bytes.begin(), bytes.end()), "memory"), "memory");
}

// The last checkpoint of a fit.
struct Last {
  Checkpoint checkpoint;
  FitCallbacks callbacks() {
    return {.on_save = [this](const Checkpoint& c, SaveReason reason) {
      if (reason == SaveReason::end || reason == SaveReason::stopped) checkpoint = through_bytes(c);
    }};
  }
};

}  // namespace

TEST_CASE("an average of weights is measured and saved, and goes on to the same bits", "[training]") {
  const Dataset data = make_synth_digits(64, 30);
  TrainSetup setup = lenet(8);
  setup.ema = 0.9;
  Trainer whole(data, setup), plain(data, lenet(8));
  Ema by_hand({plain.model().find("fc1")->own_parameters()[0].second}, 0.9);
  std::optional<Checkpoint> middle;
  for (int step = 0; step < 8; ++step) {
    whole.step();
    plain.step();
    by_hand.update();
    if (step == 4) middle = through_bytes(checkpoint_of(whole));
  }
  // Training itself is not touched, and a checkpoint's weights are the average.
  const Tensor trained = plain.model().find("fc1")->own_parameters()[0].second.value();
  CHECK(identical(whole.optimizer_state().at("raw.fc1.weight"), trained));
  CHECK(identical(whole.weights().at("fc1.weight"), by_hand.average_of(trained)));
  CHECK_FALSE(identical(whole.weights().at("fc1.weight"), trained));
  CHECK_FALSE(identical(whole.weights().at("bn1.running_mean"), plain.weights().at("bn1.running_mean")));
  const SavedModel saved = model_from(through_bytes(checkpoint_of(whole)), "memory");
  const EvalResult of_saved = evaluate(*saved.model, data.test, saved.normalization, 10);
  const FitResult fitted = [&] {
    Trainer t(data, setup);
    return fit(t);
  }();
  CHECK(fitted.test.loss == of_saved.loss);

  Trainer again(data, setup);
  FitOptions options;
  go_on(again, options, *middle, "memory");
  for (int step = 5; step < 8; ++step) again.step();
  check_same(whole.weights(), again.weights());
  check_same(whole.optimizer_state(), again.optimizer_state());

  auto refused = [&](const std::string& message, const std::function<void(Checkpoint&)>& change) {
    Checkpoint c = *middle;
    change(c);
    Trainer t(data, setup);
    FitOptions o;
    const std::string error = error_of([&] { go_on(t, o, c, "memory"); });
    INFO(error);
    CHECK(contains(error, message));
  };
  refused("missing fc1.weight", [](Checkpoint& c) { c.run->state.erase("raw.fc1.weight"); });
  refused("weights beside their average are missing", [](Checkpoint& c) {
    std::erase_if(c.run->state, [](const auto& item) { return item.first.rfind("raw.", 0) == 0; });
  });
  refused("raw.fc1.weight holds values that are not finite", [](Checkpoint& c) {
    Tensor& t = c.run->state.at("raw.fc1.weight");
    t = Tensor::full(t.shape(), INFINITY);
  });
  Trainer without(data, lenet(8));
  FitOptions o;
  CHECK(contains(error_of([&] { go_on(without, o, *middle, "memory"); }), "is not of this optimizer"));
}

TEST_CASE("decay and rates by layer make groups, and a schedule scales each one's own rate", "[training]") {
  const Dataset data = make_synth_digits(64, 30);
  TrainSetup setup = lenet(4);
  setup.schedule = {Schedule::cosine, 4};
  setup.optimizer.decay_all = false;
  setup.optimizer.lr_scales = parse_lr_scales("conv*=0.5,conv2=0,*.bias=2");
  Trainer trainer(data, setup);
  std::map<std::string, const ParameterGroup*> of;
  for (const ParameterGroup& g : trainer.optimizer().groups())
    for (auto& [name, p] : g.parameters) of[name] = &g;
  CHECK(of.size() == trainer.model().named_parameters().size());
  auto check = [&](const std::string& name, double lr, double decay, bool elementwise) {
    INFO(name);
    CHECK(of.at(name)->lr == lr);
    CHECK(of.at(name)->weight_decay == decay);
    CHECK(of.at(name)->elementwise == elementwise);
  };
  check("conv1.weight", 0.025, 5e-4, false);
  check("conv1.bias", 0.1, 0, true);  // the last pattern counts
  check("conv2.weight", 0, 5e-4, false);
  check("bn1.weight", 0.05, 0, true);
  check("fc3.weight", 0.05, 5e-4, false);
  const auto before = copy_of(trainer.model()).by_name();
  for (int64_t step = 0; step < 4; ++step) {
    CHECK(trainer.step().lr == setup.schedule.at(step, 0.05));
    for (size_t g = 0; g < trainer.optimizer().groups().size(); ++g)
      CHECK(trainer.optimizer().lr(g) == setup.schedule.at(step, trainer.optimizer().groups()[g].lr));
  }
  CHECK(identical(before.at("conv2.weight"), trainer.weights().at("conv2.weight")));
  CHECK_FALSE(identical(before.at("conv1.weight"), trainer.weights().at("conv1.weight")));
  // A group of its own does not change the arithmetic.
  TrainSetup same = lenet(4), split = lenet(4);
  split.optimizer.lr_scales = parse_lr_scales("fc*=1");
  Trainer one(data, same), other(data, split);
  for (int i = 0; i < 4; ++i) CHECK(one.step().loss == other.step().loss);
  check_same(one.weights(), other.weights());

  auto refused = [&](const std::string& scales, const std::string& message) {
    const std::string error = error_of([&] {
      TrainSetup s = lenet(4);
      s.optimizer.lr_scales = parse_lr_scales(scales);
      Trainer t(data, s);
    });
    INFO(error);
    CHECK(contains(error, message));
  };
  refused("conv7=0.1", "lr-scale: \"conv7\" matches no parameter of the network; did you mean conv1?");
  refused("zzzzzzzzz=1", "it has conv1, conv1.weight");
  for (const char* bad : {"conv1", "=1", "conv1=", "conv1=-1", "conv1=nan", "conv1=1x", "a=1,,b=2"})
    refused(bad, "lr-scale: expected ");
  CHECK(pattern_chooses("layer1", "layer1.0.conv1.weight"));
  CHECK_FALSE(pattern_chooses("layer1", "layer10.conv1.weight"));
}

TEST_CASE("frozen layers keep every bit of parameters and buffers, and the run checks it", "[training]") {
  const Dataset data = make_synth_digits(64, 30);
  TrainSetup setup = lenet(8);
  setup.ema = 0.5;
  setup.freeze = parse_freeze("conv1,bn*");
  Trainer trainer(data, setup);
  const auto before = copy_of(trainer.model()).by_name();
  const FrozenState frozen = frozen_state(trainer.model());
  CHECK(frozen.layers == std::vector<std::string>{"conv1", "bn1", "bn2", "bn3", "bn4"});
  Last last;
  fit(trainer, {}, last.callbacks());
  for (auto& [name, t] : before) {
    INFO(name);
    const bool stays = contains(name, "conv1") || contains(name, "bn");
    for (const auto& now : {trainer.weights(), trainer.model().state_dict().by_name()})
      CHECK(identical(now.at(name), t) == stays);
  }
  CHECK(last.checkpoint.run->progress.frozen == frozen.sha256);
  // It is seen when a frozen layer is not what it was: by who goes on, and at the end of a run.
  Checkpoint other = last.checkpoint;
  other.weights.at("bn1.running_mean") = randn({6}, 1, DType::float32);
  other.run->state.at("raw.bn1.running_mean") = other.weights.at("bn1.running_mean");
  Trainer again(data, setup);
  FitOptions options;
  CHECK(contains(error_of([&] { go_on(again, options, other, "file"); }),
                 "file: its frozen layers are not those that the run began with"));
  Trainer touched(data, setup);
  CHECK(contains(error_of([&] {
                   fit(touched, {}, {.on_step = [&](const StepEvent&) {
                         touched.model().find("conv1")->parameters()[0].mutable_value().fill_(1);
                       }});
                 }),
                 "frozen parameters or buffers have changed"));
  auto refused = [&](const std::string& patterns, const std::string& message) {
    TrainSetup s = lenet(8);
    s.freeze = parse_freeze(patterns);
    CHECK(contains(error_of([&] { Trainer(data, s); }), message));
  };
  refused("conv9", "freeze: \"conv9\" matches no layer of the network; did you mean conv1?");
  refused("conv1.weight", "matches no layer");
  refused("*", "freeze: every parameter of the network is frozen");
  CHECK(contains(error_of([] { parse_freeze("a,,b"); }), "freeze: expected patterns"));
}

TEST_CASE("patience ends a run some epochs after its best, also one that is gone on with", "[training]") {
  const Dataset data = make_synth_digits(64, 30);
  TrainSetup setup = lenet(80);
  setup.optimizer.lr = 0;  // nothing is ever better than the first measurement
  setup.batch_norm = false;
  std::vector<int64_t> measured;
  FitOptions options{.eval_images = 10, .patience = 3};
  FitCallbacks watch{.on_measure = [&](const Measurement& m) { measured.push_back(m.step); }};
  Trainer trainer(data, setup);
  const FitResult whole = fit(trainer, options, watch);
  CHECK(whole.ended_early);
  CHECK_FALSE(whole.stopped);
  CHECK(whole.progress.best_step == 4);
  CHECK(whole.progress.step == 4 + 3 * 4);
  CHECK(measured == std::vector<int64_t>{4, 8, 12, 16});
  CHECK(whole.test.count == 30);  // the end is measured with all images
  // Stopped after two epochs and gone on with; and again at its end, which it finds again.
  Last last;
  Trainer first(data, setup);
  FitCallbacks stopping = last.callbacks();
  stopping.stop = [&] { return first.steps_done() == 9; };
  fit(first, options, stopping);
  for (int64_t from : {9, 16}) {
    Trainer second(data, setup);
    FitOptions more{.eval_images = 10, .patience = 3};
    go_on(second, more, last.checkpoint, "memory");
    CHECK(second.steps_done() == from);
    const FitResult r = fit(second, more, last.callbacks());
    CHECK(r.ended_early);
    CHECK(r.progress.step == 16);
    CHECK(r.test.loss == whole.test.loss);
    check_same(trainer.weights(), second.weights());
  }
  Trainer patient(data, setup);
  FitOptions longer{.eval_images = 10, .patience = 5};
  go_on(patient, longer, last.checkpoint, "memory");
  CHECK(fit(patient, longer).progress.step == 4 + 5 * 4);
  CHECK(contains(error_of([&] { fit(patient, {.patience = -1}); }), "patience of at least 0"));
}

TEST_CASE("a finished run is made longer, with a constant rate to the bits of a long one", "[training]") {
  const Dataset data = make_synth_digits(64, 30);
  for (Schedule kind : {Schedule::constant, Schedule::cosine}) {
    TrainSetup brief = lenet(8), full = lenet(12);
    brief.schedule.kind = full.schedule.kind = kind;
    brief.ema = full.ema = 0.8;
    Last last;
    Trainer short_run(data, brief), long_run(data, full), extended(data, full);
    fit(short_run, {}, last.callbacks());
    fit(long_run);
    FitOptions options;
    go_on(extended, options, last.checkpoint, "memory");
    std::vector<double> rates;
    const FitResult r =
        fit(extended, options, {.on_step = [&](const StepEvent& e) { rates.push_back(e.step.lr); }});
    CHECK(r.progress.step == 12);
    REQUIRE(rates.size() == 4);
    for (int64_t i = 0; i < 4; ++i) CHECK(rates[static_cast<size_t>(i)] == full.schedule.at(8 + i, 0.05));
    if (kind == Schedule::constant) {
      check_same(long_run.weights(), extended.weights());
      check_same(long_run.optimizer_state(), extended.optimizer_state());
    } else {
      CHECK(rates[0] > brief.schedule.at(7, 0.05));  // it jumps up
    }
  }
}

TEST_CASE("a trained network gets a new head for other classes, and keeps all else", "[training]") {
  const Dataset data = make_synth_digits(64, 30);
  TrainSetup setup = lenet(3);
  Trainer trainer(data, setup);
  for (int i = 0; i < 3; ++i) trainer.step();
  TrainSetup tuned = lenet(3);
  tuned.input.classes = 4;
  tuned.seed = 9;
  CHECK(replace_head(tuned, trainer.model()) == "fc3");
  const auto begin = make_network(tuned)->state_dict().by_name(), old = trainer.weights();
  TrainSetup drawn = lenet(3);
  drawn.input.classes = 4;
  drawn.seed = 9;
  const auto fresh = make_network(drawn)->state_dict().by_name();
  REQUIRE(begin.size() == old.size());
  for (auto& [name, t] : begin) {
    INFO(name);
    const bool head = name.rfind("fc3.", 0) == 0;
    CHECK(identical(t.contiguous(), (head ? fresh : old).at(name).contiguous()));
  }
  CHECK(begin.at("fc3.weight").dim(0) == 4);
  TrainSetup wrong = lenet(3);
  wrong.model = "cnn";
  CHECK(contains(error_of([&] { replace_head(wrong, trainer.model()); }), "of the trained network is"));
}
