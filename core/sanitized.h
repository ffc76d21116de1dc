// Whether every access to memory is checked, by AddressSanitizer or ThreadSanitizer, of GCC or of Clang. The
// build says so where it checks the library alone, not the file that includes this.
#pragma once

namespace sigma {

#if defined(SIGMA_SANITIZED) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace sigma
