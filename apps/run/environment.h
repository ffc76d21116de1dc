// The machine and the program, as env.json and `sigma env` tell them.
#pragma once

#include <string>

#include "core/json.h"

namespace sigma::app {

Json environment();  // version, CPU, SIMD target, BLAS, threads
std::string machine_name();

}  // namespace sigma::app
