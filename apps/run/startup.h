// How the process begins and ends where memory, threads or standard streams are missing.
#pragma once

namespace sigma::app {

// First of all in main(). Standard streams that are closed are taken, so that no file gets their place; a
// pipe that is closed and a file-size limit are errors of the write, no signals.
void begin_process();

// Ends the process at once. Not exit(): where memory or threads are short, OpenBLAS waits at exit for ever
// for threads that it could not start.
[[noreturn]] void end_process(int exit_code);

}  // namespace sigma::app
