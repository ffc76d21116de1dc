// The choice of a SIMD target.
#include "core/kernels/conv_direct.h"
#include "tests/support/kernels.h"

using namespace sigma;
using namespace sigma::kernels;
using namespace sigma::test;

namespace {

// (1 + 2^-12)^2 - (1 + 2^-11) by a convolution of two channels: 2^-24 where multiplication and addition are
// fused, as on AVX2 and AVX-512; 0 where the product is rounded, as on SSE2.
bool runs_fused() {
  const float x[] = {1, 1 + 0x1p-12f}, weight[] = {-(1 + 0x1p-11f), 1 + 0x1p-12f};
  float y = -1;
  direct_forward(ConvSize{1, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1}, x, weight,
                 static_cast<const float*>(nullptr), &y, {});
  REQUIRE((y == 0 || y == 0x1p-24f));
  return y != 0;
}

}  // namespace

// simd_name() asked Highway, whose answer put the best target back: every test "on every target" ran on the
// best one only, and a run under SIGMA_SIMD as soon as it had reported its target.
TEST_CASE("a forced SIMD target stays when its name or the list of targets is asked for", "[kernels]") {
  const std::vector<std::string> targets = simd_targets();
  const std::string before = simd_name();  // SIGMA_SIMD may have chosen it
  int different = 0;
  on_every_machine([&] {
    const std::string name = simd_name();
    for (int ask = 0; ask < 3; ++ask) {
      INFO(name << " " << ask);
      CHECK(runs_fused() == (name != "SSE2"));
      CHECK((ask == 0 ? simd_name() == name : simd_targets() == targets));
      CHECK_FALSE(force_simd("no such target"));
      CHECK(simd_name() == name);
    }
    different += name == "SSE2";
  });
  CHECK(simd_name() == before);
  CHECK(force_simd(""));
  CHECK(simd_name() == targets.front());
  CHECK(force_simd(before));
  if (targets.size() < 2 || different == 0) skip("this processor has one SIMD target");
}
