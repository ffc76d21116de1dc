// One line of progress: rewritten in place on a terminal, a plain line every few seconds elsewhere.
#pragma once

#include <chrono>
#include <string>

namespace sigma::app {

class ProgressLine {
 public:
  explicit ProgressLine(bool quiet);
  ~ProgressLine();
  bool due();                            // whether a line shown now would be drawn
  void show(const std::string& line);    // draws when due
  void finish(const std::string& line);  // always draws, and goes to the next line

 private:
  bool quiet_, terminal_, open_ = false;
  std::chrono::steady_clock::time_point next_{};
};

std::string seconds_text(double seconds);  // "12s", "3m05s"
std::string rate_text(double rate);        // "8.1k"

}  // namespace sigma::app
