#include "apps/run/startup.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "core/check.h"
#include "core/sanitized.h"

namespace sigma::app {
namespace {

// Sanitizers and coverage report from exit().
#ifdef SIGMA_COVERAGE
constexpr bool kReportsAtExit = true;
#else
constexpr bool kReportsAtExit = kSanitized;
#endif

bool ending = false;  // by end_process()

[[noreturn]] void out_of_memory(std::string_view sentence) {
  (void)!::write(2, sentence.data(), sentence.size());
  _exit(static_cast<int>(ErrorKind::memory));
}

// OpenBLAS starts its threads when it is loaded, before main(). Where it cannot (ulimit -u, ulimit -v) it
// tells what the limits are and interrupts the process by SIGINT.
void on_early_interrupt(int number, siginfo_t* info, void*) {
  if (info->si_code == SI_TKILL && info->si_pid == getpid())
    out_of_memory(
        "error: OpenBLAS cannot start its threads: the limit of processes or of memory is too low\n");
  signal(number, SIG_DFL);
  raise(number);
}

void watch_libraries() {
  struct sigaction action {};
  action.sa_sigaction = on_early_interrupt;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
}

// A library that gives up calls exit(), OpenBLAS when it gets no memory.
void on_exit() {
  if (!ending) out_of_memory("error: out of memory: a library gave up\n");
}

}  // namespace

void begin_process() {
  signal(SIGINT, SIG_DFL);
  std::atexit(on_exit);
  for (int fd = 0; fd <= 2; ++fd)
    // Opened for reading in place of standard output: writes fail, as they would on what is closed.
    if (::fcntl(fd, F_GETFD) < 0) (void)!::open("/dev/null", fd == 2 ? O_WRONLY : O_RDONLY);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
}

void end_process(int exit_code) {
  ending = true;
  std::fflush(nullptr);
  if (kReportsAtExit) std::exit(exit_code);
  _exit(exit_code);
}

}  // namespace sigma::app

#ifdef __ELF__
// Runs before the initialisers of shared libraries.
__attribute__((section(".preinit_array"),
               used)) static void (*const before_libraries)() = sigma::app::watch_libraries;
#endif
