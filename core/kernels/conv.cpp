#include "core/kernels/conv.h"

#include <type_traits>

#include "core/kernels/conv_direct.h"
#include "core/kernels/conv_winograd.h"
#include "core/kernels/elementwise.h"

namespace sigma::kernels {

template <class T>
void conv_forward(const ConvSize& s, const T* x, const T* weight, const T* bias, T* y,
                  const ConvEpilogue<T>& epilogue) {
  if constexpr (std::is_same_v<T, float>)
    if (winograd_fits(s)) return winograd_forward(s, x, weight, bias, y, epilogue);
  direct_forward(s, x, weight, bias, y, epilogue);
}

template <class T>
void conv_backward_data(const ConvSize& s, const T* dy, const T* weight, T* dx) {
  if constexpr (std::is_same_v<T, float>)
    if (winograd_fits(s)) return winograd_backward_data(s, dy, weight, dx);
  direct_backward_data(s, dy, weight, dx);
}

template <class T>
void conv_backward_weight(const ConvSize& s, const T* dy, const T* x, T* dweight, T* dbias) {
  if (dbias) column_sums(dy, s.n * s.pixels_out(), s.c_out, dbias);
  if constexpr (std::is_same_v<T, float>)
    if (winograd_fits(s)) return winograd_backward_weight(s, dy, x, dweight);
  direct_backward_weight(s, dy, x, dweight);
}

#define SIGMA_INSTANTIATE(T)                                                                             \
  template void conv_forward(const ConvSize&, const T*, const T*, const T*, T*, const ConvEpilogue<T>&); \
  template void conv_backward_data(const ConvSize&, const T*, const T*, T*);                             \
  template void conv_backward_weight(const ConvSize&, const T*, const T*, T*, T*);
SIGMA_INSTANTIATE(float)
SIGMA_INSTANTIATE(double)
#undef SIGMA_INSTANTIATE

}  // namespace sigma::kernels
