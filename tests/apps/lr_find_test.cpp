// The sweep of the learning rate, and the rate that is suggested for curves worked out by hand.
#include <training/lr_find.h>

#include <cmath>

#include "tests/support/support.h"

using namespace sigma;
using namespace sigma::test;

namespace {

// Ten points a decade from 1e-4 on.
std::vector<LrFindPoint> curve(const std::vector<double>& smoothed) {
  std::vector<LrFindPoint> points;
  for (size_t i = 0; i < smoothed.size(); ++i)
    points.push_back({1e-4 * std::pow(10, static_cast<double>(i) / 10), smoothed[i], smoothed[i]});
  return points;
}

TrainSetup small() {
  TrainSetup s;
  s.model = "lenet5";
  s.loader.batch_size = 32;
  s.loader.threads = 0;
  s.optimizer = {"sgd", 1, 0, {}};
  return s;
}

}  // namespace

TEST_CASE("the sweep's rate is half that of the least loss, and less where the fall is sudden",
          "[training]") {
  std::vector<double> slow(31);  // from 2 to 1 over two decades, and up again
  for (size_t i = 0; i < slow.size(); ++i)
    slow[i] = i <= 20 ? 2 - static_cast<double>(i) / 20 : 1 + static_cast<double>(i - 20) / 5;
  CHECK(sweep_lr(curve(slow)) == Approx(1e-2 / 2));
  CHECK(first_trial(curve(slow)) == Approx(1e-2 / 2));
  CHECK(suggest_lr(curve(slow)) == Approx(1e-2 / 2));
  // All of the fall within a fifth of a decade: half is reached at 10^(-2.1), the least at 10^-2.
  std::vector<double> sudden(31, 2);
  sudden[19] = 1.4;
  sudden[20] = 1;
  CHECK(sweep_lr(curve(sudden)) == Approx(1e-2 / 2 * std::pow(10, 0.1) / 5));
  const std::string message = "lr-find: the loss falls at no rate that was tried";
  for (const std::vector<double>& flat :
       {std::vector<double>(31, 2.0), std::vector<double>{2}, std::vector<double>{}}) {
    CHECK(sweep_lr(curve(flat)) == 0);
    CHECK(error_of([&] { suggest_lr(curve(flat)); }).find(message) == 0);
  }
  // Where the sweep shows no fall: a tenth of the last rate before the harm.
  std::vector<double> plateau(31, 2);
  for (size_t i = 25; i < plateau.size(); ++i) plateau[i] = 3;
  CHECK(first_trial(curve(plateau)) == Approx(1e-4 * std::pow(10, 2.4) / 10));
  CHECK(first_trial({}) == 0);
}

TEST_CASE("short runs go on until the best lies between two others, and at what their parabola says",
          "[training]") {
  const std::vector<LrFindPoint> swept = curve({2, 2});
  // The search over a loss that is a parabola itself in the logarithm of the rate finds its bottom.
  auto search = [](double first, const auto& loss) {
    std::vector<LrTrial> trials;
    for (double lr = first; lr > 0 && trials.size() < 20; lr = next_trial(trials))
      trials.push_back({lr, loss(lr)});
    return trials;
  };
  for (const double bottom : {1e-3, 0.02, 0.3, 5.}) {
    const auto trials = search(0.02, [&](double lr) { return 1 + 0.1 * std::pow(std::log(lr / bottom), 2); });
    CHECK(trials.size() >= 3);
    CHECK(trials.size() <= 10);
    CHECK(suggest_lr(swept, trials) == Approx(bottom).epsilon(0.16));
  }
  // What diverges is above the best, whichever was tried first, and bends nothing.
  for (const double first : {0.01, 30.}) {
    const auto trials = search(first, [](double lr) { return lr > 0.2 ? HUGE_VAL : 1 - lr; });
    const double best = suggest_lr(swept, trials);
    CHECK(best <= 0.2);
    CHECK(best > 0.2 / 2);
    CHECK(next_trial(trials) == 0);
  }
  CHECK(next_trial({}) == 0);
  CHECK(next_trial({{0.1, 1}}) == Approx(0.3));
  CHECK(next_trial({{0.1, 1}, {0.3, 2}}) == Approx(0.1 / 3));
  CHECK(next_trial({{0.1, HUGE_VAL}, {0.1 / 3, HUGE_VAL}}) == Approx(0.1 / 9));
  // Neighbours come nearer, then the parabola is asked; where the loss is none the rate is one that was
  // tried.
  CHECK(next_trial({{0.1, 2}, {0.3, 1}, {0.9, HUGE_VAL}}) == Approx(0.3 * std::sqrt(3)));
  CHECK(next_trial({{0.1, 2}, {0.3, 1}, {0.5, HUGE_VAL}}) == Approx(0.3 / std::sqrt(3)));
  CHECK(next_trial({{0.2, 2}, {0.3, 1}, {0.5, HUGE_VAL}}) == 0);
  const std::vector<LrTrial> near{{0.15, 1.3}, {0.3, 1}, {0.6, 1.2}}, far{{0.15, 2}, {0.3, 1}, {0.6, 1.2}};
  CHECK(next_trial(near) == 0);
  CHECK(suggest_lr(swept, near) == 0.3);
  CHECK(next_trial(far) == Approx(0.3 * std::pow(2, 1 / 3.)));
  CHECK(suggest_lr(swept, far) == 0.3);
  for (const char* text : {"0.088", "1.1e-06", "0.5", "1", "37", "1.2e+03"})
    CHECK(to_two_digits(std::stod(text) * 1.001) == std::stod(text));
  // Nothing trains.
  const std::string message = "lr-find: the loss falls at no rate that was tried";
  CHECK(error_of([&] { suggest_lr(swept, {{0.1, 1.95}, {0.3, HUGE_VAL}}); }).find(message) == 0);
}

TEST_CASE("a sweep grows the rate exponentially, sees the explosion and keeps the scale of layers",
          "[training]") {
  const Dataset data = make_synth_digits(320, 20);
  TrainSetup setup = small();
  setup.optimizer.lr_scales = parse_lr_scales("conv1=0");
  // The trainer is the search's own; its network is looked at here as long as it lives.
  Trainer* trainer = nullptr;
  const MakeTrainer make = [&] {
    auto made = std::make_unique<Trainer>(data, setup);
    trainer = made.get();
    return made;
  };
  const auto before = copy_of(Trainer(data, setup).model()).by_name();
  std::map<std::string, Tensor> after;
  int64_t told = 0;
  const LrFindResult r = find_lr(make, {.highest = 1e6, .steps = 80, .trials = 0}, [&](const LrFindEvent& e) {
    ++told;
    CHECK(e.trial == 0);
    CHECK(e.step == told);
    CHECK(trainer->optimizer().lr(0) == 0);
    CHECK(trainer->optimizer().lr(trainer->optimizer().groups().size() - 1) == e.point.lr);
    after = copy_of(trainer->model()).by_name();
    return true;
  });
  CHECK(r.trials.empty());
  CHECK(r.exploded);
  CHECK(r.points.size() < 80);
  CHECK(static_cast<size_t>(told) == r.points.size());
  CHECK(r.points[0].lr == 1e-6);
  for (size_t i = 1; i < r.points.size(); ++i)
    CHECK(r.points[i].lr / r.points[i - 1].lr == Approx(std::pow(1e12, 1. / 79)).epsilon(1e-12));
  CHECK(r.points[0].smoothed == Approx(r.points[0].loss).epsilon(1e-12));  // corrected for its start at 0
  CHECK(r.points[1].smoothed == Approx((0.9 * r.points[0].loss + r.points[1].loss) / 1.9).epsilon(1e-12));
  CHECK(r.suggestion > 1e-4);
  CHECK(r.suggestion < 10);
  CHECK(after.at("conv1.weight").to_vector() == before.at("conv1.weight").to_vector());
  CHECK(after.at("conv2.weight").to_vector() != before.at("conv2.weight").to_vector());

  auto refused = [&](const LrFindOptions& o, const std::string& message) {
    CHECK(error_of([&] { find_lr(make, o); }).find(message) != std::string::npos);
  };
  refused({.lowest = 0}, "0 < lowest < highest");
  refused({.lowest = 2, .highest = 1}, "0 < lowest < highest");
  refused({.steps = 19}, "at least 20 steps");
  refused({.trial_steps = 19}, "at least 20 steps");
  refused({.trials = -1}, "0 trials or more");
  refused({.smoothing = 1}, "smoothing of 0 to less than 1");
  const MakeTrainer used = [&] {
    auto made = std::make_unique<Trainer>(data, setup);
    made->step_at(0.01);
    return made;
  };
  CHECK(error_of([&] { find_lr(used); }).find("that has done no step, got 1") != std::string::npos);
}

TEST_CASE("short runs begin with the same weights, follow the run's schedule and find a rate that trains",
          "[training]") {
  const Dataset data = make_synth_digits(320, 20);
  TrainSetup setup = small();
  setup.schedule.kind = Schedule::cosine;
  setup.schedule.total_steps = 1000;
  setup.schedule.warmup_steps = 100;
  const MakeTrainer make = [&] { return std::make_unique<Trainer>(data, setup); };
  std::map<int64_t, std::vector<LrFindPoint>> seen;
  const LrFindOptions options{.steps = 60, .trials = 5, .trial_steps = 40};
  const LrFindResult r = find_lr(make, options, [&](const LrFindEvent& e) {
    seen[e.trial].push_back(e.point);
    return true;
  });
  REQUIRE(r.trials.size() >= 3);
  REQUIRE(seen.size() == r.trials.size() + 1);
  CHECK(r.trials[0].lr == to_two_digits(first_trial(r.points)));
  for (size_t i = 1; i < r.trials.size(); ++i)
    CHECK(r.trials[i].lr ==
          to_two_digits(next_trial({r.trials.begin(), r.trials.begin() + static_cast<std::ptrdiff_t>(i)})));
  // The first loss is that of the first weights, whatever the rate; the last fifth is what counts.
  for (const auto& [number, points] : seen) CHECK(points[0].loss == seen[0][0].loss);
  const auto& first = seen[1];
  REQUIRE(first.size() == 40);
  double sum = 0;
  for (size_t i = 32; i < 40; ++i) sum += first[i].loss;
  CHECK(r.trials[0].loss == Approx(sum / 8).epsilon(1e-12));
  CHECK(r.suggestion == suggest_lr(r.points, r.trials));
  // A run of this length with the suggestion follows the schedule shrunk to it: the same losses as a trial's.
  LrSchedule shrunk = setup.schedule;
  shrunk.total_steps = 40;
  shrunk.warmup_steps = 4;
  Trainer again(data, setup);
  for (int64_t i = 0; i < 40; ++i)
    CHECK(again.step_at(shrunk.at(i, r.trials[0].lr)).loss == first[static_cast<size_t>(i)].loss);
  // A run that is shorter than a trial is tried whole; who stops the search keeps what was found.
  setup.schedule.total_steps = 25;
  setup.schedule.warmup_steps = 0;
  int64_t steps = 0;
  const LrFindResult stopped = find_lr(make, options, [&](const LrFindEvent& e) {
    steps = e.trial == 1 ? e.step : steps;
    return e.trial < 2;
  });
  CHECK(steps == 25);
  CHECK(stopped.trials.size() == 1);
}
