// Catch2 of either release: Debian 12 has the second, later systems the third, where names have moved.
#pragma once

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#include <string>

using Catch::Approx;
namespace sigma::test {
using Catch::Matchers::Equals;
inline auto Contains(const std::string& part) { return Catch::Matchers::ContainsSubstring(part); }
}  // namespace sigma::test
#else
#include <catch2/catch.hpp>

namespace sigma::test {
using Catch::Matchers::Contains;
using Catch::Matchers::Equals;
}  // namespace sigma::test
#endif
