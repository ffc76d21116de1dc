// Layers with bfloat16 values and float32 weights: dtypes, values against float32, determinism, and what is
// refused.
#include <cmath>

#include "autograd/gradcheck.h"
#include "autograd/ops.h"
#include "autograd/precision.h"
#include "core/math.h"
#include "core/parallel.h"
#include "layers/fused/functions.h"
#include "layers/layers.h"
#include "optim/clip.h"
#include "optim/sgd.h"
#include "tests/support/support.h"

using namespace sigma;
using namespace sigma::test;
using sigma::test::Contains;

namespace {

constexpr DType kHalf = DType::bfloat16, kFloat = DType::float32;

struct Pass {
  Tensor y, dx;
  std::vector<Tensor> dp;
};

// Forward and backward with the values of `x` and `seed` in `dtype`.
Pass run_pass(const std::function<ModulePtr()>& make, const Tensor& x, DType dtype, DType seed_dtype,
              bool autocast = false) {
  ModulePtr m = make();
  initialize(*m, 1);
  for (auto& [name, p] : m->named_parameters())  // batch norm's defaults hide errors of scale
    if (p.rank() == 1) p.mutable_value().copy_(add(p.value(), scale(randn(p.shape(), 3, kFloat), 0.3)));
  m->set_step(0);
  Variable leaf(x.to(dtype), true), y;
  {
    Autocast scope(autocast ? kHalf : kFloat);
    y = (*m)(leaf);
  }
  y.backward(randn(y.shape(), 2, kFloat).to(kHalf).to(seed_dtype));
  Pass r{y.value(), leaf.grad(), {}};
  for (auto& p : m->parameters()) r.dp.push_back(p.grad());
  return r;
}

// ||a - b|| / ||b||
double relative(const Tensor& a, const Tensor& b) {
  Tensor wide = b.to(DType::float64);
  REQUIRE(norm2(wide) > 0.1);
  return norm2(sub(a.to(DType::float64), wide)) / norm2(wide);
}

struct LayerCase {
  const char* name;
  std::function<ModulePtr()> make;
  Shape input;
  int roundings;  // of a value on its way through, forward and backward
  // A ReLU behind a rounding: where its input is within 2^-9 of 0, a thousandth of all, the gradient passes
  // in one precision and not in the other, which is sqrt(1/1000) of its norm.
  bool kink = false;
};

template <class Layer, class... Args>
std::function<ModulePtr()> maker(Args... args) {
  return [=] { return std::make_shared<Layer>(args...); };
}
ModulePtr residual(bool batch_norm) {
  auto body = std::make_shared<Sequential>();
  body->append(std::make_shared<Conv2d>(6, 6, Conv2dOptions{.padding = 1, .bias = !batch_norm}));
  if (batch_norm) body->append(std::make_shared<BatchNorm2d>(6));
  return std::make_shared<Residual>(body);
}

const std::vector<LayerCase>& layer_cases() {
  static const std::vector<LayerCase> cases = {
      {"conv2d", maker<Conv2d>(6, 8, Conv2dOptions{.padding = 1}), {4, 6, 9, 7}, 1},
      {"conv2d by Winograd", maker<Conv2d>(16, 32, Conv2dOptions{.padding = 1}), {4, 16, 9, 7}, 1},
      {"conv2d in groups", maker<Conv2d>(6, 8, Conv2dOptions{.stride = 2, .groups = 2}), {4, 6, 9, 7}, 1},
      {"linear", maker<Linear>(37, 19), {13, 37}, 1},
      {"linear of rows of rows", maker<Linear>(7, 5, LinearOptions{.bias = false}), {3, 4, 7}, 1},
      {"batch_norm 2-D", maker<BatchNorm1d>(17), {40, 17}, 1},
      {"batch_norm 3-D", maker<BatchNorm1d>(6), {8, 6, 9}, 1},
      {"batch_norm 4-D", maker<BatchNorm2d>(6), {8, 6, 5, 7}, 1},
      {"relu", maker<ReLU>(), {4, 6, 9, 7}, 0},
      {"leaky_relu", maker<LeakyReLU>(), {4, 6, 9, 7}, 1},
      {"sigmoid", maker<Sigmoid>(), {4, 6, 9, 7}, 3},  // backward reads the rounded output
      {"tanh", maker<Tanh>(), {4, 6, 9, 7}, 6},
      {"gelu", maker<GELU>(), {4, 6, 9, 7}, 1},
      {"max_pool2d", maker<MaxPool2d>(PoolOptions{}), {4, 6, 8, 8}, 0},
      {"max_pool2d, overlapping", maker<MaxPool2d>(PoolOptions{.kernel = 3, .stride = 2}), {4, 6, 9, 9}, 1},
      {"avg_pool2d",
       maker<AvgPool2d>(AvgPoolOptions{.kernel = 3, .stride = 1, .padding = 1}),
       {4, 6, 9, 7},
       1},
      {"adaptive_avg_pool2d", maker<AdaptiveAvgPool2d>(Pair(3)), {4, 6, 10, 8}, 1},
      {"global_avg_pool2d", maker<GlobalAvgPool2d>(), {40, 6, 24, 24}, 1},
      {"dropout", maker<Dropout>(DropoutOptions{.p = 0.3}), {40, 37}, 2},  // 1/(1-p) is rounded too
      {"flatten", maker<Flatten>(), {4, 6, 3, 5}, 0},
      {"residual", [] { return residual(false); }, {4, 6, 9, 7}, 3},
      {"residual with batch_norm", [] { return residual(true); }, {4, 6, 9, 7}, 6},
      {"basic block", [] { return std::make_shared<BasicBlock>(6, 6, 1, true); }, {8, 6, 9, 7}, 12, true},
      {"basic block that halves",
       [] { return std::make_shared<BasicBlock>(6, 16, 2, true); },
       {8, 6, 9, 7},
       12,
       true}};
  return cases;
}

}  // namespace

TEST_CASE("layers take bfloat16 values with float32 weights, and agree with float32 up to their roundings",
          "[precision]") {
  for (const LayerCase& c : layer_cases())
    for (Layout layout : {Layout::contiguous, Layout::channels_last}) {
      if (layout == Layout::channels_last && c.input.rank() != 4) continue;
      INFO(c.name << " channels_last " << (layout == Layout::channels_last));
      Tensor x = randn(c.input, 1, kFloat).to(kHalf).to(layout);
      Pass half = run_pass(c.make, x, kHalf, kHalf), full = run_pass(c.make, x, kFloat, kFloat);
      CHECK(half.y.dtype() == kHalf);
      CHECK(half.y.layout() == full.y.layout());
      CHECK(half.dx.dtype() == kHalf);
      CHECK(half.dx.layout() == layout);
      // A rounding is at most 2^-9 of each value; the first term is what float32 itself does to sums.
      double bound = 1e-6 + c.roundings * 0x1p-9, slope_bound = c.kink ? 0.1 : bound;
      CHECK(relative(half.y, full.y) <= bound);
      CHECK(relative(half.dx, full.dx) <= slope_bound);
      REQUIRE(half.dp.size() == full.dp.size());
      for (size_t i = 0; i < half.dp.size(); ++i) {
        CHECK(half.dp[i].dtype() == kFloat);
        CHECK(relative(half.dp[i], full.dp[i]) <= slope_bound);
      }
    }
}

TEST_CASE("layers on bfloat16 give the same bits with any number of threads", "[precision]") {
  struct Restore {
    int threads = num_threads();
    ~Restore() { set_num_threads(threads); }
  } restore;
  for (const LayerCase& c : layer_cases()) {
    INFO(c.name);
    Shape shape = c.input;
    shape[0] *= 32;  // several tasks
    Tensor x = randn(shape, 1, kHalf);
    std::vector<Pass> passes;
    for (int threads : {1, 2, 3}) {
      set_num_threads(threads);
      passes.push_back(run_pass(c.make, x, kHalf, kHalf));
    }
    for (size_t t : {1u, 2u}) {
      CHECK(identical(passes[t].y, passes[0].y));
      CHECK(identical(passes[t].dx, passes[0].dx));
      for (size_t i = 0; i < passes[0].dp.size(); ++i) CHECK(identical(passes[t].dp[i], passes[0].dp[i]));
    }
  }
}

TEST_CASE("a cast is differentiable and gives gradients back in the source's dtype", "[precision]") {
  Variable x(randn({3, 4}, 1, kFloat), true);
  Variable y = cast(x, kHalf);
  CHECK(y.dtype() == kHalf);
  CHECK(identical(y.value(), x.value().to(kHalf)));
  Tensor seed = randn({3, 4}, 2, kHalf);
  y.backward(seed);
  CHECK(identical(x.grad(), seed.to(kFloat)));
  cast(x, kFloat).backward(seed.to(kFloat));  // nothing to do
  CHECK(identical(x.grad(), scale(seed.to(kFloat), 2)));
  // Twice: d/dx of (d/dx x^3) through a bfloat16 cast of powers of two is exact.
  Variable two(Tensor::full({}, 2), true),
      cube = mul(mul(cast(two, kHalf), cast(two, kHalf)), cast(two, kHalf));
  Variables first = grad({cube}, {two}, {}, {.create_graph = true});
  CHECK(first[0].dtype() == kFloat);
  CHECK(first[0].item() == 12);
  CHECK(grad(first, {two})[0].item() == 12);
  CHECK_THAT(error_of([] { cast(Variable(Tensor::zeros({2}, DType::int64)), kHalf); }),
             Contains("[cast] expected floating-point dtypes, got int64 to bfloat16"));
}

TEST_CASE("in the scope of a bfloat16 autocast layers round their float32 input", "[precision]") {
  for (const LayerCase& c : layer_cases()) {
    std::string name = c.name;
    bool casts = name.find("conv2d") == 0 || name.find("linear") == 0 || name.find("residual") == 0 ||
                 name.find("basic") == 0;
    INFO(c.name);
    Tensor x = randn(c.input, 1, kFloat).to(kHalf).to(kFloat);
    Pass scoped = run_pass(c.make, x, kFloat, casts ? kHalf : kFloat, true);
    Pass given = run_pass(c.make, x, casts ? kHalf : kFloat, casts ? kHalf : kFloat);
    CHECK(identical(scoped.y, given.y));
    CHECK(scoped.dx.dtype() == kFloat);  // of the leaf that was given
    CHECK(identical(scoped.dx, given.dx.to(kFloat)));
    for (size_t i = 0; i < given.dp.size(); ++i) CHECK(identical(scoped.dp[i], given.dp[i]));
  }
  Variable wide(randn({2, 3}, 1));
  {
    Autocast outer(kHalf);
    CHECK(autocast(wide).dtype() == DType::float64);  // gradient checks are left alone
    {
      Autocast inner(kFloat);
      CHECK(autocast(Variable(Tensor::ones({2}))).dtype() == kFloat);
    }
    CHECK(autocast(Variable(Tensor::ones({2}))).dtype() == kHalf);
    // The constructor changed the scope before it checked, and one that throws has no destructor.
    CHECK_THAT(error_of([] { Autocast no(DType::int64); }),
               Contains("[autocast] expected float32 or bfloat16, got int64"));
    CHECK(autocast(Variable(Tensor::ones({2}))).dtype() == kHalf);
  }
  CHECK(autocast(Variable(Tensor::ones({2}))).dtype() == kFloat);
}

TEST_CASE("losses of bfloat16 values are computed in float32", "[precision]") {
  Tensor x = randn({12, 7}, 1, kHalf), target = randn({12, 7}, 2, kFloat);
  Tensor labels = Tensor::empty({12}, DType::int64);
  for (int64_t i = 0; i < 12; ++i) labels.mutable_data<int64_t>()[i] = i % 7;
  auto check = [&](const std::function<Variable(const Variable&)>& loss) {
    Variable half(x, true), full(x.to(kFloat), true), a = loss(half), b = loss(full);
    CHECK(a.dtype() == kFloat);
    CHECK(identical(a.value(), b.value()));
    a.backward();
    b.backward();
    CHECK(half.grad().dtype() == kHalf);
    CHECK(identical(half.grad(), full.grad().to(kHalf)));
    CHECK(norm2(full.grad()) > 0.01);
  };
  check([&](const Variable& v) { return cross_entropy(v, labels, {.label_smoothing = 0.1}); });
  check([&](const Variable& v) { return cross_entropy(v, labels, {.reduction = Reduction::sum}); });
  check([&](const Variable& v) { return mse_loss(v, Variable(target)); });
}

TEST_CASE("batch norm of bfloat16 keeps its statistics in float32 and is stable", "[precision]") {
  Tensor x = randn({64, 3, 4, 4}, 1, kHalf).to(Layout::channels_last);
  BatchNorm2d half(3), full(3);
  half(Variable(x));
  full(Variable(x.to(kFloat)));
  CHECK(half.running_mean.dtype() == kFloat);
  CHECK(identical(half.running_mean.value(), full.running_mean.value()));
  CHECK(identical(half.running_var.value(), full.running_var.value()));
  CHECK(half.num_batches_tracked.item() == 1);
  // A constant channel gives exactly the bias.
  half.bias.mutable_value().copy_(Tensor::from<float>({0.5f, -3, 7}, {3}));
  half.weight.mutable_value().fill_(1.7);
  Tensor constant = Tensor::empty({8, 3, 5, 5}, kHalf);
  constant.fill_(0.1);
  std::vector<double> y = half(Variable(constant)).value().to_vector();
  int64_t wrong = 0;
  for (size_t i = 0; i < y.size(); ++i) wrong += y[i] != std::vector<double>{0.5, -3, 7}[i / 25 % 3];
  CHECK(wrong == 0);
  // Values whose squares overflow float32, and a mean a thousand times the deviation.
  for (auto [factor, offset] : {std::pair{1e30, 0.0}, {1e-30, 0.0}, {1.0, 1024.0}}) {
    INFO("factor " << factor << " offset " << offset);
    Tensor far =
        add(scale(randn({256, 3}, 2), factor), Tensor::full({256, 3}, offset, DType::float64)).to(kHalf);
    Variable a(far, true), b(far.to(DType::float64), true);
    BatchNormArguments options{.eps = 0};
    Variable ya = batch_norm(a, options), yb = batch_norm(b, options);
    CHECK(all_finite(ya.value()));
    CHECK(relative(ya.value(), yb.value()) < 0x1p-8);
    Tensor seed = randn({256, 3}, 3, kHalf);
    ya.backward(seed);
    yb.backward(seed.to(DType::float64));
    // dx is of the order 1 / factor, which float32 holds.
    CHECK(relative(scale(a.grad().to(DType::float64), factor), scale(b.grad(), factor)) < 0x1p-8);
  }
}

TEST_CASE("what bfloat16 does not do is refused in one sentence", "[precision]") {
  Variable x(randn({4, 3}, 1, kHalf), true), wide(randn({4, 3}, 1, kFloat), true);
  Variable w(randn({5, 3}, 2, kFloat), true), half_w(randn({5, 3}, 2, kHalf), true);
  auto refuses = [](const char* message, const std::function<void()>& fn) {
    std::string error = error_of(fn);
    INFO(error);
    CHECK(error.find(message) == 0);
    CHECK(error.find('\n') == std::string::npos);
  };
  const GradOptions twice{.create_graph = true};
  refuses("[linear] in bfloat16 this function can be differentiated once only", [&] {
    grad({linear(x, w)}, {x}, {Variable(randn({4, 5}, 3, kHalf))}, twice);
  });
  refuses("[batch_norm] in bfloat16 this function can be differentiated once only", [&] {
    grad({batch_norm(x, {})}, {x}, {Variable(randn({4, 3}, 3, kHalf))}, twice);
  });
  refuses("[gradcheck] expected float64 or complex128 inputs, got bfloat16",
          [&] { gradcheck([](const Variables& v) { return relu(v[0]); }, {x}); });
  refuses("[to] expected float32 or float64, got bfloat16", [] { Linear(2, 3).to(kHalf); });
  refuses("[linear] expected float32 or float64 weights, got bfloat16", [&] { linear(wide, half_w); });
  refuses("[linear] expected float32 or float64 weights, got bfloat16", [&] { linear(x, half_w); });
  refuses("[add] expected one dtype, got bfloat16 and float32", [&] { add(x, wide); });
  refuses("[matmul] expected one dtype, got bfloat16 and float32", [&] { matmul(x, transpose(w, 0, 1)); });
  refuses("[matmul] expected float32 or float64, got bfloat16", [&] { matmul(x, transpose(half_w, 0, 1)); });
  refuses("[backward] expected a bfloat16 seed, got float32", [&] { relu(x).backward(wide.value()); });
  Variable ones(Tensor::ones({3}, kHalf)), skip(wide.value());
  refuses("[batch_norm] mixed dtype: input is bfloat16, weight is bfloat16, expected float32",
          [&] { batch_norm(x, {.weight = ones}); });
  refuses("[batch_norm] mixed dtype: input is bfloat16, running_mean is bfloat16, expected float32",
          [&] { batch_norm(x, {.running_mean = ones, .running_var = ones, .training = false}); });
  refuses("[batch_norm_relu] expected a skip of bfloat16 (4, 3), got float32 (4, 3)",
          [&] { fused::batch_norm_relu(x, skip, {}, {}); });
  Variable image(randn({1, 3, 4, 4}, 1, kHalf)), half_filter(randn({2, 3, 3, 3}, 2, kHalf));
  refuses("[conv2d] expected float32 or float64 weights, got bfloat16",
          [&] { conv2d(image, half_filter, {}, {}); });
  Variable leaf(Tensor::ones({3}, kHalf), true);
  leaf.set_grad(Tensor::ones({3}, kHalf));
  SGD sgd({leaf}, {.lr = 0.1});
  refuses("[sgd] expected float32 or float64 parameters, got bfloat16", [&] { sgd.step(); });
  refuses("[norm2] expected float32 or float64, got bfloat16", [&] { clip_grad_norm({leaf}, 1); });
}
