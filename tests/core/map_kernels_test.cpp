// The element-wise kernels against their plain twins: at the lengths where vector loops, buffers and tasks
// end, misaligned, on every SIMD target and number of threads. Operands are small integers, so that nothing
// rounds.
#include <complex>

#include "core/kernels/reference_map.h"
#include "tests/support/kernels.h"

using namespace sigma;
using namespace sigma::kernels;
using namespace sigma::test;

namespace {

constexpr int64_t kLengths[] = {0,  1,  3,  4,   5,   7,   8,   9,   15,    16,    17,   31,
                                33, 34, 66, 130, 258, 511, 512, 513, 32767, 32768, 32769};

Walk line(int64_t n, int64_t step_a, int64_t step_b, int64_t step_c = 1) {
  Walk w;
  w.rank = 1;
  w.size[0] = n;
  w.stride[0] = {step_a, step_b, step_c};
  return w;
}
// Blocks of rows whose operands repeat in one dimension or another.
Walk walk(std::vector<int64_t> size, std::vector<Offsets> stride) {
  Walk w;
  w.rank = static_cast<int>(size.size());
  std::copy(size.begin(), size.end(), w.size.begin());
  std::copy(stride.begin(), stride.end(), w.stride.begin());
  return w;
}
std::vector<Walk> walks() {
  std::vector<Walk> all;
  for (int64_t n : kLengths) {
    all.push_back(line(n, 1, 1));
    all.push_back(line(n, 1, 0, 0));
    all.push_back(line(n, 0, 1));
  }
  all.push_back(line(1, 0, 0));
  all.push_back(walk({5, 17}, {{17, 0, 1}, {1, 1, 0}}));                              // a row
  all.push_back(walk({33, 40}, {{40, 1, 0}, {1, 0, 1}}));                             // a column
  all.push_back(walk({4, 5, 19}, {{95, 0, 5}, {0, 19, 1}, {1, 1, 0}}));               // both ways
  all.push_back(walk({3, 2, 5, 7}, {{70, 0, 0}, {0, 7, 35}, {7, 0, 0}, {1, 1, 1}}));  // four dimensions
  all.push_back(walk({700, 3, 31}, {{93, 0, 3}, {0, 31, 1}, {1, 1, 0}}));             // several tasks
  all.push_back(walk({3, 40000}, {{40000, 0, 1}, {1, 1, 0}}));                        // rows cut
  all.push_back(walk({0, 3}, {{3, 3, 3}, {1, 1, 1}}));
  all.push_back(walk({3, 0}, {{0, 0, 0}, {1, 1, 1}}));
  return all;
}
int64_t count(const Walk& w) {
  int64_t n = 1;
  for (int d = 0; d < w.rank; ++d) n *= w.size[static_cast<size_t>(d)];
  return n;
}
int64_t extent(const Walk& w, size_t operand) {
  int64_t n = 1;
  for (int d = 0; d < w.rank; ++d) {
    const auto k = static_cast<size_t>(d);
    n += std::max<int64_t>(0, w.size[k] - 1) * w.stride[k][operand];
  }
  return n;
}

// A copy whose first element is misaligned.
template <class T>
struct Shifted {
  explicit Shifted(const std::vector<T>& v) : memory(v.size() + 1) {
    std::copy(v.begin(), v.end(), memory.begin() + 1);
  }
  T* data() { return memory.data() + 1; }
  std::vector<T> values() const { return {memory.begin() + 1, memory.end()}; }
  std::vector<T> memory;
};

template <class T>
bool same(T a, T b) {
  return a == b || (a != a && b != b);
}
template <class T>
int64_t differences(const std::vector<T>& a, const std::vector<T>& b) {
  int64_t wrong = a.size() != b.size();
  for (size_t i = 0; i < a.size() && i < b.size(); ++i) wrong += !same(a[i], b[i]);
  return wrong;
}

template <class T>
void check_binary(bool ordered) {
  for (const Walk& w : walks()) {
    INFO("walk of " << w.rank << " dimensions, " << count(w) << " elements, innermost "
                    << w.size[static_cast<size_t>(w.rank - 1)]);
    auto a = integers<T>(extent(w, 0), 1, -9, 9), b = integers<T>(extent(w, 1), 2, -9, 9);
    for (T& v : b)
      if (v == T(0)) v = T(1);  // 0 / 0
    if (ordered)
      for (size_t i = 5; i < a.size(); i += 7) a[i] = std::numeric_limits<T>::quiet_NaN();
    Shifted<T> sa(a), sb(b);
    int64_t wrong = 0;
    for (Binary op : {Binary::add, Binary::sub, Binary::mul, Binary::div, Binary::maximum, Binary::minimum}) {
      if (!ordered && op > Binary::mul) continue;
      std::vector<T> want(static_cast<size_t>(count(w)));
      Shifted<T> got(nans<T>(count(w)));
      reference::map(op, w, a.data(), b.data(), want.data());
      map(op, w, sa.data(), sb.data(), got.data());
      wrong += differences(got.values(), want);
      if (w.rank == 1 && w.stride[0] == Offsets{1, 1, 1}) {
        Shifted<T> again(nans<T>(count(w)));
        map(op, w.size[0], sa.data(), sb.data(), again.data());
        wrong += differences(again.values(), want);
      }
    }
    CHECK(wrong == 0);
  }
}

template <class T>
void check_order(int low) {
  for (const Walk& w : walks()) {
    auto a = integers<T>(extent(w, 0), 1, low, 3), b = integers<T>(extent(w, 1), 2, low, 3);
    auto c = integers<uint8_t>(extent(w, 2), 3, 0, 2);
    if (std::numeric_limits<T>::has_quiet_NaN)
      for (size_t i = 5; i < a.size(); i += 7) a[i] = std::numeric_limits<T>::quiet_NaN();
    Shifted<T> sa(a), sb(b);
    int64_t wrong = 0;
    for (Comparison op :
         {Comparison::eq, Comparison::ne, Comparison::lt, Comparison::le, Comparison::gt, Comparison::ge}) {
      std::vector<uint8_t> want(static_cast<size_t>(count(w)), 7);
      Shifted<uint8_t> got(std::vector<uint8_t>(want.size(), 9));
      reference::compare(op, w, a.data(), b.data(), want.data());
      compare(op, w, sa.data(), sb.data(), got.data());
      wrong += differences(got.values(), want);
    }
    std::vector<T> want(static_cast<size_t>(count(w)));
    Shifted<T> got(want);
    reference::where(w, a.data(), b.data(), c.data(), want.data());
    where(w, sa.data(), sb.data(), c.data(), got.data());
    CHECK(wrong + differences(got.values(), want) == 0);
  }
}

template <class T>
void check_unary() {
  for (int64_t n : kLengths) {
    INFO("length " << n);
    const auto x = integers<T>(n, 4, -9, 9);
    Shifted<T> in(x);
    auto check = [&](auto kernel, auto plain) {
      std::vector<T> want;
      for (T v : x) want.push_back(T(plain(static_cast<Compute<T>>(v))));
      Shifted<T> got(nans<T>(n));
      kernel(in.data(), got.data());
      check_equal(got.values(), want);
      Shifted<T> place(x);
      kernel(place.data(), place.data());
      check_equal(place.values(), want);
    };
    for (Unary op : {Unary::neg, Unary::abs, Unary::sign, Unary::square})
      check([=](T* from, T* to) { map(op, n, from, to); },
            [=](auto v) { return static_cast<decltype(v)>(reference::apply(op, v)); });
    check([=](T* from, T* to) { clamp(n, from, -2, 5, to); },
          [](auto v) { return std::min<decltype(v)>(5, std::max<decltype(v)>(-2, v)); });
    check([=](T* from, T* to) { map_scalar(Binary::sub, n, from, 3, false, to); },
          [](auto v) { return v - 3; });
    check([=](T* from, T* to) { map_scalar(Binary::sub, n, from, 3, true, to); },
          [](auto v) { return 3 - v; });
    check([=](T* from, T* to) { power(n, from, 2, to); }, [](auto v) { return v * v; });
    check([=](T* from, T* to) { power(n, from, 3, to); }, [](auto v) { return v * v * v; });
  }
}

}  // namespace

TEST_CASE("arithmetic over every kind of walk equals the plain loops", "[kernels]") {
  on_every_machine([] { check_binary<float>(true); });
  check_binary<double>(true);
  check_binary<bfloat16>(true);
  check_binary<std::complex<float>>(false);
  check_binary<std::complex<double>>(false);
}

TEST_CASE("comparisons and choices over every kind of walk equal the plain loops", "[kernels]") {
  on_every_machine([] { check_order<float>(-3); });
  check_order<double>(-3);
  check_order<bfloat16>(-3);
  check_order<uint8_t>(0);
  check_order<int64_t>(-3);
}

TEST_CASE("functions of one value equal the plain loops", "[kernels]") {
  on_every_machine([] { check_unary<float>(); });
  check_unary<double>();
  check_unary<bfloat16>();
}

namespace {

// |got - exact| in units of the last place of the exact value.
template <class T>
double ulps(T got, long double exact) {
  if (std::isnan(exact)) return std::isnan(got) ? 0 : 1e9;
  const T rounded = static_cast<T>(exact);
  if (std::isinf(rounded) || rounded == 0) return got == rounded ? 0 : 1e9;
  int exponent = 0;
  std::frexp(rounded, &exponent);
  const int digits = std::numeric_limits<T>::digits;
  const int smallest = std::numeric_limits<T>::min_exponent;
  const long double ulp = std::ldexp(1.0L, std::max(exponent, smallest) - digits);
  return static_cast<double>(std::fabs(static_cast<long double>(got) - exact) / ulp);
}

template <class T>
std::vector<T> arguments(Unary op) {
  std::vector<T> x = {0,       T(-0.0),  1,       -1,    T(1e-30), T(-1e-30),
                      T(88.5), T(-87.5), T(-103), T(89), T(200),   T(-200)};
  for (T special :
       {std::numeric_limits<T>::infinity(), -std::numeric_limits<T>::infinity(),
        std::numeric_limits<T>::quiet_NaN(), std::numeric_limits<T>::max(), std::numeric_limits<T>::lowest(),
        std::numeric_limits<T>::min(), std::numeric_limits<T>::denorm_min()})
    x.push_back(special);
  Rng rng(7, "arguments");
  for (int i = 0; i < 20000; ++i) {
    const double u = rng.next_uniform();
    x.push_back(static_cast<T>(op == Unary::log || op == Unary::sqrt ? std::exp(160 * u - 80) : 24 * u - 12));
    x.push_back(static_cast<T>((2 * u - 1) * std::exp(40 * rng.next_uniform() - 39)));
  }
  return x;
}

template <class T>
void check_accuracy(double bound) {
  for (Unary op : {Unary::sqrt, Unary::exp, Unary::log, Unary::tanh, Unary::sigmoid}) {
    const std::vector<T> x = arguments<T>(op);
    std::vector<T> y(x.size());
    map(op, static_cast<int64_t>(x.size()), x.data(), y.data());
    double worst = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const double off = ulps(y[i], reference::apply(op, static_cast<long double>(x[i])));
      if (off > worst) UNSCOPED_INFO("operation " << static_cast<int>(op) << " of " << x[i] << ": " << y[i]);
      worst = std::max(worst, off);
    }
    CHECK(worst <= bound);
  }
}

}  // namespace

// The C library's are within 0.6 ulp but for tanh, of which it promises 2.
TEST_CASE("roots, exponentials and logarithms are exact to the last place", "[kernels]") {
  on_every_machine([] { check_accuracy<float>(0.501); });
  check_accuracy<double>(2.5);
}

TEST_CASE("exponentials and logarithms give the same bits on every machine and at every place", "[kernels]") {
  for (Unary op : {Unary::exp, Unary::log, Unary::tanh, Unary::sigmoid}) {
    const std::vector<float> x = arguments<float>(op);
    std::vector<float> first(x.size());
    map(op, static_cast<int64_t>(x.size()), x.data(), first.data());
    on_every_machine([&] {
      for (size_t shift : {0u, 1u, 5u, 12u}) {
        const auto n = static_cast<int64_t>(x.size() - shift);
        std::vector<float> y(x.size());
        map(op, n, x.data() + shift, y.data());
        int64_t wrong = 0;
        for (size_t i = 0; i + shift < x.size(); ++i) wrong += !same(y[i], first[i + shift]);
        CHECK(wrong == 0);
      }
    });
  }
}

// The pool flushes denormal numbers to zero; a result must not depend on whether it was computed there.
TEST_CASE("denormal numbers survive, in tasks as outside", "[kernels]") {
  const double tiny = 1e-310;
  for (int64_t n : {10, 100000}) {
    std::vector<double> x(static_cast<size_t>(n), tiny), y(x.size());
    map(Binary::sub, line(n, 1, 1), x.data(), std::vector<double>(x.size(), 2 * tiny).data(), y.data());
    CHECK(y.front() == -tiny);
    CHECK(y.back() == -tiny);
    map_scalar(Binary::mul, n, x.data(), 0.5, false, y.data());
    CHECK(y.back() == 0.5 * tiny);
    double total = 0;
    sum(1, n, 1, x.data(), &total);
    CHECK(total > 0.99 * tiny * static_cast<double>(n));
  }
}
