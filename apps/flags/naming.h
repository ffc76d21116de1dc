// The library's messages name a thing ("init: ..."), those of the program the flag that sets it ("--init:
// ...").
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "core/check.h"

namespace sigma::app {

// Runs fn; an Error of kind usage whose place is one of `things` gets the flag --thing for its place.
template <class Fn>
auto naming_flag(const std::vector<std::string>& things, Fn fn) {
  try {
    return fn();
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::usage || std::find(things.begin(), things.end(), e.place()) == things.end())
      throw;
    throw e.at("--" + std::string(e.place()));
  }
}

}  // namespace sigma::app
