#include "core/storage.h"

#include <cstdlib>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "core/allocation.h"
#include "core/check.h"
#include "core/platform.h"
#include "core/sanitized.h"

namespace sigma {
namespace {

constexpr bool kCache = !kSanitized;  // so that a use after free stays visible

// Rounds up to a size class: multiples of 64 B below 4 KiB, then eight classes per power of two, which waste
// 12.5% at most.
size_t size_class(size_t bytes) {
  if (bytes == 0) bytes = 1;
  if (bytes > SIZE_MAX / 2) return bytes;  // the allocation fails with a clear message
  size_t step = 64;
  while (step * 16 < bytes) step *= 2;
  return (bytes + step - 1) / step * step;
}

struct Pool {
  std::mutex mutex;
  std::unordered_map<size_t, std::vector<std::byte*>> free_blocks;
  PoolStats stats;
};

// Never destroyed: tensors with static lifetime may outlive any order of destruction.
Pool& pool() {
  static Pool* instance = new Pool;
  return *instance;
}

// Blocks of many megabytes ask for 2 MiB pages: passes over them miss the TLB 500 times less often.
std::byte* allocate(size_t size) {
  constexpr size_t kHuge = 2 << 20;
  if (size < 2 * kHuge) return static_cast<std::byte*>(std::aligned_alloc(64, size));
  auto* block = static_cast<std::byte*>(std::aligned_alloc(kHuge, (size + kHuge - 1) / kHuge * kHuge));
  if (block) platform::prefer_huge_pages(block, size);
  return block;
}

std::byte* acquire(size_t size) {
  Pool& p = pool();
  {
    std::lock_guard lock(p.mutex);
    p.stats.in_use += size;
    p.stats.peak = std::max(p.stats.peak, p.stats.in_use);
    auto it = p.free_blocks.find(size);
    if (it != p.free_blocks.end() && !it->second.empty()) {
      std::byte* block = it->second.back();
      it->second.pop_back();
      p.stats.cached -= size;
      return block;
    }
  }
  auto* block = size > SIZE_MAX / 2 ? nullptr : allocate(size);
  if (!block) {
    std::lock_guard lock(p.mutex);
    p.stats.in_use -= size;
  }
  return block;
}

void give_back(std::byte* block, size_t size) {
  Pool& p = pool();
  std::lock_guard lock(p.mutex);
  p.stats.in_use -= size;
  if (kCache) try {
      p.free_blocks[size].push_back(block);
      p.stats.cached += size;
      return;
    } catch (const std::bad_alloc&) {  // a destructor calls: the block goes back to the system instead
    }
  std::free(block);
}

thread_local AllocationScope* innermost_scope = nullptr;

}  // namespace

Storage::Storage(size_t bytes) : bytes_(bytes) {
  for (AllocationScope* scope = innermost_scope; scope; scope = scope->outer_) {
    const auto used = static_cast<size_t>(std::max<int64_t>(0, scope->in_use_));
    if (bytes > scope->limit_ - std::min(scope->limit_, used))
      fail(ErrorKind::memory, "memory", "{} bytes more than the {} in use are above the limit of {}", bytes,
           used, scope->limit_);
    scope->total_ += bytes;
    scope->in_use_ += static_cast<int64_t>(bytes);
  }
  data_ = acquire(size_class(bytes));
  if (!data_) {
    release_pool();
    data_ = acquire(size_class(bytes));
  }
  if (!data_) fail(ErrorKind::memory, "memory", "could not allocate {} bytes", bytes);
}

Storage::~Storage() {
  for (AllocationScope* scope = innermost_scope; scope; scope = scope->outer_)
    scope->in_use_ -= static_cast<int64_t>(bytes_);
  give_back(data_, size_class(bytes_));
}

AllocationScope::AllocationScope(size_t limit) : limit_(limit), outer_(innermost_scope) {
  innermost_scope = this;
}

AllocationScope::~AllocationScope() { innermost_scope = outer_; }

PoolStats pool_stats() {
  std::lock_guard lock(pool().mutex);
  return pool().stats;
}

void reset_pool_peak() {
  std::lock_guard lock(pool().mutex);
  pool().stats.peak = pool().stats.in_use;
}

void release_pool() {
  Pool& p = pool();
  std::lock_guard lock(p.mutex);
  for (auto& [size, blocks] : p.free_blocks)
    for (std::byte* block : blocks) std::free(block);
  p.free_blocks.clear();
  p.stats.cached = 0;
}

}  // namespace sigma
