#include "apps/run/signals.h"

#include <signal.h>
#include <unistd.h>

namespace sigma::app {
namespace {

volatile sig_atomic_t asked = 0;

void on_signal(int number) {
  if (asked) _exit(128 + number);
  asked = number;
}

}  // namespace

void install_signal_handlers() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

int stop_signal() { return asked; }

}  // namespace sigma::app
