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

TEST_CASE("the suggestion is half the rate of the least loss, and less where the fall is sudden",
          "[training]") {
  std::vector<double> slow(31);  // from 2 to 1 over two decades, and up again
  for (size_t i = 0; i < slow.size(); ++i)
    slow[i] = i <= 20 ? 2 - static_cast<double>(i) / 20 : 1 + static_cast<double>(i - 20) / 5;
  CHECK(suggest_lr(curve(slow)) == Approx(1e-2 / 2));
  // All of the fall within a fifth of a decade: half is reached at 10^(-2.1), the least at 10^-2.
  std::vector<double> sudden(31, 2);
  sudden[19] = 1.4;
  sudden[20] = 1;
  CHECK(suggest_lr(curve(sudden)) == Approx(1e-2 / 2 * std::pow(10, 0.1) / 5));
  const std::string message = "lr-find: the loss falls at no rate that was tried";
  for (const std::vector<double>& flat :
       {std::vector<double>(31, 2.0), std::vector<double>{2}, std::vector<double>{}})
    CHECK(error_of([&] { suggest_lr(curve(flat)); }).find(message) == 0);
}

TEST_CASE("a sweep grows the rate exponentially, sees the explosion and keeps the scale of layers",
          "[training]") {
  const Dataset data = make_synth_digits(320, 20);
  TrainSetup setup = small();
  setup.optimizer.lr_scales = parse_lr_scales("conv1=0");
  Trainer trainer(data, setup);
  const auto before = copy_of(trainer.model()).by_name();
  int64_t told = 0;
  const LrFindResult r = find_lr(trainer, {.highest = 1e6, .steps = 80}, [&](const LrFindPoint& p) {
    ++told;
    CHECK(trainer.optimizer().lr(0) == 0);
    CHECK(trainer.optimizer().lr(trainer.optimizer().groups().size() - 1) == p.lr);
    return true;
  });
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
  const auto after = trainer.weights();
  CHECK(after.at("conv1.weight").to_vector() == before.at("conv1.weight").to_vector());
  CHECK(after.at("conv2.weight").to_vector() != before.at("conv2.weight").to_vector());

  auto refused = [&](const LrFindOptions& o, const std::string& message) {
    Trainer t(data, small());
    CHECK(error_of([&] { find_lr(t, o); }).find(message) != std::string::npos);
  };
  refused({.lowest = 0}, "0 < lowest < highest");
  refused({.lowest = 2, .highest = 1}, "0 < lowest < highest");
  refused({.steps = 19}, "at least 20 steps");
  refused({.smoothing = 1}, "smoothing of 0 to less than 1");
  CHECK(error_of([&] { find_lr(trainer); }).find("that has done no step") != std::string::npos);
}
