#include "tests/support/runs.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>
#include "data/formats/image.h"

#include <chrono>
#include <fstream>
#include <sstream>
#include <thread>

extern char** environ;

namespace sigma::test {

Arguments operator+(Arguments a, const Arguments& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

size_t count_of(const std::string& text, const std::string& part) {
  size_t n = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++n;
  return n;
}

std::string read_text(const std::filesystem::path& path) {
  Bytes b = read_file(path.string());
  return {b.begin(), b.end()};
}

Json read_json(const std::filesystem::path& path) { return Json::parse(read_text(path)); }

Json last_line_json(const std::string& output) {
  REQUIRE(!output.empty());
  REQUIRE(output.back() == '\n');
  size_t before = output.size() > 1 ? output.rfind('\n', output.size() - 2) : std::string::npos;
  Json j = Json::parse(output.substr(before == std::string::npos ? 0 : before + 1), nullptr, false);
  INFO(output);
  REQUIRE(j.is_object());
  return j;
}

std::vector<std::vector<std::string>> read_csv(const std::filesystem::path& path) {
  std::vector<std::vector<std::string>> rows;
  std::istringstream text(read_text(path));
  for (std::string line; std::getline(text, line);) {
    rows.emplace_back();
    std::istringstream cells(line);
    for (std::string cell; std::getline(cells, cell, ',');) rows.back().push_back(cell);
  }
  return rows;
}

RunResult run_sigma_in(const std::filesystem::path& folder, const Arguments& arguments) {
  return run(Arguments{"env", "-C", folder.string(), SIGMA_BINARY} + arguments);
}

Process::Process(const Arguments& arguments, const std::filesystem::path& output) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  std::string out = output.string() + ".out", err = output.string() + ".err";
  posix_spawn_file_actions_addopen(&actions, 1, out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  posix_spawn_file_actions_addopen(&actions, 2, err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  std::vector<char*> argv{const_cast<char*>(SIGMA_BINARY)};
  for (auto& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  int failed = posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed) throw std::runtime_error("could not start sigma");
}

Process::~Process() {
  if (reaped_) return;
  kill(pid_, SIGKILL);
  wait();
}

void Process::signal(int number) {
  if (!reaped_) kill(pid_, number);
}

bool Process::wait_until(const std::function<bool()>& ready) {
  auto end = std::chrono::steady_clock::now() + std::chrono::minutes(10);
  while (!ready()) {
    if (ended() || std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

bool Process::handles(int number) const {
  std::ifstream status("/proc/" + std::to_string(pid_) + "/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind("SigCgt:", 0) == 0) return std::stoull(line.substr(7), nullptr, 16) >> (number - 1) & 1;
  return false;
}

bool Process::ended() {
  if (!reaped_) reaped_ = waitpid(pid_, &status_, WNOHANG) == pid_;
  return reaped_;
}

int Process::wait() {
  if (!reaped_) waitpid(pid_, &status_, 0);
  reaped_ = true;
  return WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_);
}

std::string png_bytes(const Image& image) {
  auto word = [](uint64_t v) {
    std::string s;
    for (int shift : {24, 16, 8, 0}) s += static_cast<char>(v >> shift & 255);
    return s;
  };
  auto chunk = [&](const std::string& body) {  // type and data
    uLong crc = crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size()));
    return word(body.size() - 4) + body + word(crc);
  };
  std::string raw;
  auto row = static_cast<size_t>(image.width * image.channels);
  for (size_t y = 0; y < static_cast<size_t>(image.height); ++y) {
    raw += '\0';  // no filter
    raw.append(reinterpret_cast<const char*>(image.pixels.data()) + y * row, row);
  }
  uLongf size = compressBound(raw.size());
  std::string packed(size, '\0');
  compress(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(raw.data()),
           raw.size());
  packed.resize(size);
  std::string header = "IHDR" + word(static_cast<uint64_t>(image.width)) +
                       word(static_cast<uint64_t>(image.height)) + '\x08' +
                       (image.channels == 3 ? '\x02' : '\0') + std::string(3, '\0');
  return "\x89PNG\r\n\x1a\n" + chunk(header) + chunk("IDAT" + packed) + chunk("IEND");
}

}  // namespace sigma::test
