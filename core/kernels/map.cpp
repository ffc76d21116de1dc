#include "core/kernels/map.h"

#include <cmath>
#include <complex>

#include "core/kernels/simd_table.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernels/map.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#ifndef SIGMA_MAP_TABLE
#define SIGMA_MAP_TABLE
namespace sigma::kernels {
template <class X>
using UnaryLoop = void (*)(int64_t n, const X* x, X* y);
template <class X, class Y = X>
using BinaryLoop = void (*)(int64_t n, const X* a, const X* b, Y* y);

// One loop an operation, over operands that lie one after another.
template <class X>
struct ArithmeticTable {
  UnaryLoop<X> unary[5];    // Unary::neg to square
  BinaryLoop<X> binary[6];  // Binary::add to minimum
  void (*clamp)(int64_t n, const X* x, X low, X high, X* y);
};
template <class X>
struct CompareTable {
  BinaryLoop<X, uint8_t> compare[4];  // Comparison::eq to le; the others are these with operands swapped
};
struct ConvertTable {
  void (*widen)(int64_t n, const bfloat16* x, float* y);
  void (*round)(int64_t n, const float* x, bfloat16* y);
};
}  // namespace sigma::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace sigma::kernels::HWY_NAMESPACE {
namespace {

#define SIGMA_UNARY(name, expression)      \
  template <class T>                       \
  void name(int64_t n, const T* x, T* y) { \
    for (int64_t i = 0; i < n; ++i) {      \
      const T v = x[i];                    \
      y[i] = static_cast<T>(expression);   \
    }                                      \
  }
SIGMA_UNARY(neg, -v)
SIGMA_UNARY(absolute, std::fabs(v))
SIGMA_UNARY(sign, static_cast<int>(v > 0) - static_cast<int>(v < 0))
SIGMA_UNARY(root, std::sqrt(v))
SIGMA_UNARY(square, v* v)
#undef SIGMA_UNARY

#define SIGMA_BINARY(name, Y, expression)              \
  template <class T>                                   \
  void name(int64_t n, const T* a, const T* b, Y* y) { \
    for (int64_t i = 0; i < n; ++i) {                  \
      const T u = a[i];                                \
      const T v = b[i];                                \
      y[i] = expression;                               \
    }                                                  \
  }
SIGMA_BINARY(add, T, u + v)
SIGMA_BINARY(sub, T, u - v)
SIGMA_BINARY(mul, T, u* v)
SIGMA_BINARY(div, T, u / v)
SIGMA_BINARY(maximum, T, u > v || u != u ? u : v)
SIGMA_BINARY(minimum, T, u < v || u != u ? u : v)
SIGMA_BINARY(eq, uint8_t, u == v)
SIGMA_BINARY(ne, uint8_t, u != v)
SIGMA_BINARY(lt, uint8_t, u < v)
SIGMA_BINARY(le, uint8_t, u <= v)
#undef SIGMA_BINARY

template <class T>
void clamp(int64_t n, const T* x, T low, T high, T* y) {
  for (int64_t i = 0; i < n; ++i) {
    const T up = x[i] < low ? low : x[i];
    y[i] = up > high ? high : up;
  }
}

void widen(int64_t n, const bfloat16* x, float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = static_cast<float>(x[i]);
}
void round(int64_t n, const float* x, bfloat16* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = bfloat16(x[i]);
}

template <class T>
ArithmeticTable<T> arithmetic() {
  return {{neg<T>, absolute<T>, sign<T>, root<T>, square<T>},
          {add<T>, sub<T>, mul<T>, div<T>, maximum<T>, minimum<T>},
          clamp<T>};
}
template <class T>
CompareTable<T> comparisons() {
  return {{eq<T>, ne<T>, lt<T>, le<T>}};
}
SimdTables<ArithmeticTable, float, double> arithmetic_tables() {
  return {arithmetic<float>(), arithmetic<double>()};
}
SimdTables<CompareTable, float, double, uint8_t, int64_t> compare_tables() {
  return {comparisons<float>(), comparisons<double>(), comparisons<uint8_t>(), comparisons<int64_t>()};
}
ConvertTable convert_table() { return {widen, round}; }

}  // namespace
}  // namespace sigma::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sigma::kernels {
namespace {

HWY_EXPORT(arithmetic_tables);
HWY_EXPORT(compare_tables);
HWY_EXPORT(convert_table);
template <class X>
ArithmeticTable<X> arithmetic() {
  return HWY_DYNAMIC_DISPATCH(arithmetic_tables)();
}
template <class X>
CompareTable<X> comparisons() {
  return HWY_DYNAMIC_DISPATCH(compare_tables)();
}

constexpr int64_t kChunk = 512;  // elements of a buffer on the stack

// Complex arithmetic gains nothing from vectors here. C's rules for infinities hold.
template <class X>
X complex_operation(Binary op, X a, X b) {
  switch (op) {
    case Binary::add:
      return a + b;
    case Binary::sub:
      return a - b;
    case Binary::mul:
      return a * b;
    default:
      return a / b;
  }
}
template <class X>
inline constexpr bool kComplex = false;
template <class R>
inline constexpr bool kComplex<std::complex<R>> = true;

// Values in the type that is computed with: where they lie, or widened into a buffer.
template <class T>
const T* widened(int64_t, const T* x, T*) {
  return x;
}
const float* widened(int64_t n, const bfloat16* x, float* buffer) {
  HWY_DYNAMIC_DISPATCH(convert_table)().widen(n, x, buffer);
  return buffer;
}
// Calls fn(to) with a place for n results of type T, and brings them to y.
template <class T, class Fn>
void into(int64_t, T* y, Fn&& fn) {
  fn(y);
}
template <class Fn>
void into(int64_t n, bfloat16* y, Fn&& fn) {
  float buffer[kChunk];
  fn(buffer);
  HWY_DYNAMIC_DISPATCH(convert_table)().round(n, buffer, y);
}

// A row of an operand: elements from p on, or one value again and again where p is null.
template <class X>
struct Row {
  const X* p;
  Compute<X> value;
};
template <class X>
Row<X> row_of(const X* p, int64_t step) {
  if (step == 0) return {nullptr, static_cast<Compute<X>>(*p)};
  return {p, {}};
}

// y = loop(a, b), in pieces where values have to be laid out or converted first.
template <class X, class Y, class Loop>
void each_pair(int64_t n, Row<X> a, Row<X> b, Y* y, Loop&& loop) {
  using T = Compute<X>;
  if constexpr (std::is_same_v<X, T>)
    if (a.p && b.p) return loop(n, a.p, b.p, y);
  T wide_a[kChunk];
  T wide_b[kChunk];
  if (!a.p) std::fill_n(wide_a, std::min(n, kChunk), a.value);
  if (!b.p) std::fill_n(wide_b, std::min(n, kChunk), b.value);
  for (int64_t i = 0; i < n; i += kChunk) {
    const int64_t count = std::min(kChunk, n - i);
    const T* pa = a.p ? widened(count, a.p + i, wide_a) : wide_a;
    const T* pb = b.p ? widened(count, b.p + i, wide_b) : wide_b;
    into(count, y + i, [&](auto* to) { loop(count, pa, pb, to); });
  }
}

// y = loop(x), in pieces for bfloat16.
template <class X, class Loop>
void each_value(int64_t n, const X* x, X* y, Loop&& loop) {
  using T = Compute<X>;
  each_range(n, [&](int64_t begin, int64_t end) {
    if constexpr (std::is_same_v<X, T>) {
      loop(end - begin, x + begin, y + begin);
    } else {
      T wide[kChunk];
      for (int64_t i = begin; i < end; i += kChunk) {
        const int64_t count = std::min(kChunk, end - i);
        into(count, y + i, [&](T* to) { loop(count, widened(count, x + i, wide), to); });
      }
    }
  });
}

// The loop of an operation over values of type T.
template <class T>
auto binary_loop(Binary op) {
  if constexpr (kComplex<T>)
    return [op](int64_t n, const T* a, const T* b, T* y) {
      for (int64_t i = 0; i < n; ++i) y[i] = complex_operation(op, a[i], b[i]);
    };
  else
    return arithmetic<T>().binary[static_cast<size_t>(op)];
}

// Calls fn(row of a, row of b, row length, first element of the result) for every row of a walk.
template <class X, class Fn>
void each_row(const Walk& w, const X* a, const X* b, Fn&& fn) {
  each_block(w, [&](const Block& k) {
    for (int64_t r = 0; r < k.rows; ++r)
      fn(row_of(a + k.from[0] + r * k.row[0], k.step[0]), row_of(b + k.from[1] + r * k.row[1], k.step[1]),
         k.n, k.to + r * k.n);
  });
}

}  // namespace

// Those of map_math.cpp.
template <class X>
void map_transcendental(Unary op, int64_t n, const X* x, X* y);

template <class X>
void map(Unary op, int64_t n, const X* x, X* y) {
  if constexpr (kComplex<X>) {
    each_value(n, x, y, [op](int64_t count, const X* from, X* to) {
      for (int64_t i = 0; i < count; ++i) to[i] = op == Unary::neg ? -from[i] : from[i] * from[i];
    });
  } else {
    if (op >= Unary::exp) return map_transcendental(op, n, x, y);
    each_value(n, x, y, arithmetic<Compute<X>>().unary[static_cast<size_t>(op)]);
  }
}

template <class X>
void clamp(int64_t n, const X* x, Compute<X> low, Compute<X> high, X* y) {
  using T = Compute<X>;
  auto loop = arithmetic<T>().clamp;
  each_value(n, x, y, [=](int64_t count, const T* from, T* to) { loop(count, from, low, high, to); });
}

template <class X>
void map(Binary op, const Walk& w, const X* a, const X* b, X* y) {
  auto loop = binary_loop<Compute<X>>(op);
  each_row(w, a, b, [&](Row<X> ra, Row<X> rb, int64_t n, int64_t to) { each_pair(n, ra, rb, y + to, loop); });
}

template <class X>
void map(Binary op, int64_t n, const X* a, const X* b, X* y) {
  auto loop = binary_loop<Compute<X>>(op);
  each_range(n, [&](int64_t i, int64_t end) {
    each_pair(end - i, Row<X>{a + i, {}}, Row<X>{b + i, {}}, y + i, loop);
  });
}

template <class X>
void map_scalar(Binary op, int64_t n, const X* x, Compute<X> s, bool scalar_first, X* y) {
  auto loop = binary_loop<Compute<X>>(op);
  each_range(n, [&](int64_t i, int64_t end) {
    const Row<X> row{x + i, {}};
    const Row<X> scalar{nullptr, s};
    each_pair(end - i, scalar_first ? scalar : row, scalar_first ? row : scalar, y + i, loop);
  });
}

template <class X>
void compare(Comparison op, const Walk& w, const X* a, const X* b, uint8_t* y) {
  const bool swapped = op == Comparison::gt || op == Comparison::ge;  // a > b is b < a
  const Comparison plain = op == Comparison::gt ? Comparison::lt : swapped ? Comparison::le : op;
  auto loop = comparisons<Compute<X>>().compare[static_cast<size_t>(plain)];
  each_row(w, a, b, [&](Row<X> ra, Row<X> rb, int64_t n, int64_t to) {
    each_pair(n, swapped ? rb : ra, swapped ? ra : rb, y + to, loop);
  });
}

// Moves bytes about: the compiler's plain loop is as fast as any.
template <class X>
void where(const Walk& w, const X* a, const X* b, const uint8_t* condition, X* y) {
  each_block(w, [&](const Block& k) {
    for (int64_t r = 0; r < k.rows; ++r) {
      const uint8_t* c = condition + k.from[2] + r * k.row[2];
      const X* pa = a + k.from[0] + r * k.row[0];
      const X* pb = b + k.from[1] + r * k.row[1];
      X* to = y + k.to + r * k.n;
      for (int64_t i = 0; i < k.n; ++i) to[i] = c[i * k.step[2]] ? pa[i * k.step[0]] : pb[i * k.step[1]];
    }
  });
}

#define SIGMA_INSTANTIATE(X)                                                 \
  template void map(Unary, int64_t, const X*, X*);                           \
  template void map(Binary, const Walk&, const X*, const X*, X*);            \
  template void map(Binary, int64_t, const X*, const X*, X*);                \
  template void map_scalar(Binary, int64_t, const X*, Compute<X>, bool, X*); \
  template void where(const Walk&, const X*, const X*, const uint8_t*, X*);
SIGMA_INSTANTIATE(float)
SIGMA_INSTANTIATE(double)
SIGMA_INSTANTIATE(bfloat16)
SIGMA_INSTANTIATE(std::complex<float>)
SIGMA_INSTANTIATE(std::complex<double>)
#undef SIGMA_INSTANTIATE
#define SIGMA_INSTANTIATE(X) template void compare(Comparison, const Walk&, const X*, const X*, uint8_t*);
SIGMA_INSTANTIATE(float)
SIGMA_INSTANTIATE(double)
SIGMA_INSTANTIATE(bfloat16)
SIGMA_INSTANTIATE(uint8_t)
SIGMA_INSTANTIATE(int64_t)
#undef SIGMA_INSTANTIATE
template void where(const Walk&, const uint8_t*, const uint8_t*, const uint8_t*, uint8_t*);
template void where(const Walk&, const int64_t*, const int64_t*, const uint8_t*, int64_t*);
template void clamp(int64_t, const float*, float, float, float*);
template void clamp(int64_t, const double*, double, double, double*);
template void clamp(int64_t, const bfloat16*, float, float, bfloat16*);

}  // namespace sigma::kernels
#endif
