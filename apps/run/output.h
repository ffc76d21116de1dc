// What the program prints: results on standard output, all else on standard error. Names that come from files
// never reach the terminal raw: control characters and bytes that are no UTF-8 are shown as \x1b
// (core/text.h).
#pragma once

#include <string_view>

#include "core/json.h"

namespace sigma::app {

void print(std::string_view lines);  // results; a new line follows
void print_json(const Json& json, int indent = -1);
void note(std::string_view lines);     // on standard error
void warn(std::string_view sentence);  // "warning: ..."

// Whether all that was printed has arrived. Otherwise says so and gives the exit code 4 instead of 0; when
// the reader of a pipe has left, as `head` does, it ends silently like a program that SIGPIPE stops (141).
int finish_output(int exit_code);

}  // namespace sigma::app
