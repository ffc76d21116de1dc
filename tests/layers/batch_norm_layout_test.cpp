// Batch normalization: results do not depend on layout, threads or the company in the batch, and nothing of
// the input's size is kept but the input (cases 50, 51, 56, 61, 62, 64, 65 of the specification's list,
// section 1.8).
#include <cstring>

#include "core/kernels/norm.h"
#include "core/parallel.h"
#include "core/storage.h"
#include "layers/activations.h"
#include "layers/sequential.h"
#include "tests/support/batch_norm_reference.h"

using namespace sigma;
using namespace sigma::test;

namespace {

// y, dx, dweight, dbias, running mean and variance of one training step with random parameters.
struct Step {
  std::vector<Tensor> results;
};
Step step(BatchNorm& bn, const Tensor& input, const Tensor& g) {
  bn.to(input.dtype());
  randomize(bn, 5);
  Variable x(input, true), y = bn(x);
  y.backward(g);
  return {{y.value(), x.grad(), bn.weight.grad(), bn.bias.grad(), bn.running_mean.value(),
           bn.running_var.value()}};
}
Step step2d(const Tensor& x, const Tensor& g) {
  BatchNorm2d bn(x.dim(1));
  return step(bn, x, g);
}
Step step1d(const Tensor& x, const Tensor& g) {
  BatchNorm1d bn(x.dim(1));
  return step(bn, x, g);
}
void check_identical(const Step& a, const Step& b) {
  for (size_t i = 0; i < a.results.size(); ++i) {
    INFO("result " << i);
    CHECK(identical(a.results[i], b.results[i]));
  }
}

class Threads {
 public:
  explicit Threads(int n) : before_(num_threads()) { set_num_threads(n); }
  ~Threads() { set_num_threads(before_); }

 private:
  int before_;
};

// (N, C, H, W) as the matrix (N H W, C).
Tensor as_matrix(const Tensor& image) { return permute(image, {0, 2, 3, 1}).reshape({-1, image.dim(1)}); }

}  // namespace

TEST_CASE("batch norm case 50: transposed and permuted and sliced inputs give what fresh ones do",
          "[batch_norm]") {
  // There are no strides here: such inputs are copies. Each is compared with the same elements written one by
  // one.
  auto rebuilt = [](const Tensor& t) { return f64(t.to_vector(), t.shape()); };
  Tensor images = randn({4, 5, 6, 3}, 50), stored = images.to(Layout::channels_last);
  Tensor matrix = randn({7, 20}, 51), g = randn({4, 3, 5, 6}, 52), gm = randn({20, 7}, 53);
  check_identical(step2d(permute(images, {0, 3, 1, 2}), g),
                  step2d(rebuilt(permute(images, {0, 3, 1, 2})), g));
  Tensor channels = permute(stored, {0, 3, 1, 2});
  check_identical(step2d(channels, g), step2d(rebuilt(channels), g));
  check_identical(step1d(transpose(matrix, 0, 1), gm), step1d(rebuilt(transpose(matrix, 0, 1)), gm));
  // Element (n, c, h, w) of the permuted images is (n, h, w, c) of the original: against the reference, so
  // that a wrong permutation on both sides cannot hide.
  std::vector<double> values;
  for (int64_t n = 0; n < 4; ++n)
    for (int64_t c = 0; c < 3; ++c)
      for (int64_t h = 0; h < 5; ++h)
        for (int64_t w = 0; w < 6; ++w) values.push_back(images.at({n, h, w, c}));
  Reference r = reference({.x = f64(values, {4, 3, 5, 6}), .g = g});
  for (const Tensor& t : {permute(images, {0, 3, 1, 2}), channels}) {
    Variable x(t, true), y = batch_norm(x, {});
    y.backward(g);
    CHECK(gap(y, r.y) <= 1e-12);
    CHECK(gap(x.grad(), r.dx) <= 1e-12);
  }
  Tensor part = slice(slice(stored, 1, 1, 3), 3, 1, 2);
  check_identical(step2d(part, randn({4, 3, 6, 2}, 54)), step2d(rebuilt(part), randn({4, 3, 6, 2}, 54)));
}

TEST_CASE("batch norm case 51: channels last and contiguous images give the same bits", "[batch_norm]") {
  for (DType dtype : {DType::float32, DType::float64}) {
    Tensor x = randn({4, 3, 5, 6}, 51, dtype), g = randn({4, 3, 5, 6}, 52, dtype);
    Tensor last = x.to(Layout::channels_last), g_last = g.to(Layout::channels_last);
    REQUIRE(std::memcmp(x.raw(), last.raw(), x.bytes()) != 0);
    Step want = step2d(x, g);
    check_identical(want, step2d(last, g));
    check_identical(want, step2d(x, g_last));
    check_identical(want, step2d(last, g_last));
    ReferenceInput in{.x = x, .weight = randn({3}, 5, dtype), .bias = randn({3}, 6, dtype), .g = g};
    double tolerance = dtype == DType::float64 ? 1e-12 : 1e-5;
    Reference r = reference(in);
    CHECK(gap(want.results[0], r.y) <= tolerance);
    CHECK(gap(want.results[1], r.dx) <= tolerance);
  }
}

TEST_CASE("batch norm case 56: any number of threads gives the same bits", "[batch_norm]") {
  for (DType dtype : {DType::float32, DType::float64})
    for (const Shape& shape : std::vector<Shape>{{16, 8, 32, 32}, {30000, 5}, {64, 6, 301}}) {
      INFO(shape.str());
      REQUIRE(kernels::norm_tasks(shape.numel() / shape[1], shape[1]) > 3);
      Tensor x = randn(shape, 56, dtype), g = randn(shape, 57, dtype);
      std::vector<Step> steps;
      for (int threads : {1, 2, 3}) {
        Threads scope(threads);
        REQUIRE(num_threads() == threads);
        steps.push_back(shape.rank() == 4 ? step2d(x, g) : step1d(x, g));
      }
      check_identical(steps[0], steps[1]);
      check_identical(steps[0], steps[2]);
    }
}

TEST_CASE("batch norm case 61: train and eval reach every layer and in eval rows do not see each other",
          "[batch_norm]") {
  auto inner = std::make_shared<Sequential>();
  inner->add<ReLU>("relu");
  inner->add<BatchNorm2d>("bn", 3);
  Sequential net;
  net.add<BatchNorm2d>("bn", 3);
  net.append("inner", inner);
  auto all_in = [&](bool training) {
    bool all = true;
    net.visit([&](const std::string&, Module& m) { all = all && m.is_training() == training; });
    return all;
  };
  CHECK(all_in(true));
  net.eval();
  CHECK(all_in(false));
  net.train();
  CHECK(all_in(true));
  Tensor x = randn({5, 3, 4, 4}, 61, DType::float32);
  Tensor training = net(Variable(x)).value().contiguous();
  net.eval();
  Tensor batch = net(Variable(x)).value().contiguous();
  CHECK(max_abs_difference(training, batch) > .1);
  for (int64_t i = 0; i < 5; ++i)
    CHECK(identical(net(Variable(slice(x, 0, i, 1))).value(), slice(batch, 0, i, 1)));
  // In training the company matters.
  net.train();
  CHECK(max_abs_difference(net(Variable(slice(x, 0, 0, 2))).value(), slice(training, 0, 0, 2)) > .01);
}

TEST_CASE("batch norm case 62: permuting the rows permutes the output", "[batch_norm]") {
  std::vector<int64_t> order = permutation(9, Rng(62, "rows"));
  for (const Shape& shape : std::vector<Shape>{{9, 4}, {9, 4, 3}, {9, 4, 3, 2}}) {
    Tensor x = randn(shape, 62), g = randn(shape, 63);
    Variable a(x, true), b(index_rows(x, order), true);
    Variable y = batch_norm(a, {}), z = batch_norm(b, {});
    y.backward(g);
    z.backward(index_rows(g, order));
    REQUIRE(max_abs_difference(x, b.value()) > .1);
    CHECK(max_abs_difference(z.value(), index_rows(y.value().contiguous(), order)) <= 1e-12);
    CHECK(max_abs_difference(b.grad(), index_rows(a.grad().contiguous(), order)) <= 1e-12);
  }
}

TEST_CASE("batch norm case 64: forward keeps the input and per-channel numbers and no other copy",
          "[batch_norm]") {
  struct Kind {
    Tensor x;
    size_t copies;  // tensors of x's size that are in use after the forward pass beyond x
  };
  std::vector<Kind> kinds;
  kinds.push_back({randn({64, 16, 32, 32}, 64, DType::float32).to(Layout::channels_last), 1});  // y
  kinds.push_back({randn({65536, 16}, 64, DType::float32), 1});
  kinds.push_back({randn({64, 16, 1024}, 64, DType::float32), 1});
  // y and the input as it was rearranged.
  kinds.push_back({randn({64, 16, 32, 32}, 64, DType::float32), 2});
  const size_t per_channel = 16384;  // room for what has one value a channel, rounded up by the pool
  for (const Kind& kind : kinds)
    for (bool recording : {true, false}) {
      INFO(kind.x.shape().str() << (recording ? " recording" : " without gradients"));
      NoGrad mode(recording);
      std::unique_ptr<BatchNorm> bn;
      if (kind.x.rank() == 4)
        bn = std::make_unique<BatchNorm2d>(16);
      else
        bn = std::make_unique<BatchNorm1d>(16);
      Variable x(kind.x, true);
      size_t before = pool_stats().in_use, copies = recording ? kind.copies : 1;
      Variable y = (*bn)(x);
      CHECK(y.requires_grad() == recording);
      size_t grown = pool_stats().in_use - before;
      CHECK(grown >= copies * x.value().bytes());
      CHECK(grown <= copies * x.value().bytes() + per_channel);
      y = Variable();
      CHECK(pool_stats().in_use == before);
    }
}

TEST_CASE("batch norm case 65: images are normalized as the matrix of their pixels", "[batch_norm]") {
  for (DType dtype : {DType::float32, DType::float64}) {
    Tensor x = randn({16, 5, 40, 30}, 65, dtype), g = randn({16, 5, 40, 30}, 66, dtype);
    REQUIRE(kernels::norm_tasks(16 * 40 * 30, 5) > 3);
    Step image = step2d(x, g), matrix = step1d(as_matrix(x), as_matrix(g));
    for (size_t i : {0, 1}) image.results[i] = as_matrix(image.results[i]);
    check_identical(image, matrix);

    Tensor rows = randn({12, 5}, 67, dtype), gr = randn({12, 5}, 68, dtype);
    Step pixel = step2d(rows.reshape({12, 5, 1, 1}), gr.reshape({12, 5, 1, 1}));
    for (size_t i : {0, 1}) pixel.results[i] = pixel.results[i].reshape({12, 5});
    check_identical(pixel, step1d(rows, gr));
  }
}
