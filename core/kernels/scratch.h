// Per-thread working memory of the kernels: grows to the largest request and stays, so that a kernel neither
// allocates nor faults in pages once warm. Each call of one kernel lays out all it needs in one request.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace sigma::kernels {

// `count` elements, 64-byte aligned, uninitialised, valid until this thread's next request with the same Tag.
template <class Tag, class T>
T* scratch(int64_t count) {
  struct Free {
    void operator()(std::byte* p) const { ::operator delete (p, std::align_val_t{64}); }
  };
  thread_local std::unique_ptr<std::byte, Free> block;
  thread_local size_t capacity = 0;
  size_t bytes = static_cast<size_t>(count) * sizeof(T);
  if (bytes > capacity) {
    block.reset();
    capacity = 0;
    block.reset(static_cast<std::byte*>(::operator new (bytes, std::align_val_t{64})));
    capacity = bytes;
  }
  return reinterpret_cast<T*>(block.get());
}

constexpr int64_t round_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

}  // namespace sigma::kernels
