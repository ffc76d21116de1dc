// Flush-to-zero and denormals-are-zero for the thread, restored at the end of the scope. Denormal operands
// cost a hundred cycles each and appear when trained weights decay towards zero.
#pragma once

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace sigma::kernels {

class FlushDenormals {
 public:
#if defined(__SSE2__)
  FlushDenormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | 0x8040u); }  // bits 15 (FTZ) and 6 (DAZ)
  ~FlushDenormals() { _mm_setcsr(saved_); }

 private:
  unsigned saved_;
#else
  FlushDenormals() {}
#endif
};

// The other way round, within a task that needs them.
class KeepDenormals {
 public:
#if defined(__SSE2__)
  KeepDenormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ & ~0x8040u); }
  ~KeepDenormals() { _mm_setcsr(saved_); }

 private:
  unsigned saved_;
#else
  KeepDenormals() {}
#endif
};

}  // namespace sigma::kernels
