// One-dimensional transforms of Winograd's minimal filtering F(M, 3): M outputs of a 3-tap filter from M + 2
// inputs with M + 2 multiplications. Two dimensions apply them to rows and to columns. Lavin and Gray 2016,
// https://arxiv.org/abs/1509.09308. Included once a SIMD target.
#if defined(SIGMA_KERNELS_WINOGRAD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SIGMA_KERNELS_WINOGRAD_INL_H_
#undef SIGMA_KERNELS_WINOGRAD_INL_H_
#else
#define SIGMA_KERNELS_WINOGRAD_INL_H_
#endif

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace sigma::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <int M>
struct Tile;

// Points 0, 1, -1 and infinity: every factor is 1 or 1/2, so little is lost.
template <>
struct Tile<2> {
  template <class V>  // B^T d: the input
  static HWY_INLINE void input(const V (&d)[4], V (&o)[4]) {
    o[0] = d[0] - d[2];
    o[1] = d[1] + d[2];
    o[2] = d[2] - d[1];
    o[3] = d[1] - d[3];
  }
  template <class V>  // A^T m: the output
  static HWY_INLINE void output(const V (&m)[4], V (&o)[2]) {
    const V s = m[1] + m[2], t = m[1] - m[2];
    o[0] = m[0] + s;
    o[1] = t - m[3];
  }
  template <class V>  // A y: the output's gradient
  static HWY_INLINE void spread(const V (&y)[2], V (&o)[4]) {
    o[0] = y[0];
    o[1] = y[0] + y[1];
    o[2] = y[0] - y[1];
    o[3] = hn::Neg(y[1]);
  }
  template <class V>  // G g: the filter
  static HWY_INLINE void filter(V half, const V (&g)[3], V (&o)[4]) {
    const V even = half * (g[0] + g[2]), odd = half * g[1];
    o[0] = g[0];
    o[1] = even + odd;
    o[2] = even - odd;
    o[3] = g[2];
  }
  template <class V>  // G^T u: the filter's gradient
  static HWY_INLINE void filter_gradient(V half, const V (&u)[4], V (&o)[3]) {
    const V even = half * (u[1] + u[2]);
    o[0] = u[0] + even;
    o[1] = half * (u[1] - u[2]);
    o[2] = u[3] + even;
  }
};

// The same over rows and columns.
template <class V, int A, int B, class Fn>
HWY_INLINE void both_ways(const V (&in)[A][A], V (&out)[B][B], Fn transform) {
  V half[B][A];
#pragma GCC unroll 8
  for (int j = 0; j < A; ++j) {
    V column[A], result[B];
#pragma GCC unroll 8
    for (int i = 0; i < A; ++i) column[i] = in[i][j];
    transform(column, result);
#pragma GCC unroll 8
    for (int i = 0; i < B; ++i) half[i][j] = result[i];
  }
#pragma GCC unroll 8
  for (int i = 0; i < B; ++i) transform(half[i], out[i]);
}

}  // namespace sigma::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
