// Properties that hold whatever the numbers are: adjoints, linearity, equivariance, and layers that must
// equal one another. They catch index mistakes that a comparison with one's own second implementation would
// share.
#include <cmath>

#include "core/math.h"
#include "layers/checks.h"
#include "layers/layers.h"
#include "tests/support/support.h"

using namespace sigma;
using test::randn;
using test::random_integers;

namespace {

double dot(const Tensor& a, const Tensor& b) { return sum(mul(a.contiguous(), b.contiguous())).item(); }

// <A x, y> = <x, A' y> with A' from the backward pass, relative to the size of the product's terms.
void check_adjoint(const std::function<Variable(const Variable&)>& a, const Variable& x) {
  Variable ax = a(x);
  Tensor y = randn(ax.shape(), 99);
  Tensor back = grad({ax}, {x}, {Variable(y)})[0].value();
  double left = dot(ax.value(), y), right = dot(x.value(), back);
  double size = norm2(ax.value()) * norm2(y);
  REQUIRE(size > 0.1);
  CHECK(norm2(back) > 0.01);
  CHECK(std::fabs(left - right) <= 1e-12 * size);
}

Variable leaf(const Shape& shape, uint64_t seed) { return Variable(randn(shape, seed), true); }

struct ConvCase {
  Shape x, w;
  Conv2dOptions o;
};
const std::vector<ConvCase>& conv_cases() {
  static const std::vector<ConvCase> cases = {
      {{2, 3, 6, 7}, {4, 3, 3, 3}, {.kernel = 3}},
      {{2, 3, 6, 7}, {4, 3, 3, 3}, {.kernel = 3, .padding = 1}},
      {{1, 2, 9, 5}, {3, 2, 3, 2}, {.kernel = {3, 2}, .stride = {2, 1}, .padding = {2, 1}}},
      {{2, 4, 7, 7}, {6, 2, 3, 3}, {.kernel = 3, .padding = 1, .groups = 2}},
      {{2, 3, 8, 8}, {3, 1, 3, 3}, {.kernel = 3, .padding = 2, .dilation = 2, .groups = 3}},
      {{3, 5, 4, 4}, {2, 5, 1, 1}, {.kernel = 1}},
      {{2, 2, 9, 9}, {2, 2, 2, 2}, {.kernel = 2, .stride = 4}},
      {{2, 2, 5, 4}, {3, 2, 5, 4}, {.kernel = {5, 4}}}};
  return cases;
}

// Zeros around the last two dimensions.
Tensor pad(const Tensor& x, int64_t p) {
  auto zeros = [&](int64_t h, int64_t w) { return Tensor::zeros({x.dim(0), x.dim(1), h, w}, x.dtype()); };
  Tensor rows = cat({zeros(p, x.dim(3)), x, zeros(p, x.dim(3))}, 2);
  return cat({zeros(rows.dim(2), p), rows, zeros(rows.dim(2), p)}, 3);
}

}  // namespace

TEST_CASE("the backward pass of every linear function is its adjoint", "[properties]") {
  for (const ConvCase& c : conv_cases()) {
    INFO(c.x.str() << c.w.str());
    Variable x = leaf(c.x, 1), w = leaf(c.w, 2);
    check_adjoint([&](const Variable& v) { return conv2d(v, w.detach(), {}, c.o); }, x);
    check_adjoint([&](const Variable& v) { return conv2d(x.detach(), v, {}, c.o); }, w);
  }
  Variable zero_image(Tensor::zeros({3, 2, 4, 4}, DType::float64)),
      zero_weight(Tensor::zeros({5, 2, 3, 3}, DType::float64));
  check_adjoint([&](const Variable& b) { return conv2d(zero_image, zero_weight, b, {}); }, leaf({5}, 3));

  Variable a = leaf({6, 5}, 4), w = leaf({3, 5}, 5);
  check_adjoint([&](const Variable& v) { return linear(v, w.detach()); }, a);
  check_adjoint([&](const Variable& v) { return linear(v, w.detach()); }, leaf({2, 3, 5}, 6));
  check_adjoint([&](const Variable& v) { return linear(a.detach(), v); }, w);

  Variable image = leaf({2, 3, 7, 6}, 7);
  for (bool counted : {false, true}) {
    check_adjoint(
        [&](const Variable& v) { return avg_pool2d(v, {.kernel = 2, .count_include_pad = counted}); }, image);
    check_adjoint(
        [&](const Variable& v) {
          return avg_pool2d(v,
                            {.kernel = {3, 2}, .stride = {2, 1}, .padding = 1, .count_include_pad = counted});
        },
        image);
  }
  for (Pair size : {Pair(1), Pair(3, 2), Pair(7, 6), Pair(9, 10)})
    check_adjoint([&](const Variable& v) { return adaptive_avg_pool2d(v, size); }, image);
  check_adjoint([](const Variable& v) { return flatten(v); }, image);
  check_adjoint([](const Variable& v) { return permute(v, {2, 0, 3, 1}); }, image);
  check_adjoint([](const Variable& v) { return slice(v, 1, 1, 2); }, image);
  check_adjoint([](const Variable& v) { return broadcast_to(v, {4, 3, 5}); }, leaf({3, 1}, 8));
  check_adjoint([](const Variable& v) { return mean(v, {0, 2}); }, image);
  check_adjoint([](const Variable& v) { return dropout(v, 0.4, Rng(1, "mask")); }, image);
}

TEST_CASE("convolution is linear in the image and in the weights", "[properties]") {
  for (const ConvCase& c : conv_cases()) {
    INFO(c.x.str() << c.w.str());
    auto conv = [&](const Tensor& x, const Tensor& w) {
      return conv2d(Variable(x), Variable(w), {}, c.o).value();
    };
    Tensor x1 = random_integers(c.x, -3, 3, 1), x2 = random_integers(c.x, -3, 3, 2);
    Tensor w1 = random_integers(c.w, -3, 3, 3), w2 = random_integers(c.w, -3, 3, 4), y = conv(x1, w1);
    CHECK(norm2(y) > 0);
    // Integers: exact.
    CHECK(identical(conv(add(scale(x1, 2), x2), w1), add(scale(y, 2), conv(x2, w1))));
    CHECK(identical(conv(x1, sub(w1, scale(w2, 3))), sub(y, scale(conv(x1, w2), 3))));
  }
}

TEST_CASE("shifting the image shifts a convolution's result away from the edges", "[properties]") {
  Tensor x = random_integers({2, 3, 12, 11}, -4, 4, 1), w = random_integers({4, 3, 3, 3}, -4, 4, 2);
  Tensor b = random_integers({4}, -4, 4, 3);
  for (int64_t stride : {1, 2}) {
    Conv2dOptions o{.kernel = 3, .stride = stride, .padding = 1};
    auto conv = [&](const Tensor& t) { return conv2d(Variable(t), Variable(w), Variable(b), o).value(); };
    // Two rows down, four columns right: one (or two) output rows at stride 2 (or 1).
    Tensor moved = cat({Tensor::zeros({2, 3, 2, 11}), slice(x, 2, 0, 10)}, 2);
    moved = cat({Tensor::zeros({2, 3, 12, 4}), slice(moved, 3, 0, 7)}, 3);
    Tensor y = conv(x), z = conv(moved);
    int64_t dy = 2 / stride, dx = 4 / stride, rows = y.dim(2) - dy - 2, cols = y.dim(3) - dx - 2;
    REQUIRE(rows > 1);
    REQUIRE(cols > 0);
    auto cut = [&](const Tensor& t, int64_t r, int64_t c) { return slice(slice(t, 2, r, rows), 3, c, cols); };
    CHECK(identical(cut(y, 1, 1), cut(z, 1 + dy, 1 + dx)));
    CHECK(norm2(cut(y, 1, 1)) > 0);
    CHECK_FALSE(identical(cut(y, 1, 1), cut(z, 1, 1)));
  }
}

TEST_CASE("permuting the images of a batch permutes the results exactly", "[properties]") {
  const std::vector<int64_t> order = {3, 0, 4, 1, 2};
  for (const LayerExample& e : layer_examples()) {
    if (e.layer == "Dropout" || (e.what.find("atch norm") != std::string::npos)) continue;
    ModulePtr m = e.make();
    initialize(*m, 5);
    m->eval();  // training statistics add up in the order of the batch
    Shape shape = e.input;
    shape[0] = 5;
    Tensor x = randn(shape, 6, DType::float32);
    INFO(e.layer << " " << e.what);
    Tensor y = (*m)(Variable(x)).value(), z = (*m)(Variable(index_rows(x, order))).value();
    CHECK(identical(index_rows(y, order), z));
    CHECK_FALSE(identical(y, z));
  }
}

TEST_CASE("padding equals zeros put around the image by hand", "[properties]") {
  Tensor x = random_integers({2, 3, 5, 6}, -4, 4, 1), w = random_integers({4, 3, 3, 3}, -4, 4, 2);
  for (int64_t p : {1, 2, 3})
    for (int64_t stride : {1, 2, 3})
      for (int64_t dilation : {1, 2}) {
        Conv2dOptions padded{.kernel = 3, .stride = stride, .padding = p, .dilation = dilation},
            plain = padded;
        plain.padding = 0;
        if (5 + 2 * p < 2 * dilation + 1) continue;
        Tensor y = conv2d(Variable(x), Variable(w), {}, padded).value();
        CHECK(identical(y, conv2d(Variable(pad(x, p)), Variable(w), {}, plain).value()));
        CHECK(norm2(y) > 0);
      }
  // Multiples of 36, so that means over windows of 1 to 9 are exact.
  Tensor even = scale(random_integers({2, 3, 6, 6}, -4, 4, 3), 36);
  CHECK(max_abs_difference(avg_pool2d(Variable(even), {.kernel = 3, .stride = 2, .padding = 1}).value(),
                           avg_pool2d(Variable(pad(even, 1)), {.kernel = 3, .stride = 2}).value()) <=
        144 * 4 * 0x1p-24);
  Tensor positive = random_integers({2, 3, 6, 6}, 1, 9, 4);  // a padding of zeros never is the maximum
  CHECK(identical(max_pool2d(Variable(positive), {.kernel = 3, .stride = 2, .padding = 1}).value(),
                  max_pool2d(Variable(pad(positive, 1)), {.kernel = 3, .stride = 2}).value()));
}

TEST_CASE("a 1x1 convolution is a matrix product over channels", "[properties]") {
  Tensor x = random_integers({2, 5, 4, 3}, -4, 4, 1), w = random_integers({6, 5, 1, 1}, -4, 4, 2);
  Tensor y = conv2d(Variable(x), Variable(w), {}, {.kernel = 1}).value();
  Tensor product = matmul(w.reshape({6, 5}), x.reshape({2, 5, 12}));  // (6, 5) x (2, 5, 12)
  CHECK(identical(y, product.reshape({2, 6, 4, 3})));
  CHECK(norm2(y) > 0);
}

TEST_CASE("a convolution as large as its image is Linear on the flattened image", "[properties]") {
  Tensor x = random_integers({3, 4, 5, 6}, -4, 4, 1), w = random_integers({7, 4, 5, 6}, -4, 4, 2);
  Tensor b = random_integers({7}, -4, 4, 3), seed = random_integers({3, 7}, -4, 4, 4);
  Variable x1(x, true), w1(w, true), b1(b, true), x2(x, true), w2(w.reshape({7, 120}), true), b2(b, true);
  Variable y1 = conv2d(x1, w1, b1, {.kernel = {5, 6}}), y2 = linear(flatten(x2), w2, b2);
  CHECK(identical(y1.value().reshape({3, 7}), y2.value()));
  y1.backward(seed.reshape({3, 7, 1, 1}));
  y2.backward(seed);
  CHECK(identical(x1.grad(), x2.grad()));
  CHECK(identical(w1.grad().reshape({7, 120}), w2.grad()));
  CHECK(identical(b1.grad(), b2.grad()));
  CHECK(norm2(x1.grad()) > 0);
}

TEST_CASE("grouped convolution equals separate convolutions side by side", "[properties]") {
  Tensor x = random_integers({2, 6, 5, 5}, -4, 4, 1), w = random_integers({9, 2, 3, 3}, -4, 4, 2);
  std::vector<Tensor> parts;
  for (int64_t g = 0; g < 3; ++g)
    parts.push_back(
        conv2d(Variable(slice(x, 1, 2 * g, 2)), Variable(slice(w, 0, 3 * g, 3)), {}, {.padding = 1}).value());
  CHECK(identical(conv2d(Variable(x), Variable(w), {}, {.padding = 1, .groups = 3}).value(), cat(parts, 1)));
}

TEST_CASE("gradients of parts of a batch add up to those of the whole", "[properties]") {
  Tensor x = random_integers({6, 3, 5, 5}, -3, 3, 1), g = random_integers({6, 4, 5, 5}, -3, 3, 2);
  Tensor w = random_integers({4, 3, 3, 3}, -3, 3, 3), b = random_integers({4}, -3, 3, 4);
  auto run = [&](const std::vector<int64_t>& sizes) {
    Variable weight(w, true), bias(b, true);
    int64_t at = 0;
    for (int64_t n : sizes) {
      conv2d(Variable(slice(x, 0, at, n)), weight, bias, {.padding = 1}).backward(slice(g, 0, at, n));
      at += n;
    }
    return std::vector<Tensor>{weight.grad(), bias.grad()};
  };
  auto whole = run({6}), parts = run({1, 3, 2});
  CHECK(identical(whole[0], parts[0]));
  CHECK(identical(whole[1], parts[1]));
  CHECK(norm2(whole[0]) > 0);
}
