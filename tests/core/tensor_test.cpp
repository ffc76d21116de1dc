// Tensors and the arithmetic on them, against naive loops over written indices.
#include <cmath>
#include <limits>

#include "core/math.h"
#include "tests/support/support.h"

using namespace sigma;
using test::error_of;
using test::random_integers;

namespace {

const double kNaN = std::numeric_limits<double>::quiet_NaN();

[[maybe_unused]] ErrorKind kind_of(const std::function<void()>& fn) {
  try {
    fn();
  } catch (const Error& e) { return e.kind(); }
  FAIL("expected an error");
  return ErrorKind::internal;
}

// Calls fn(index) for every index of `shape`, last dimension fastest.
void each_index(const Shape& shape, const std::function<void(const std::vector<int64_t>&)>& fn) {
  std::vector<int64_t> index(static_cast<size_t>(shape.rank()), 0);
  for (int64_t k = 0; k < shape.numel(); ++k) {
    int64_t rest = k;
    for (int d = shape.rank() - 1; d >= 0; --d) {
      index[static_cast<size_t>(d)] = rest % shape[d];
      rest /= shape[d];
    }
    fn(index);
  }
}

// The element of `t` that broadcasting pairs with `index`.
double stretched(const Tensor& t, const std::vector<int64_t>& index) {
  std::vector<int64_t> own(index.end() - t.rank(), index.end());
  for (int d = 0; d < t.rank(); ++d)
    if (t.shape()[d] == 1) own[static_cast<size_t>(d)] = 0;
  return t.at(own);
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("element types have their sizes and names", "[tensor]") {
  CHECK(size_of(DType::float32) == 4);
  CHECK(size_of(DType::float64) == 8);
  CHECK(size_of(DType::uint8) == 1);
  CHECK(size_of(DType::int64) == 8);
  CHECK(std::string(name_of(DType::uint8)) == "uint8");
  Tensor t = Tensor::from<int64_t>({-3, 0, 200}, {3});
  CHECK(t.to(DType::float64).to_vector() == std::vector<double>{-3, 0, 200});
  CHECK(t.to(DType::int64).shares_storage(t));
  CHECK(Tensor::full({2}, 200, DType::uint8).to_vector() == std::vector<double>{200, 200});
}

TEST_CASE("reading a tensor as another type is an error that names both", "[tensor]") {
  Tensor t = Tensor::zeros({2, 2});
  std::string message = error_of([&] { t.data<double>(); });
  CHECK(contains(message, "float64"));
  CHECK(contains(message, "float32"));
  CHECK(contains(error_of([] { Tensor().data<float>(); }), "undefined"));
}

TEST_CASE("sizes that overflow 64 bits are refused", "[tensor]") {
  const int64_t big = int64_t{1} << 40;
  CHECK(contains(error_of([&] { Tensor::empty({big, big}); }), "does not fit 64 bits"));
  // The number of elements fits, the number of bytes does not.
  CHECK(
      contains(error_of([] { Tensor::empty({int64_t{1} << 61}, DType::float64); }), "does not fit 64 bits"));
  // Wraps around to a small positive product in 64 bits.
  CHECK(contains(error_of([] {
                   Shape({4194305, 4194305, 211106198978564}).numel();
                 }),
                 "does not fit 64 bits"));
  CHECK(contains(error_of([] { Shape({2, -1}); }), "-1"));
  CHECK(contains(error_of([] { Shape({1, 1, 1, 1, 1, 1, 1, 1, 1}); }), "at most 8"));
  if (kSanitized) return;  // its allocator ends the program instead of returning null
  CHECK(kind_of([] { Tensor::empty({int64_t{1} << 50}); }) == ErrorKind::memory);
  CHECK(contains(error_of([] { Tensor::empty({int64_t{1} << 50}); }), "(1125899906842624)"));
}

TEST_CASE("reshape infers one size and shares the storage", "[tensor]") {
  Tensor t = random_integers({2, 3, 4}, -5, 5, 1);
  Tensor r = t.reshape({-1, 6});
  CHECK(r.shape() == Shape{4, 6});
  CHECK(r.shares_storage(t));
  CHECK(r.to_vector() == t.to_vector());
  CHECK(t.reshape({24}).shape() == Shape{24});
  CHECK(Tensor::scalar(3).reshape({1, 1}).at({0, 0}) == 3);
  CHECK(contains(error_of([&] { t.reshape({5, -1}); }), "[reshape]"));
  CHECK(contains(error_of([&] { t.reshape({-1, -1}); }), "at most one -1"));
  CHECK(contains(error_of([&] { t.reshape({5, 5}); }), "(2, 3, 4)"));
  CHECK_THROWS_AS(t.reshape({24, -2}), Error);
  CHECK_THROWS_AS(Tensor::zeros({0, 3}).reshape({0, -1}), Error);
}

TEST_CASE("a tensor goes to channels last and back without loss", "[tensor]") {
  for (DType dtype : {DType::float32, DType::float64, DType::uint8, DType::int64})
    for (Shape shape : {Shape{2, 3, 4, 5}, {1, 17, 33, 1}, {3, 1, 2, 2}, {0, 3, 2, 2}, {2, 0, 3, 3}}) {
      Tensor t = random_integers(shape, 0, 200, 7, dtype), last = t.to(Layout::channels_last);
      CHECK(last.layout() == Layout::channels_last);
      CHECK(identical(last.contiguous(), t));
      CHECK(identical(t, last));
      CHECK(last.to_vector() == t.to_vector());
      int64_t wrong = 0;
      each_index(shape, [&](const std::vector<int64_t>& i) { wrong += last.at(i) != t.at(i); });
      CHECK(wrong == 0);
    }
  // Channels vary fastest in storage.
  Tensor t = Tensor::from<float>({0, 1, 2, 3, 4, 5, 6, 7}, {1, 2, 2, 2}).to(Layout::channels_last);
  CHECK(std::vector<float>(t.data<float>(), t.data<float>() + 8) ==
        std::vector<float>{0, 4, 1, 5, 2, 6, 3, 7});
  CHECK(t.reshape({8}).to_vector() == std::vector<double>{0, 1, 2, 3, 4, 5, 6, 7});
  CHECK(contains(error_of([] { Tensor::zeros({2, 2}).to(Layout::channels_last); }), "4 dimensions"));
}

TEST_CASE("elements are read by index and out of range is an error", "[tensor]") {
  Tensor t = random_integers({2, 3}, -9, 9, 3);
  CHECK(t.at({1, 2}) == t.to_vector()[5]);
  CHECK(contains(error_of([&] { t.at({0, 5}); }), "(2, 3)"));
  CHECK_THROWS_AS(t.at({-1, 2}), Error);
  CHECK_THROWS_AS(t.at({2, 0}), Error);
  CHECK_THROWS_AS(t.at({1}), Error);
  CHECK_THROWS_AS(t.item(), Error);
  CHECK_THROWS_AS(t.dim(2), Error);
  CHECK(t.dim(-1) == 3);
  CHECK(contains(Tensor::full({2}, 1.5).str(), "(2), float32, [1.5, 1.5]"));
}

TEST_CASE("broadcast arithmetic matches a naive loop", "[tensor]") {
  const std::vector<std::pair<Shape, Shape>> pairs = {
      {{3, 4}, {3, 4}}, {{3, 4}, {4}},          {{3, 4}, {3, 1}},          {{1}, {3, 4}},
      {{}, {2, 3}},     {{2, 1, 4}, {3, 1}},    {{5, 1, 1}, {1, 1, 6}},    {{2, 3, 4, 5}, {3, 1, 1}},
      {{0, 3}, {3}},    {{2, 3, 1}, {2, 3, 0}}, {{2, 1, 3, 1}, {4, 1, 5}}, {{1, 1}, {1}}};
  using Op = Tensor (*)(const Tensor&, const Tensor&);
  struct Case {
    const char* name;
    Op op;
    double (*naive)(double, double);
  };
  const Case cases[] = {{"add", add, [](double x, double y) { return x + y; }},
                        {"sub", sub, [](double x, double y) { return x - y; }},
                        {"mul", mul, [](double x, double y) { return x * y; }},
                        {"div", div, [](double x, double y) { return x / y; }}};
  for (auto& [sa, sb] : pairs)
    for (const Case& c : cases)
      for (bool swap : {false, true}) {
        INFO(c.name << sa.str() << sb.str());
        Tensor a = random_integers(swap ? sb : sa, 1, 9, 1, DType::float64);
        Tensor b = random_integers(swap ? sa : sb, 1, 9, 2, DType::float64), y = c.op(a, b);
        int64_t wrong = 0;
        each_index(y.shape(), [&](const std::vector<int64_t>& i) {
          wrong += y.at(i) != c.naive(stretched(a, i), stretched(b, i));
        });
        CHECK(wrong == 0);
        CHECK(y.rank() == std::max(a.rank(), b.rank()));
      }
  CHECK(contains(error_of([] {
                   add(Tensor::zeros({2, 3}), Tensor::zeros({2}));
                 }),
                 "[add] shapes (2, 3) and (2)"));
  CHECK(contains(error_of([] { mul(Tensor::zeros({2}), Tensor::zeros({2}, DType::float64)); }), "one dtype"));
  CHECK(contains(error_of([] { mul(Tensor::zeros({2}, DType::uint8), Tensor::zeros({2}, DType::uint8)); }),
                 "expected float32 or float64, got uint8"));
}

TEST_CASE("operands of different layouts are paired by written index", "[tensor]") {
  Tensor a = random_integers({2, 3, 4, 5}, -9, 9, 1), b = random_integers({2, 3, 4, 5}, -9, 9, 2);
  Tensor c = random_integers({3, 1, 1}, -9, 9, 3), al = a.to(Layout::channels_last);
  CHECK(identical(add(al, b), add(a, b)));
  CHECK(identical(sub(b, al), sub(b, a)));
  CHECK(identical(mul(al, c), mul(a, c)));
  CHECK(identical(sum(al, {1}), sum(a, {1})));
  CHECK(identical(permute(al, {3, 0, 1, 2}), permute(a, {3, 0, 1, 2})));
  CHECK(identical(slice(al, 1, 1, 2), slice(a, 1, 1, 2)));
  CHECK(identical(cat({al, b}, 2), cat({a, b}, 2)));
  CHECK(identical(index_rows(al, {1, 0, 1}), index_rows(a, {1, 0, 1})));
  Tensor into = al.clone();
  add_(into, b);
  CHECK(identical(into, add(a, b)));
}

TEST_CASE("broadcasting to a shape and summing back are exact and refuse what does not fit", "[tensor]") {
  Tensor a = random_integers({3, 1}, -9, 9, 4, DType::float64), y = broadcast_to(a, {2, 3, 5});
  CHECK(y.shape() == Shape{2, 3, 5});
  CHECK(y.at({1, 2, 4}) == a.at({2, 0}));
  CHECK(identical(sum_to(y, {3, 1}), scale(a, 10)));
  CHECK_THROWS_AS(broadcast_to(Tensor::zeros({2, 3}), {3}), Error);
  CHECK_THROWS_AS(broadcast_to(Tensor::zeros({2}), {1}), Error);
  CHECK_THROWS_AS(sum_to(Tensor::zeros({2, 3}), {2}), Error);
}

TEST_CASE("reductions match naive sums over every choice of dimensions", "[tensor]") {
  Tensor a = random_integers({2, 3, 1, 4}, -9, 9, 5);
  for (int mask = 1; mask < 16; ++mask)
    for (bool keep : {false, true}) {
      std::vector<int> dims;
      Shape out, kept;
      for (int d = 0; d < 4; ++d) {
        bool reduced = mask >> d & 1;
        if (reduced) dims.push_back(d % 2 ? d - 4 : d);
        kept.push_back(reduced ? 1 : a.shape()[d]);
        if (!reduced || keep) out.push_back(kept[d]);
      }
      Tensor expected = Tensor::zeros(kept, DType::float64), y = sum(a, dims, keep);
      double* e = expected.mutable_data<double>();
      each_index(a.shape(), [&](const std::vector<int64_t>& i) {
        int64_t at = 0;
        for (int d = 0; d < 4; ++d) at = at * kept[d] + (kept[d] == 1 ? 0 : i[static_cast<size_t>(d)]);
        e[at] += a.at(i);
      });
      CHECK(y.shape() == out);
      CHECK(y.to_vector() == expected.to_vector());
      double count = static_cast<double>(a.numel()) / static_cast<double>(y.numel());
      // One rounding of 1/count and one of the product in float32.
      CHECK(max_abs_difference(scale(mean(a, dims, keep), count), y) <= 4 * 0x1p-24 * 90);
    }
  CHECK(sum(a).item() == sum(a.reshape({-1}), {0}).item());
  CHECK(sum(Tensor::zeros({3, 0}), {1}).to_vector() == std::vector<double>{0, 0, 0});
  CHECK(std::isnan(mean(Tensor::zeros({0})).item()));
  // Accumulated in float64: float32 would stop growing at 2^24.
  CHECK(sum(Tensor::full({1 << 25}, 1)).item() == 0x1p25);
  CHECK_THROWS_AS(sum(a, {4}), Error);
}

TEST_CASE("max and argmax take the first of equals and let a NaN win", "[tensor]") {
  Tensor t = Tensor::from<double>({1, 7, 7, -2, kNaN, 9, kNaN, 3, 5, 5, 4, 5}, {3, 4});
  CHECK(argmax(t, 1).to_vector() == std::vector<double>{1, 0, 0});
  CHECK(argmax(t, 0).to_vector() == std::vector<double>{1, 1, 1, 2});
  Tensor m = amax(t, {1}, true);
  CHECK(m.shape() == Shape{3, 1});
  CHECK(m.at({0, 0}) == 7);
  CHECK(std::isnan(m.at({1, 0})));
  CHECK(max(t, -1).values.at({2}) == 5);
  CHECK(contains(error_of([] { max(Tensor::zeros({2, 0}), 1); }), "(2, 0)"));
  CHECK_THROWS_AS(argmax(Tensor::zeros({0}), 0), Error);
}

TEST_CASE("matmul multiplies matrices and batches of them", "[tensor]") {
  const std::vector<std::pair<Shape, Shape>> pairs = {
      {{3, 4}, {4, 5}},        {{2, 3, 4}, {2, 4, 5}}, {{2, 3, 4}, {4, 5}},          {{3, 4}, {2, 4, 5}},
      {{1, 1}, {1, 1}},        {{3, 0}, {0, 2}},       {{2, 2, 3, 4}, {2, 2, 4, 1}}, {{0, 3}, {3, 2}},
      {{150, 140}, {140, 130}}};
  for (auto& [sa, sb] : pairs)
    for (DType dtype : {DType::float32, DType::float64}) {
      INFO(sa.str() << sb.str());
      Tensor a = random_integers(sa, -5, 5, 1, dtype), b = random_integers(sb, -5, 5, 2, dtype),
             y = matmul(a, b);
      std::vector<double> va = a.to_vector(), vb = b.to_vector(), vy = y.to_vector();
      int64_t m = sa[-2], k = sa[-1], n = sb[-1], batch = m * n > 0 ? y.numel() / (m * n) : 0, wrong = 0;
      for (int64_t i = 0; i < batch; ++i)
        for (int64_t r = 0; r < m; ++r)
          for (int64_t c = 0; c < n; ++c) {
            double s = 0;
            for (int64_t p = 0; p < k; ++p)
              s += va[static_cast<size_t>((sa.rank() == 2 ? 0 : i * m * k) + r * k + p)] *
                   vb[static_cast<size_t>((sb.rank() == 2 ? 0 : i * k * n) + p * n + c)];
            wrong += vy[static_cast<size_t>((i * m + r) * n + c)] != s;
          }
      CHECK(wrong == 0);
      CHECK(y.dim(-1) == n);
      CHECK(y.dim(-2) == m);
    }
  CHECK(contains(error_of([] {
                   matmul(Tensor::zeros({2, 3}), Tensor::zeros({2, 3}));
                 }),
                 "cannot multiply (2, 3) by (2, 3)"));
  CHECK_THROWS_AS(matmul(Tensor::zeros({2, 2, 3}), Tensor::zeros({3, 3, 3})), Error);
  CHECK_THROWS_AS(matmul(Tensor::zeros({3}), Tensor::zeros({3, 3})), Error);
}

TEST_CASE("permute, transpose, slice, cat and index_rows move elements to where they belong", "[tensor]") {
  Tensor a = random_integers({2, 3, 4}, 0, 100, 6, DType::int64);
  Tensor p = permute(a, {2, 0, -2});
  CHECK(p.shape() == Shape{4, 2, 3});
  int64_t wrong = 0;
  each_index(a.shape(), [&](const std::vector<int64_t>& i) { wrong += p.at({i[2], i[0], i[1]}) != a.at(i); });
  CHECK(wrong == 0);
  CHECK(identical(permute(p, {1, 2, 0}), a));
  CHECK(identical(transpose(transpose(a, 0, -1), 0, 2), a));
  CHECK(identical(cat({slice(a, 1, 0, 1), slice(a, 1, 1, 0), slice(a, -2, 1, 2)}, 1), a));
  CHECK(slice(a, 2, 1, 2).at({1, 2, 0}) == a.at({1, 2, 1}));
  CHECK(identical(index_rows(a, {1, 0}), cat({slice(a, 0, 1, 1), slice(a, 0, 0, 1)}, 0)));
  CHECK(index_rows(a, {}).shape() == Shape{0, 3, 4});
  CHECK(contains(error_of([&] { permute(a, {0, 0, 1}); }), "named twice"));
  CHECK(contains(error_of([&] { slice(a, 1, 2, 2); }), "2 elements from 2"));
  CHECK_THROWS_AS(slice(a, 1, std::numeric_limits<int64_t>::max(), 1), Error);
  CHECK_THROWS_AS(slice(a, 1, -1, 1), Error);
  CHECK(contains(error_of([&] { index_rows(a, {2}); }), "row 2 is outside 0..1"));
  CHECK_THROWS_AS(cat({a, slice(a, 2, 0, 1)}, 1), Error);
  CHECK_THROWS_AS(cat({}, 0), Error);
}

TEST_CASE("pointwise functions match the standard library", "[tensor]") {
  Tensor x = Tensor::from<double>({0.25, 1, 2.5, 9}, {4}), n = Tensor::from<double>({-2, 0, 3, -0.5}, {4});
  for (int64_t i = 0; i < 4; ++i) {
    double v = x.at({i});
    CHECK(exp(x).at({i}) == std::exp(v));
    CHECK(log(x).at({i}) == std::log(v));
    CHECK(sqrt(x).at({i}) == std::sqrt(v));
    CHECK(pow(x, 1.5).at({i}) == std::pow(v, 1.5));
  }
  CHECK(abs(n).to_vector() == std::vector<double>{2, 0, 3, 0.5});
  CHECK(sign(n).to_vector() == std::vector<double>{-1, 0, 1, -1});
  CHECK(neg(n).to_vector() == scale(n, -1).to_vector());
  CHECK(norm2(Tensor::from<float>({3, 4}, {2})) == 5);
  CHECK(all_finite(n));
  CHECK_FALSE(all_finite(div(n, Tensor::zeros({4}, DType::float64))));
  CHECK(std::isnan(max_abs_difference(n, Tensor::full({4}, kNaN, DType::float64))));
}
