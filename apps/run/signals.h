// Stopping by signal: the first SIGINT or SIGTERM asks, the loops look; a second one ends the process at
// once.
#pragma once

namespace sigma::app {

void install_signal_handlers();  // for verbs that poll stop_signal(); others end at once
int stop_signal();               // 0, or the signal that asked to stop

// Thrown by loops that were asked to stop; the verb then saves.
struct Stopped {
  int signal;
};

}  // namespace sigma::app
