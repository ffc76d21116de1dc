// What a person calls the value of a flag, beside others of the same flag.
#pragma once

#include <string>

#include "apps/flags/flag.h"

namespace sigma::app {

// "no batch norm", "pixels 0 to 1", "batches of 16", "AdamW"; of a flag that has no words of its own its name
// and value, "clip norm 2". `options` are all of the arm's.
std::string words_of(const Flag& flag, const Options& options);

}  // namespace sigma::app
