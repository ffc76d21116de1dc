#include "core/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "core/check.h"
#include "core/sha256.h"

namespace sigma {
namespace {

// A file descriptor that closes itself.
struct Fd {
  int fd;
  explicit Fd(int value) : fd(value) {}
  ~Fd() {
    if (fd >= 0) ::close(fd);
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
};

[[noreturn]] void io_error(const std::string& path, const char* doing) {
  fail(ErrorKind::io, path, "cannot {}: {}", doing, std::strerror(errno));
}

Fd open_regular(const std::string& path, uint64_t& size) {
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) io_error(path, "open");
  struct stat info {};
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(fd);
    fail(ErrorKind::data, path, "expected a regular file");
  }
  size = static_cast<uint64_t>(info.st_size);
  return Fd(fd);
}

size_t read_some(int fd, uint8_t* to, size_t bytes, const std::string& path) {
  while (true) {
    ssize_t got = ::read(fd, to, bytes);
    if (got >= 0) return static_cast<size_t>(got);
    if (errno != EINTR) io_error(path, "read");
  }
}

}  // namespace

Bytes read_file(const std::string& path, uint64_t limit) {
  uint64_t size = 0;
  Fd file = open_regular(path, size);
  if (size > limit) fail(ErrorKind::data, path, "expected at most {} bytes, the file has {}", limit, size);
  Bytes bytes(size);
  size_t at = 0;
  while (at < bytes.size()) {
    size_t got = read_some(file.fd, bytes.data() + at, bytes.size() - at, path);
    if (got == 0) fail(ErrorKind::io, path, "the file shrank while it was read: {} of {} bytes", at, size);
    at += got;
  }
  return bytes;
}

void write_file_atomic(const std::string& path, const std::vector<std::string_view>& parts) {
  std::filesystem::path target(path), folder = target.parent_path();
  if (folder.empty()) folder = ".";
  std::string temporary =
      (folder / fmt::format(".{}.tmp.{}", target.filename().string(), ::getpid())).string();
  Fd file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (file.fd < 0) io_error(path, "create a file beside it");
  try {
    for (std::string_view part : parts)
      while (!part.empty()) {
        ssize_t wrote = ::write(file.fd, part.data(), part.size());
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote < 0) io_error(path, "write");
        part.remove_prefix(static_cast<size_t>(wrote));
      }
    if (::fsync(file.fd) != 0) io_error(path, "sync");
    if (int fd = std::exchange(file.fd, -1); ::close(fd) != 0) io_error(path, "close");
    if (::rename(temporary.c_str(), path.c_str()) != 0) io_error(path, "rename the new file over it");
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  Fd directory(::open(folder.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECTORY));
  if (directory.fd >= 0)
    ::fsync(directory.fd);  // makes the rename durable; some file systems refuse, harmlessly
}

std::string sha256_of_file(const std::string& path) {
  uint64_t size = 0;
  Fd file = open_regular(path, size);
  Sha256 hash;
  Bytes buffer(1 << 20);
  while (size_t got = read_some(file.fd, buffer.data(), buffer.size(), path)) hash.update(buffer.data(), got);
  return hash.hex();
}

}  // namespace sigma
