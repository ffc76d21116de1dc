// What experiments judge by, slopes and their intervals; and which of them a budget is spent on.
#include "apps/experiments/slope.h"

#include <cmath>

#include "apps/experiments/plan.h"
#include "tests/support/support.h"

using namespace sigma::app;

TEST_CASE("a slope is that of least squares, its interval Student's over the seeds", "[reproduce]") {
  CHECK(slope_of({0, 1, 2, 3}, {1, 3, 5, 7}) == Approx(2).epsilon(1e-14));
  CHECK(slope_of({0, 1, 2}, {0, 0, 3}) == Approx(1.5).epsilon(1e-14));
  // Mean 2, deviation 1, t = 4.303 at two degrees of freedom.
  const Slope s = over_seeds({1, 2, 3});
  CHECK(s.value == Approx(2).epsilon(1e-14));
  CHECK(s.high - s.value == Approx(4.303 / std::sqrt(3.0)).epsilon(1e-12));
  CHECK(s.value - s.low == Approx(s.high - s.value).epsilon(1e-12));
  CHECK(s.text("{:.1f}") == "2.0 [-0.5, 4.5]");
  // Ten seeds have nine degrees of freedom.
  const Slope ten = over_seeds({0, 0, 0, 0, 0, 1, 1, 1, 1, 1});
  CHECK(ten.high - ten.value == Approx(2.262 * std::sqrt(2.5 / 9 / 10)).epsilon(1e-12));
  CHECK(std::isinf(over_seeds({1}).high));  // of one seed nothing is known
}

TEST_CASE(
    "a budget takes the core first, then what needs no data in full, then the others, then larger sizes",
    "[reproduce]") {
  auto entry = [](int place, const char* name, bool core, const char* data, std::vector<double> minutes) {
    Experiment e{.place = place, .core = core, .name = name, .data = data};
    for (double m : minutes) e.extents.push_back({fmt::format("{}", m), "", 0, 1, m});
    return e;
  };
  const std::vector<Experiment> all{
      entry(10, "dear", false, "cifar10", {20, 100}), entry(20, "core", true, "mnist", {10, 30}),
      entry(30, "random", false, "", {1, 5}), entry(40, "cheap", false, "mnist", {2, 8})};
  auto words = [&](double budget) {
    const BudgetPlan plan = plan_within(budget, all);
    std::string text;
    double minutes = 0;
    for (const Planned& job : plan.jobs) {
      text += fmt::format("{} {}, ", job.experiment.name, job.extent.name);
      minutes += job.extent.minutes;
    }
    for (const auto& [e, left] : plan.left_out) text += fmt::format("no {} ({} left), ", e.name, left);
    CHECK((minutes <= budget || plan.jobs.size() == 1));
    CHECK(plan.jobs.size() + plan.left_out.size() == all.size());
    return text;
  };
  CHECK(words(1000) == "dear 100, core 30, random 5, cheap 8, ");
  CHECK(words(37) == "dear 20, core 10, random 5, cheap 2, ");
  CHECK(words(43) == "dear 20, core 10, random 5, cheap 8, ");
  CHECK(words(30) == "core 10, random 5, cheap 8, no dear (15 left), ");
  CHECK(words(40) == "dear 20, core 10, random 5, cheap 2, ");
  CHECK(words(12) == "core 10, random 1, no dear (1 left), no cheap (1 left), ");
  CHECK(words(0.1) == "random 1, no core (0.1 left), no dear (0.1 left), no cheap (0.1 left), ");
  CHECK(plan_within(60, {}).jobs.empty());
}
