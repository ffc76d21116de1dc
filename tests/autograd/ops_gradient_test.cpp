// First and second derivatives of what ops.h offers beside plain arithmetic, and its operators.
#include "autograd/gradcheck.h"
#include "autograd/ops.h"
#include "tests/support/support.h"

using namespace sigma;
using test::error_of;
using test::randn;

namespace {

using V = const Variables&;
Tensor at(const std::vector<int64_t>& index, const Shape& shape) { return Tensor::from(index, shape); }

struct Case {
  const char* name;
  VariableFunction fn;
  std::vector<Shape> inputs;
};

std::vector<Case> cases() {
  const Tensor index = at({2, 0, 0, 1, 1, 1, 2, 0}, {2, 4}), rows = at({1, 1, 0, 2}, {4});
  const Tensor choice = gt(randn({2, 3}, 77), 0);
  return {
      {"softmax", [](V v) { return softmax(v[0], 1); }, {{3, 4}}},
      {"softmax of the first dimension", [](V v) { return softmax(v[0], 0); }, {{3, 2, 2}}},
      {"log_softmax", [](V v) { return log_softmax(v[0], -1); }, {{3, 4}}},
      {"log_softmax of channels", [](V v) { return log_softmax(v[0], 1); }, {{2, 3, 2, 2}}},
      {"logsumexp", [](V v) { return logsumexp(v[0], {1}); }, {{3, 4}}},
      {"logsumexp of two dimensions",
       [](V v) {
         return logsumexp(v[0], {0, 2}, true);
       },
       {{3, 2, 2}}},
      {"clamp", [](V v) { return clamp(v[0], -0.5, 0.75); }, {{3, 4}}},
      {"clamp below", [](V v) { return clamp(v[0], 0.1); }, {{3, 4}}},
      {"maximum", [](V v) { return maximum(v[0], v[1]); }, {{3, 4}, {3, 4}}},
      {"maximum broadcast", [](V v) { return maximum(v[0], v[1]); }, {{2, 3, 4}, {3, 1}}},
      {"minimum", [](V v) { return minimum(v[0], v[1]); }, {{3, 4}, {4}}},
      {"where", [choice](V v) { return where(choice, v[0], v[1]); }, {{2, 3}, {2, 3}}},
      {"where broadcast", [choice](V v) { return where(choice, v[0], v[1]); }, {{}, {2, 2, 3}}},
      {"amax", [](V v) { return amax(v[0], {1}); }, {{3, 4}}},
      {"amax of two dimensions",
       [](V v) {
         return amax(v[0], {0, -1}, true);
       },
       {{3, 2, 4}}},
      {"amin", [](V v) { return amin(v[0], {0}); }, {{3, 4}}},
      {"max over all", [](V v) { return max(v[0]); }, {{3, 4}}},
      {"min over all", [](V v) { return min(v[0]); }, {{3, 4}}},
      {"max of a dimension", [](V v) { return max(v[0], 1).values; }, {{3, 4, 2}}},
      {"min of a dimension", [](V v) { return min(v[0], 0, true).values; }, {{3, 4}}},
      {"gather", [index](V v) { return gather(v[0], 1, index); }, {{2, 3}}},
      {"gather of the first dimension", [index](V v) { return gather(v[0], 0, index); }, {{3, 5}}},
      {"scatter_add", [index](V v) { return scatter_add(v[0], 1, index, v[1]); }, {{2, 3}, {2, 4}}},
      {"index_select", [rows](V v) { return index_select(v[0], 1, rows); }, {{2, 3, 2}}},
      {"index_add", [rows](V v) { return index_add(v[0], 0, rows, v[1]); }, {{3, 2}, {4, 2}}},
      {"index_rows",
       [](V v) {
         return index_rows(v[0], {2, 0, 2});
       },
       {{3, 2}}},
      {"stack",
       [](V v) {
         return stack({v[0], v[1], v[0]}, 1);
       },
       {{2, 3}, {2, 3}}},
      {"scalars", [](V v) { return 1.0 - (2.0 * v[0] + 1.0) / 3 - 0.5; }, {{2, 3}}},
      {"a number by a Variable", [](V v) { return 2.0 / (3.0 + v[0] * v[0]); }, {{2, 3}}},
      {"compound assignment",
       [](V v) {
         Variable y = v[0];
         y += v[1];
         y *= v[0];
         y -= 2.0;
         y /= v[1] * v[1] + 1.0;
         return y * 0.5;
       },
       {{2, 3}, {3}}},
  };
}

}  // namespace

TEST_CASE("every further function of ops.h passes the first and second gradient check", "[autograd]") {
  for (const Case& c : cases()) {
    INFO(c.name);
    Variables inputs;
    for (size_t i = 0; i < c.inputs.size(); ++i) inputs.emplace_back(randn(c.inputs[i], 40 + i), true);
    const GradcheckResult first = gradcheck(c.fn, inputs);
    INFO(first.message);
    CHECK(first.passed);
    CHECK(first.largest_gradient > 0.05);
    // Cubed, so that functions whose own second derivative is zero still have one to check.
    auto curved = [&](V v) {
      Variable y = c.fn(v);
      return y * y * y;
    };
    const GradcheckResult second = gradgradcheck(curved, inputs, {.rtol = 1e-5});
    INFO(second.message);
    CHECK(second.passed);
    CHECK(second.largest_gradient > 0.05);
  }
}

TEST_CASE("equal extremes share a gradient, and the first of equals gets that of max over a dimension",
          "[autograd]") {
  Variable x(Tensor::from<double>({1, 3, 3, 0, 3, 2}, {2, 3}), true);
  CHECK(grad({amax(x)}, {x})[0].value().to_vector() == std::vector<double>{0, 1 / 3., 1 / 3., 0, 1 / 3., 0});
  CHECK(grad({sum(max(x, 1).values)}, {x})[0].value().to_vector() == std::vector<double>{0, 1, 0, 0, 1, 0});
  Variable y(Tensor::from<double>({1, 2, 3, 0, 5, 2}, {2, 3}), true);
  auto g = grad({sum(maximum(x, y))}, {x, y});
  CHECK(g[0].value().to_vector() == std::vector<double>{0.5, 1, 0.5, 0.5, 0, 0.5});
  CHECK(g[1].value().to_vector() == std::vector<double>{0.5, 0, 0.5, 0.5, 1, 0.5});
}

// A quotient by a constant must not become a product with its rounded reciprocal.
TEST_CASE("division by a number rounds once", "[autograd]") {
  Variable x(Tensor::full({}, 5, DType::float64), true);
  CHECK((x / 49).item() == 5.0 / 49.0);
  CHECK((x.value() / 49).item() == 5.0 / 49.0);
  CHECK((1.0 - x).item() == -4);
  CHECK((7.0 / x).item() == 1.4);
}

TEST_CASE("compound assignment makes a new Variable and leaves the old one to others", "[autograd]") {
  Variable x(Tensor::full({2}, 3), true);
  Variable y = x;
  y += 1.0;
  CHECK(x.value().at({0}) == 3);
  CHECK(y.value().at({0}) == 4);
  y *= x;
  sum(y).backward();
  CHECK(x.grad().at({0}) == 7);  // d x (x + 1)
}

TEST_CASE("comparisons of Variables are tensors without a gradient", "[autograd]") {
  Variable x(Tensor::from<float>({1, -2, 3}, {3}), true), y(Tensor::from<float>({1, 2, -3}, {3}));
  CHECK(eq(x, y).to_vector() == std::vector<double>{1, 0, 0});
  CHECK(ne(x, y).to_vector() == std::vector<double>{0, 1, 1});
  CHECK(lt(x, y).to_vector() == std::vector<double>{0, 1, 0});
  CHECK(le(x, y).to_vector() == std::vector<double>{1, 1, 0});
  CHECK(gt(x, 0).to_vector() == std::vector<double>{1, 0, 1});
  CHECK(ge(x, y).to_vector() == std::vector<double>{1, 0, 1});
  CHECK(gt(x, 0).dtype() == DType::uint8);
  CHECK(argmax(x, 0).item() == 2);
  CHECK(argmin(x, 0).item() == 1);
}

TEST_CASE("indices that changed since are noticed, not used", "[autograd]") {
  Variable x(randn({2, 3}, 1), true);
  Tensor index = at({0, 1}, {2, 1});
  Variable y = sum(gather(x, 1, index));
  index.mutable_data<int64_t>()[0] = 2;
  CHECK(error_of([&] { y.backward(); }).find("modified since") != std::string::npos);
}
