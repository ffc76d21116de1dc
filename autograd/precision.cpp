#include "autograd/precision.h"

#include "autograd/node.h"

namespace sigma {
namespace {
thread_local DType scope = DType::float32;
}

Variable cast(const Variable& x, DType dtype) {
  if (x.dtype() == dtype) return x;
  SIGMA_CHECK(is_floating(dtype) && is_floating(x.dtype()), "cast",
              "expected floating-point dtypes, got {} to {}", name_of(x.dtype()), name_of(dtype));
  return record(
      "cast", x.value().to(dtype), {x},
      [from = x.dtype()](const Variables& g, const Node&) -> Variables { return {cast(g[0], from)}; });
}

Autocast::Autocast(DType dtype) : previous_(scope) {
  SIGMA_CHECK(dtype == DType::float32 || dtype == DType::bfloat16, "autocast",
              "expected float32 or bfloat16, got {}", name_of(dtype));
  scope = dtype;  // only now: a constructor that throws has no destructor to undo it
}
Autocast::~Autocast() { scope = previous_; }

Variable autocast(const Variable& x) { return x.dtype() == DType::float32 ? cast(x, scope) : x; }

}  // namespace sigma
