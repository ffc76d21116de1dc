// Storage: 64-byte aligned bytes from a caching pool, shared by reference count.
//
// A training step allocates the same sizes again and again; the pool keeps freed blocks so that a step
// neither calls the system allocator nor faults in fresh pages. Under AddressSanitizer the pool is off, so
// that use after free stays visible.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace sigma {

class Storage {
 public:
  explicit Storage(size_t bytes);  // contents are uninitialised; throws Error of kind memory
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  size_t bytes() const { return bytes_; }

  // Counts writes, so that autograd can tell that a tensor it saved was changed since.
  uint64_t version() const { return version_.load(std::memory_order_relaxed); }
  void bump_version() { version_.fetch_add(1, std::memory_order_relaxed); }

 private:
  std::byte* data_;
  size_t bytes_;
  std::atomic<uint64_t> version_{0};
};

struct PoolStats {
  size_t in_use = 0;  // bytes handed out now
  size_t peak = 0;    // most bytes handed out at any time
  size_t cached = 0;  // bytes kept for reuse
};
PoolStats pool_stats();
void reset_pool_peak();
void release_pool();  // gives the cached bytes back to the system

}  // namespace sigma
