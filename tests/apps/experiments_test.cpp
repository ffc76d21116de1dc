// What experiments judge by: slopes and their intervals.
#include "apps/experiments/slope.h"

#include <cmath>

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
