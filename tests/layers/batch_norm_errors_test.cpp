// Batch normalization: what it refuses, and inputs at the edge of what it takes (cases 20-34 of the
// specification's list, section 1.8). The messages are PyTorch's after our prefix, but shapes print as (1,
// 3).
#include <functional>

#include "tests/support/batch_norm_reference.h"

using namespace sigma;
using namespace sigma::test;
using sigma::test::Contains;
using sigma::test::Equals;

namespace {

Variable ones(int64_t n) { return Variable(Tensor::ones({n})); }

// With three channels, a `name` of 2 and of 4 elements is refused, and one of 3 is not.
void check_size_error(const std::string& name, const std::function<Variable&(BatchNormArguments&)>& field) {
  for (bool training : {true, false})
    for (int64_t n : {2, 3, 4}) {
      BatchNormArguments a{
          .weight = ones(3), .bias = ones(3), .running_mean = ones(3), .running_var = ones(3)};
      a.training = training;
      field(a) = ones(n);
      auto call = [&] { batch_norm(Variable(randn({4, 3}, 21, DType::float32)), a); };
      if (n == 3)
        CHECK_NOTHROW(call());
      else
        CHECK_THAT(error_of(call),
                   Equals("[batch_norm] " + name + " should contain 3 elements not " + std::to_string(n)));
    }
}

std::unique_ptr<BatchNorm> norm_for(const Shape& x, BatchNormOptions options = {}) {
  if (x.rank() == 4) return std::make_unique<BatchNorm2d>(x[1], options);
  return std::make_unique<BatchNorm1d>(x[1], options);
}

// Puts `bad` at row `row` of channel 1 and checks that only channel 1 of outputs and statistics knows.
void check_isolated(const Shape& shape, float bad, int64_t row) {
  INFO(shape.str() << " row " << row);
  Tensor clean = randn(shape, 33, DType::float32), dirty = clean.clone();
  int64_t inner = shape.numel() / shape[0] / shape[1];
  dirty.mutable_data<float>()[(row * shape[1] + 1) * inner + inner / 2] = bad;
  auto a = norm_for(shape), b = norm_for(shape);
  Tensor want = (*a)(Variable(clean)).value().contiguous(), got = (*b)(Variable(dirty)).value().contiguous();
  for (int64_t c : {0, 2}) {
    CHECK(identical(slice(got, 1, c, 1), slice(want, 1, c, 1)));
    CHECK(all_finite(slice(got, 1, c, 1)));
    CHECK(identical(slice(b->running_mean.value(), 0, c, 1), slice(a->running_mean.value(), 0, c, 1)));
    CHECK(identical(slice(b->running_var.value(), 0, c, 1), slice(a->running_var.value(), 0, c, 1)));
  }
  for (double y : slice(got, 1, 1, 1).to_vector()) CHECK(std::isnan(y));
  CHECK_FALSE(std::isfinite(b->running_mean.value().at({1})));
  CHECK(std::isnan(b->running_var.value().at({1})));
}

}  // namespace

TEST_CASE("batch norm case 20: the function in eval names the missing buffer", "[batch_norm]") {
  Variable x(randn({4, 3}, 20, DType::float32));
  CHECK_THAT(error_of([&] { batch_norm(x, {.running_var = ones(3), .training = false}); }),
             Equals("[batch_norm] running_mean must be defined in evaluation mode"));
  CHECK_THAT(error_of([&] { batch_norm(x, {.running_mean = ones(3), .training = false}); }),
             Equals("[batch_norm] running_var must be defined in evaluation mode"));
}

TEST_CASE("batch norm case 21: a running mean of the wrong size is refused", "[batch_norm]") {
  check_size_error("running_mean", [](BatchNormArguments& a) -> Variable& { return a.running_mean; });
}

TEST_CASE("batch norm case 22: a running variance of the wrong size is refused", "[batch_norm]") {
  check_size_error("running_var", [](BatchNormArguments& a) -> Variable& { return a.running_var; });
}

TEST_CASE("batch norm case 23: a weight of the wrong size is refused", "[batch_norm]") {
  check_size_error("weight", [](BatchNormArguments& a) -> Variable& { return a.weight; });
}

TEST_CASE("batch norm case 24: a bias of the wrong size is refused", "[batch_norm]") {
  check_size_error("bias", [](BatchNormArguments& a) -> Variable& { return a.bias; });
}

TEST_CASE("batch norm case 25: inputs of the wrong rank are refused", "[batch_norm]") {
  std::vector<Shape> shapes{{3}, {4, 3}, {4, 3, 2}, {4, 3, 2, 2}, {4, 3, 2, 2, 2}};
  for (const Shape& shape : shapes) {
    int rank = shape.rank();
    BatchNorm1d one(3);
    BatchNorm2d two(3);
    Variable x(randn(shape, 25, DType::float32));
    std::string got = "(got " + std::to_string(rank) + "D input)";
    if (rank == 2 || rank == 3)
      CHECK_NOTHROW(one(x));
    else
      CHECK_THAT(error_of([&] { one(x); }), Equals("[batch_norm1d] expected 2D or 3D input " + got));
    if (rank == 4)
      CHECK_NOTHROW(two(x));
    else
      CHECK_THAT(error_of([&] { two(x); }), Equals("[batch_norm2d] expected 4D input " + got));
    CHECK(one.num_batches_tracked.item() == (rank == 2 || rank == 3));
    CHECK(two.num_batches_tracked.item() == (rank == 4));
  }
}

TEST_CASE("batch norm case 26: one value a channel is refused in training and leaves no trace",
          "[batch_norm]") {
  for (const Shape& shape : std::vector<Shape>{{1, 3}, {1, 3, 1}, {1, 3, 1, 1}}) {
    auto bn = norm_for(shape);
    randomize(*bn, 26);
    Tensor mean = bn->running_mean.value().clone(), var = bn->running_var.value().clone();
    Variable x(randn(shape, 27, DType::float32));
    CHECK_THAT(error_of([&] { (*bn)(x); }),
               Equals("[batch_norm] Expected more than 1 value per channel when training, got input size " +
                      shape.str()));
    CHECK(identical(bn->running_mean.value(), mean));
    CHECK(identical(bn->running_var.value(), var));
    CHECK(bn->num_batches_tracked.item() == 0);  // PyTorch has counted by now
    bn->eval();
    ReferenceInput in{.x = x.value(), .weight = bn->weight.value(), .bias = bn->bias.value()};
    in.running_mean = mean, in.running_var = var;
    CHECK(gap((*bn)(x), reference(in).y) <= 1e-6);
  }
}

TEST_CASE("batch norm case 27: a batch of one image with two pixels trains", "[batch_norm]") {
  BatchNorm2d bn(3);
  bn.to(DType::float64);
  Variable x(randn({1, 3, 1, 2}, 27));
  CHECK(gap(bn(x), reference({.x = x.value()}).y) <= 1e-12);
  CHECK(bn.num_batches_tracked.item() == 1);
}

TEST_CASE("batch norm case 28: without statistics one value a channel is refused in eval too",
          "[batch_norm]") {
  BatchNorm1d bn(3, {.track_running_stats = false});
  bn.eval();
  CHECK_THAT(error_of([&] {
               bn(Variable(randn({1, 3}, 28, DType::float32)));
             }),
             Contains("Expected more than 1 value per channel when training, got input size (1, 3)"));
  CHECK_NOTHROW(bn(Variable(randn({2, 3}, 28, DType::float32))));
}

TEST_CASE("batch norm case 29: an empty batch gives an empty output and zero gradients", "[batch_norm]") {
  for (const Shape& shape : std::vector<Shape>{{0, 3, 4, 4}, {0, 3}, {2, 3, 0, 4}, {2, 3, 0}})
    for (bool training : {true, false}) {
      INFO(shape.str() << (training ? " training" : " eval"));
      auto bn = norm_for(shape);
      randomize(*bn, 29);
      bn->train(training);
      Tensor mean = bn->running_mean.value().clone(), var = bn->running_var.value().clone();
      Variable x(Tensor::zeros(shape), true), y = (*bn)(x);
      CHECK(y.shape() == shape);
      CHECK(identical(bn->running_mean.value(), mean));
      CHECK(identical(bn->running_var.value(), var));
      CHECK(bn->num_batches_tracked.item() == (training ? 1 : 0));
      y.backward(Tensor::zeros(shape));
      REQUIRE(x.grad().defined());
      CHECK(x.grad().shape() == shape);
      REQUIRE(bn->weight.grad().defined());
      REQUIRE(bn->bias.grad().defined());
      CHECK(gap(bn->weight.grad(), {0, 0, 0}) == 0);
      CHECK(gap(bn->bias.grad(), {0, 0, 0}) == 0);
    }
}

TEST_CASE("batch norm case 30: an input without channels gives an empty output", "[batch_norm]") {
  for (const Shape& shape : std::vector<Shape>{{4, 0}, {4, 0, 3}, {2, 0, 3, 3}, {1, 0}})
    for (bool training : {true, false}) {
      INFO(shape.str() << (training ? " training" : " eval"));
      auto bn = norm_for(shape);
      bn->train(training);
      Variable x(Tensor::zeros(shape), true), y = (*bn)(x);
      CHECK(y.shape() == shape);
      y.backward(Tensor::zeros(shape));
      REQUIRE(x.grad().defined());
      CHECK(x.grad().shape() == shape);
      CHECK(bn->weight.grad().numel() == 0);
    }
}

TEST_CASE("batch norm case 31: a constant channel gives exactly the bias", "[batch_norm]") {
  for (DType dtype : {DType::float32, DType::float64}) {
    BatchNorm1d bn(1);
    set(bn.bias, f64({.7}));
    bn.to(dtype);
    set(bn.bias, f64({.7}));
    Variable x(Tensor::full({4, 1}, 5, dtype), true), y = bn(x);
    CHECK(identical(y.value(), Tensor::full({4, 1}, .7, dtype)));
    y.backward(f64({1, 2, 3, 4}, {4, 1}).to(dtype));
    double s = 316.2277660168379, tolerance = dtype == DType::float64 ? 1e-12 : 1e-4;  // 1 / sqrt(1e-5)
    CHECK(gap(x.grad(), {-1.5 * s, -.5 * s, .5 * s, 1.5 * s}) <= tolerance);
    CHECK(gap(bn.running_var, {.9}) <= (dtype == DType::float64 ? 1e-12 : 1e-7));
  }
  // Values and counts whose sums round, through several tasks.
  for (double value : {.1, -1234.567, 1e30}) {
    Tensor x = Tensor::full({40000, 1}, value);
    CHECK(identical(batch_norm(Variable(x), {.bias = Variable(Tensor::full({1}, .7))}).value(),
                    Tensor::full({40000, 1}, .7)));
  }
}

TEST_CASE("batch norm case 32: a constant channel with eps 0 gives the bias and no gradient",
          "[batch_norm]") {
  for (bool training : {true, false}) {
    BatchNorm1d bn(2, {.eps = 0});
    bn.to(DType::float64);
    set(bn.bias, f64({.7, -2}));
    set(bn.running_mean, f64({5, 5}));
    set(bn.running_var, f64({0, 0}));
    bn.train(training);
    Variable x(Tensor::full({4, 2}, 5, DType::float64), true), y = bn(x);
    CHECK(gap(y, {.7, -2, .7, -2, .7, -2, .7, -2}) == 0);
    y.backward(randn({4, 2}, 32));
    CHECK(gap(x.grad(), std::vector<double>(8, 0.0)) == 0);
    CHECK(gap(bn.weight.grad(), {0, 0}) == 0);
  }
}

TEST_CASE("batch norm case 33: a NaN stays in its channel", "[batch_norm]") {
  for (int64_t row : {0, 3})  // row 0 is the pivot of the sums
    for (const Shape& shape : std::vector<Shape>{{8, 3}, {8, 3, 4}, {8, 3, 5, 5}})
      check_isolated(shape, std::numeric_limits<float>::quiet_NaN(), row);
}

TEST_CASE("batch norm case 34: an infinity makes NaN of its channel alone", "[batch_norm]") {
  for (int64_t row : {0, 3})
    for (float bad : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()})
      for (const Shape& shape : std::vector<Shape>{{8, 3}, {8, 3, 4}, {8, 3, 5, 5}})
        check_isolated(shape, bad, row);
}

TEST_CASE("batch norm refuses a negative eps and wrong channels and wrong dtypes", "[batch_norm]") {
  CHECK_THAT(error_of([] { BatchNorm1d(3, {.eps = -1e-5}); }),
             Equals("[batch_norm1d] expected eps of at least 0, got -1e-05"));
  CHECK_THAT(error_of([] {
               batch_norm(Variable(Tensor::zeros({2, 2})), {.eps = -1.0});
             }),
             Equals("[batch_norm] expected eps of at least 0, got -1"));
  Variable four(randn({5, 4}, 1, DType::float32));
  CHECK_THAT(error_of([&] { BatchNorm1d(3).forward(four); }),
             Equals("[batch_norm] running_mean should contain 4 elements not 3"));
  CHECK_THAT(error_of([&] { BatchNorm1d(3, {.track_running_stats = false}).forward(four); }),
             Equals("[batch_norm] weight should contain 4 elements not 3"));
  BatchNormOptions bare{.affine = false, .track_running_stats = false};
  CHECK_THAT(error_of([&] { BatchNorm1d(3, bare).forward(four); }), Contains("expected 3 channels"));
  CHECK_THAT(error_of([] {
               batch_norm(Variable(Tensor::zeros({2, 2}, DType::int64)), {});
             }),
             Equals("[batch_norm] expected float32, float64 or bfloat16 input, got int64"));
  CHECK_THAT(error_of([&] { BatchNorm1d(4).to(DType::float64)(four); }), Contains("mixed dtype"));
}

TEST_CASE("batch norm refuses wrong channels when its statistics are no longer tracked", "[batch_norm]") {
  // Neither buffers nor parameters take part then, and nothing else knows the number of channels.
  BatchNorm2d bn(4, {.affine = false});
  bn.set_track_running_stats(false);
  CHECK_THAT(error_of([&] {
               bn(Variable(randn({2, 8, 3, 3}, 1, DType::float32)));
             }),
             Equals("[batch_norm] expected 4 channels, got input (2, 8, 3, 3)"));
  CHECK_NOTHROW(bn(Variable(randn({2, 4, 3, 3}, 1, DType::float32))));
}
