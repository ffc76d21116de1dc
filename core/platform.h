// What differs between operating systems and is asked of nothing but the system. The only file that knows
// which system this is; the rest is POSIX.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace sigma::platform {

// How many processors this process may run on, at least 1. Linux: of its affinity mask.
int processors();

// Bytes that a program could still take without swapping. Linux: MemAvailable of /proc/meminfo; UINT64_MAX
// where the system does not say.
uint64_t available_memory();

// The processor's model, "unknown" where the system does not say.
std::string cpu_name();

// A wish that [block, block + bytes) be kept in large pages; where it is not granted, nothing changes.
void prefer_huge_pages(void* block, size_t bytes);

}  // namespace sigma::platform
