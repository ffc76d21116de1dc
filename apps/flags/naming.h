// The library's messages name a thing ("init: ..."), those of the program the flag that sets it ("--init:
// ...").
#pragma once

#include <string>

#include "core/check.h"

namespace sigma::app {

// Runs fn; an Error of kind usage whose place is `thing` gets the flag --thing for its place.
template <class Fn>
auto naming_flag(const std::string& thing, Fn fn) {
  try {
    return fn();
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::usage || e.place() != thing) throw;
    throw e.at("--" + thing);
  }
}

}  // namespace sigma::app
