#include "core/kernels/conv.h"

#include <type_traits>

#include "core/kernels/conv_direct.h"
#include "core/kernels/conv_winograd.h"
#include "core/kernels/elementwise.h"
#include "core/kernels/reduce.h"

namespace sigma::kernels {

// float64 is there for reference and is summed directly.
template <class X>
constexpr bool kMayTransform = std::is_same_v<Compute<X>, float>;

template <class X>
void conv_forward(const ConvSize& s, const X* x, const Compute<X>* weight, const Compute<X>* bias, X* y,
                  const ConvEpilogue& epilogue) {
  if constexpr (kMayTransform<X>)
    if (winograd_fits(s)) return winograd_forward(s, x, weight, bias, y, epilogue);
  direct_forward(s, x, weight, bias, y, epilogue);
}

template <class X>
void conv_backward_data(const ConvSize& s, const X* dy, const Compute<X>* weight, X* dx) {
  if constexpr (kMayTransform<X>)
    if (winograd_fits(s)) return winograd_backward_data(s, dy, weight, dx);
  direct_backward_data(s, dy, weight, dx);
}

template <class X>
void conv_backward_weight(const ConvSize& s, const X* dy, const X* x, Compute<X>* dweight,
                          Compute<X>* dbias) {
  if (dbias) column_sums(dy, s.n * s.pixels_out(), s.c_out, dbias);
  if constexpr (kMayTransform<X>)
    if (winograd_fits(s)) return winograd_backward_weight(s, dy, x, dweight);
  direct_backward_weight(s, dy, x, dweight);
}

#define SIGMA_INSTANTIATE(X)                                                                      \
  template void conv_forward(const ConvSize&, const X*, const Compute<X>*, const Compute<X>*, X*, \
                             const ConvEpilogue&);                                                \
  template void conv_backward_data(const ConvSize&, const X*, const Compute<X>*, X*);             \
  template void conv_backward_weight(const ConvSize&, const X*, const X*, Compute<X>*, Compute<X>*);
SIGMA_INSTANTIATE(float)
SIGMA_INSTANTIATE(double)
SIGMA_INSTANTIATE(bfloat16)
#undef SIGMA_INSTANTIATE

}  // namespace sigma::kernels
