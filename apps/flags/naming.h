// The library's messages name a thing ("init: ..."), those of the program the flag that sets it ("--init:
// ...").
#pragma once

#include <string>

#include "core/check.h"

namespace sigma::app {

// Runs fn; an Error of kind usage that begins with "<thing>: " begins with "--<thing>: " instead.
template <class Fn>
auto naming_flag(const std::string& thing, Fn fn) {
  try {
    return fn();
  } catch (const Error& e) {
    const std::string message = e.what();
    if (e.kind() != ErrorKind::usage || message.rfind(thing + ": ", 0) != 0) throw;
    throw Error(e.kind(), "--" + message);
  }
}

}  // namespace sigma::app
