#include "apps/run/progress.h"

#include <fmt/core.h>
#include <unistd.h>

#include <cstdio>

#include "core/text.h"

namespace sigma::app {

ProgressLine::ProgressLine(bool quiet) : quiet_(quiet), terminal_(isatty(2) != 0) {}

ProgressLine::~ProgressLine() {
  if (open_ && terminal_) std::fputs("\n", stderr);
}

bool ProgressLine::due() { return !quiet_ && std::chrono::steady_clock::now() >= next_; }

void ProgressLine::show(const std::string& line) {
  if (!due()) return;
  next_ = std::chrono::steady_clock::now() +
          (terminal_ ? std::chrono::milliseconds(200) : std::chrono::milliseconds(5000));
  std::fputs((terminal_ ? "\r\033[K" + printable(line) : printable(line) + "\n").c_str(), stderr);
  std::fflush(stderr);
  open_ = true;
}

void ProgressLine::finish(const std::string& line) {
  if (quiet_) return;
  std::fputs(((terminal_ ? "\r\033[K" : "") + printable(line) + "\n").c_str(), stderr);
  std::fflush(stderr);
  open_ = false;
}

std::string seconds_text(double seconds) {
  auto s = static_cast<long long>(seconds + .5);
  if (s < 60) return fmt::format("{}s", s);
  if (s < 3600) return fmt::format("{}m{:02}s", s / 60, s % 60);
  return fmt::format("{}h{:02}m", s / 3600, s / 60 % 60);
}

std::string rate_text(double rate) {
  if (rate >= 10000) return fmt::format("{:.0f}k", rate / 1000);
  if (rate >= 1000) return fmt::format("{:.1f}k", rate / 1000);
  return fmt::format("{:.0f}", rate);
}

}  // namespace sigma::app
