#include "core/kernels/index.h"

#include <algorithm>
#include <complex>

#include "core/bfloat16.h"
#include "core/kernels/denormals.h"
#include "core/parallel.h"

namespace sigma::kernels {
namespace {

// Calls fn(index position, where in a its slice along `dim` starts) for every element of index. What lies
// outside `dim` is cut into tasks, so that no two tasks reach one element of a.
template <class Fn>
void each_index(const IndexSize& s, Fn&& fn) {
  int64_t outer = 1;
  int64_t inner = 1;
  for (int i = 0; i < s.rank; ++i) (i < s.dim ? outer : inner) *= s.size[static_cast<size_t>(i)];
  constexpr int64_t kGrain = 16384;
  parallel_ranges(outer, std::max<int64_t>(1, kGrain / std::max<int64_t>(1, inner)),
                  [&](int64_t begin, int64_t end) {
                    const KeepDenormals keep;
                    std::array<int64_t, 8> at{};
                    int64_t base = 0;
                    for (int64_t rest = begin, i = s.dim - 1; i >= 0; --i) {
                      const auto d = static_cast<size_t>(i);
                      at[d] = rest % s.size[d];
                      base += at[d] * s.stride[d];
                      rest /= s.size[d];
                    }
                    for (int64_t k = begin * inner; k < end * inner; ++k) {
                      fn(k, base);
                      for (int i = s.rank - 1; i >= 0; --i) {
                        const auto d = static_cast<size_t>(i);
                        const int64_t step = i == s.dim ? 0 : s.stride[d];
                        base += step;
                        if (++at[d] < s.size[d]) break;
                        base -= step * s.size[d];
                        at[d] = 0;
                      }
                    }
                  });
}

}  // namespace

template <class T>
void gather(const IndexSize& s, const T* a, const int64_t* index, T* y) {
  const int64_t step = s.stride[static_cast<size_t>(s.dim)];
  each_index(s, [=](int64_t k, int64_t base) { y[k] = a[base + index[k] * step]; });
}

template <class T>
void scatter_add(const IndexSize& s, const int64_t* index, const T* source, T* a) {
  const int64_t step = s.stride[static_cast<size_t>(s.dim)];
  each_index(s, [=](int64_t k, int64_t base) { a[base + index[k] * step] += source[k]; });
}

#define SIGMA_INSTANTIATE(T) template void gather(const IndexSize&, const T*, const int64_t*, T*);
SIGMA_INSTANTIATE(float)
SIGMA_INSTANTIATE(double)
SIGMA_INSTANTIATE(uint8_t)
SIGMA_INSTANTIATE(int64_t)
SIGMA_INSTANTIATE(bfloat16)
SIGMA_INSTANTIATE(std::complex<float>)
SIGMA_INSTANTIATE(std::complex<double>)
#undef SIGMA_INSTANTIATE
#define SIGMA_INSTANTIATE(T) template void scatter_add(const IndexSize&, const int64_t*, const T*, T*);
SIGMA_INSTANTIATE(float)
SIGMA_INSTANTIATE(double)
SIGMA_INSTANTIATE(std::complex<float>)
SIGMA_INSTANTIATE(std::complex<double>)
#undef SIGMA_INSTANTIATE

}  // namespace sigma::kernels
