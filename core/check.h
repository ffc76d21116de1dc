// Errors: one clear sentence that names the place, what was expected and what came.
#pragma once

#include <fmt/core.h>

#include <stdexcept>
#include <string>
#include <string_view>

namespace sigma {

// What kind of failure it is. The values are the exit codes of the command line.
enum class ErrorKind {
  internal = 1,    // a bug of ours
  usage = 2,       // a wrong argument, shape, option
  data = 3,        // malformed input data
  io = 4,          // the operating system refused: missing file, disk full, no permission
  diverged = 5,    // training ran into NaN or infinity
  checkpoint = 6,  // a checkpoint that is damaged or does not fit
  memory = 7,      // out of memory
};

class Error : public std::runtime_error {
 public:
  // What a message shows of file names and contents may be any bytes: it is made printable (core/text.h).
  Error(ErrorKind kind, const std::string& message) : Error(kind, "", message) {}
  // "place: message", or the message alone without a place.
  Error(ErrorKind kind, std::string_view place, const std::string& message);
  ErrorKind kind() const { return kind_; }
  std::string_view place() const { return std::string_view(what()).substr(0, place_size_); }
  // The same of another place.
  Error at(std::string_view place) const;

 private:
  ErrorKind kind_;
  size_t place_size_;  // of what()
};

// Throws "place: message". The place of a file error is the file's name.
[[noreturn]] void throw_error(ErrorKind kind, std::string_view place, const std::string& message);
// The same with the message still to be formatted, so that no caller compiles the formatting.
[[noreturn]] void throw_error(ErrorKind kind, std::string_view place, fmt::string_view format,
                              fmt::format_args args);
// Throws "[tag] message" of kind usage; the tag is the function's or layer's name.
[[noreturn]] void throw_check(std::string_view tag, const std::string& message);
[[noreturn]] void throw_check(std::string_view tag, fmt::string_view format, fmt::format_args args);

template <class... Args>
[[noreturn]] void fail(ErrorKind kind, std::string_view place, fmt::format_string<Args...> format,
                       Args&&... args) {
  throw_error(kind, place, format, fmt::make_format_args(args...));
}

template <class... Args>
[[noreturn, gnu::cold, gnu::noinline]] void check_failed(std::string_view tag,
                                                         fmt::format_string<Args...> format, Args&&... args) {
  throw_check(tag, format, fmt::make_format_args(args...));
}

}  // namespace sigma

// SIGMA_CHECK(condition, "conv2d", "expected {} channels, got input {}", c, shape.str())
#define SIGMA_CHECK(condition, tag, ...)       \
  do {                                         \
    if (!(condition)) [[unlikely]]             \
      ::sigma::check_failed(tag, __VA_ARGS__); \
  } while (false)
