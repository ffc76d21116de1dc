#include "apps/run/output.h"

#include <signal.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "core/text.h"

namespace sigma::app {
namespace {

int lost = 0;  // errno of the first write that failed

void write_to(std::FILE* stream, std::string_view lines) {
  std::string text;
  while (true) {
    const size_t end = lines.find('\n');
    text += printable(lines.substr(0, end)) + "\n";
    if (end == lines.npos || end + 1 == lines.size()) break;
    lines.remove_prefix(end + 1);
  }
  const bool good = std::fwrite(text.data(), 1, text.size(), stream) == text.size();
  if (stream == stdout && !good && !lost) lost = errno;
}

}  // namespace

void print(std::string_view lines) { write_to(stdout, lines); }
void print_json(const Json& json, int indent) { print(json_text(json, indent)); }
void note(std::string_view lines) { write_to(stderr, lines); }
void warn(std::string_view sentence) { note("warning: " + std::string(sentence)); }

int finish_output(int exit_code) {
  if (std::fflush(stdout) != 0 && !lost) lost = errno;
  if (!lost || exit_code != 0) return exit_code;
  if (lost == EPIPE) return 128 + SIGPIPE;
  note(fmt::format("error: standard output: cannot be written: {}", std::strerror(lost)));
  return static_cast<int>(ErrorKind::io);
}

}  // namespace sigma::app
