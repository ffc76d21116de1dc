// A parser under attack: what it is given by the fuzzer, by the mutations, and by the tests of old findings.
#pragma once

#include <string>
#include <vector>

#include "core/file.h"

namespace sigma::fuzz {

struct Target {
  const char* name;
  std::vector<std::string> (*seeds)();  // files that it takes, of each kind
  void (*parse)(const Bytes& bytes);    // throws sigma::Error, or returns: nothing else may happen
};

// One file each in this folder; the build defines SIGMA_FUZZ_TARGET for the libFuzzer program of it.
extern const Target idx, gz, cifar, image, safetensors, npy, configuration, checkpoint;
const std::vector<const Target*>& all_targets();

// Parses as a program would. An Error of a file is expected: its message is returned, "" when there was none.
// Any other exception, an Error that is a bug of ours, and a message that no terminal may see is let through.
std::string attack(const Target& target, const Bytes& bytes);

// A file in memory that has a path, for what reads paths.
class MemoryFile {
 public:
  explicit MemoryFile(const Bytes& bytes);
  ~MemoryFile();
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  int fd_;
  std::string path_;
};

}  // namespace sigma::fuzz
