// What one thread allocates for tensors: counted, and limited.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sigma {

// Counts what this thread allocates while it is alive, and limits it: a network that a file merely declares
// is built under the limit that the file's size sets. Scopes nest; the inner one counts for the outer too.
class AllocationScope {
 public:
  // An allocation that takes what is in use above `limit` is an Error of kind memory.
  explicit AllocationScope(size_t limit = SIZE_MAX);
  ~AllocationScope();
  AllocationScope(const AllocationScope&) = delete;
  AllocationScope& operator=(const AllocationScope&) = delete;

  size_t total() const { return total_; }     // bytes that were allocated
  int64_t in_use() const { return in_use_; }  // less those that this thread freed

 private:
  friend class Storage;
  size_t limit_, total_ = 0;
  int64_t in_use_ = 0;
  AllocationScope* outer_;
};

}  // namespace sigma
