// Every layer meets the contract of tests/support: one table serves this, `sigma gradcheck` and the
// documentation.
#include "layers/checks.h"
#include "tests/support/support.h"

using namespace sigma;

TEST_CASE("every layer meets the module contract", "[layers]") {
  for (const LayerExample& e : layer_examples()) {
    DYNAMIC_SECTION(e.layer << " " << e.what) { test::check_module(e.make, e.input, e.training); }
  }
}

TEST_CASE("every layer and loss passes the gradient check", "[layers]") {
  for (const CheckRow& row : gradcheck_layers()) {  // no sections: each would compute all rows again
    INFO(row.layer << " " << row.what << " " << row.result.message);
    CHECK(row.result.passed);
    CHECK(row.result.checked > 0);
    CHECK(row.result.largest_gradient > 1e-3);
  }
}
