// What the tests of the command line share: run folders, processes that can be stopped, image files.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/json.h"
#include "data/dataset.h"
#include "data/formats/image.h"
#include "tests/support/support.h"

namespace sigma::test {

using Arguments = std::vector<std::string>;

Arguments operator+(Arguments a, const Arguments& b);
bool contains(const std::string& text, const std::string& part);
size_t count_of(const std::string& text, const std::string& part);

std::string read_text(const std::filesystem::path& path);
Json read_json(const std::filesystem::path& path);
Json last_line_json(const std::string& output);                                     // what --json prints
std::vector<std::vector<std::string>> read_csv(const std::filesystem::path& path);  // with the header

// The sigma binary, run in `folder` as its working directory.
RunResult run_sigma_in(const std::filesystem::path& folder, const Arguments& arguments);

// A sigma process in the background, killed at the end of the scope. It writes to <folder>.out and .err.
class Process {
 public:
  Process(const Arguments& arguments, const std::filesystem::path& output);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  void signal(int number);
  // Waits until `ready` or the end of the process; false when it ended first or after ten minutes.
  bool wait_until(const std::function<bool()>& ready);
  bool handles(int number) const;  // whether the program has installed its handler yet
  bool ended();
  int wait();  // the exit code, 128 + signal when killed

 private:
  pid_t pid_ = -1;
  int status_ = 0;
  bool reaped_ = false;
};

// An 8-bit PNG file, grey or colour.
std::string png_bytes(const Image& image);

}  // namespace sigma::test
