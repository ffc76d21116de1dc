// Files that are almost right: a sample, changed in a few places. Number i of a target is always the same.
#pragma once

#include <cstdint>

#include "tests/fuzz/target.h"

namespace sigma::fuzz {

Bytes mutated(const Target& target, uint64_t number);

}  // namespace sigma::fuzz
