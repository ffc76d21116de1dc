// Plain twins of map.h and reduce.h: one loop each, no blocking, no threads, no SIMD.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "core/kernels/map.h"
#include "core/kernels/reduce.h"

namespace sigma::kernels::reference {

// Calls fn(result's element, operands' elements) for every element of a walk, by its definition.
template <class Fn>
void each_element(const Walk& w, Fn&& fn) {
  int64_t count = 1;
  for (int d = 0; d < w.rank; ++d) count *= w.size[static_cast<size_t>(d)];
  for (int64_t i = 0; i < count; ++i) {
    Offsets from{};
    int64_t rest = i;
    for (int d = w.rank - 1; d >= 0; --d) {
      const auto k = static_cast<size_t>(d);
      for (size_t operand = 0; operand < from.size(); ++operand)
        from[operand] += rest % w.size[k] * w.stride[k][operand];
      rest /= w.size[k];
    }
    fn(i, from);
  }
}

template <class T>
T apply(Binary op, T a, T b) {
  switch (op) {
    case Binary::add:
      return a + b;
    case Binary::sub:
      return a - b;
    case Binary::mul:
      return a * b;
    case Binary::div:
      return a / b;
    case Binary::maximum:
      if constexpr (std::is_floating_point_v<T>)
        return std::isnan(a) ? a : std::isnan(b) ? b : std::max(a, b);
      break;
    case Binary::minimum:
      if constexpr (std::is_floating_point_v<T>)
        return std::isnan(a) ? a : std::isnan(b) ? b : std::min(a, b);
      break;
  }
  return a;
}
template <class X>
void map(Binary op, const Walk& w, const X* a, const X* b, X* y) {
  using T = Compute<X>;
  each_element(w, [&](int64_t i, const Offsets& at) {
    y[i] = X(apply(op, static_cast<T>(a[at[0]]), static_cast<T>(b[at[1]])));
  });
}

template <class T>
bool holds(Comparison op, T a, T b) {
  switch (op) {
    case Comparison::eq:
      return a == b;
    case Comparison::ne:
      return a != b;
    case Comparison::lt:
      return a < b;
    case Comparison::le:
      return a <= b;
    case Comparison::gt:
      return a > b;
    case Comparison::ge:
      return a >= b;
  }
  return false;
}
template <class X>
void compare(Comparison op, const Walk& w, const X* a, const X* b, uint8_t* y) {
  using T = Compute<X>;
  each_element(w, [&](int64_t i, const Offsets& at) {
    y[i] = holds(op, static_cast<T>(a[at[0]]), static_cast<T>(b[at[1]]));
  });
}

template <class X>
void where(const Walk& w, const X* a, const X* b, const uint8_t* condition, X* y) {
  each_element(w, [&](int64_t i, const Offsets& at) { y[i] = condition[at[2]] ? a[at[0]] : b[at[1]]; });
}

// In long double, which a test rounds as it sees fit.
inline long double apply(Unary op, long double x) {
  switch (op) {
    case Unary::neg:
      return -x;
    case Unary::abs:
      return std::fabs(x);
    case Unary::sign:
      return x > 0 ? 1 : x < 0 ? -1 : 0;
    case Unary::sqrt:
      return std::sqrt(x);
    case Unary::square:
      return x * x;
    case Unary::exp:
      return std::exp(x);
    case Unary::log:
      return std::log(x);
    case Unary::tanh:
      return std::tanh(x);
    case Unary::sigmoid:
      return 1 / (1 + std::exp(-x));
  }
  return x;
}

template <class X>
void sum(int64_t outer, int64_t size, int64_t inner, const X* x, SumOf<X>* y) {
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t i = 0; i < inner; ++i) {
      SumOf<X> total = 0;
      for (int64_t k = 0; k < size; ++k)
        total += static_cast<SumOf<X>>(static_cast<Compute<X>>(x[(o * size + k) * inner + i]));
      y[o * inner + i] = total;
    }
}

template <class X>
void extremes(bool largest, int64_t outer, int64_t size, int64_t inner, const X* x, X* y, int64_t* index) {
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t i = 0; i < inner; ++i) {
      auto at = [&](int64_t k) { return static_cast<Compute<X>>(x[(o * size + k) * inner + i]); };
      int64_t best = 0;
      for (int64_t k = 1; k < size; ++k) {
        if (at(best) != at(best)) break;
        if (at(k) != at(k) || (largest ? at(k) > at(best) : at(k) < at(best))) best = k;
      }
      y[o * inner + i] = x[(o * size + best) * inner + i];
      index[o * inner + i] = best;
    }
}

}  // namespace sigma::kernels::reference
